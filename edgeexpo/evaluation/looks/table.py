"""The table of all looks, with their bounds and reasons."""

from __future__ import annotations

from collections.abc import Sequence

from edgeexpo.evaluation.looks import borders, colour, halos, structure, tones, weave
from edgeexpo.evaluation.looks.look import Look, Seen


def looks_for(frame_count: int) -> tuple[Look, ...]:
    """Return the looks of networks that take ``frame_count`` frames."""
    scope = "correction" if frame_count == 1 else "fusion"
    return tuple(look for look in LOOKS if look.scope in ("all", scope))


def look_named(name: str, looks: Sequence[Look]) -> Look:
    """Return the look with a name."""
    return next(look for look in looks if look.name == name)


def _neutral(seen: Seen) -> float | None:
    return None if seen.grey is None else colour.tint(seen.grey)


LOOKS = (
    Look(
        "neutral",
        "grey stays grey",
        "chroma",
        2.0,
        False,
        "CIELAB chroma of the picture of greyscale frames, 99.9th percentile",
        "A chroma of 2 is just seen beside a true grey; one code of rounding gives up to 1.",
        _neutral,
    ),
    Look(
        "crushed",
        "shadows and highlights are not crushed",
        "%",
        2.0,
        False,
        "pixels of luma below code 2 or above 253 that a frame shows within codes 16 to 239",
        "A fiftieth of a picture is seen as a hole. Mertens' fusion has 4 % on wide brackets.",
        lambda seen: tones.crushed(seen.frames, seen.picture),
    ),
    Look(
        "structure",
        "local contrast is that of the frames",
        "MEF-SSIM",
        0.9,
        True,
        "MEF-SSIM against the frames, the lowest of full size and three coarser sizes",
        "Mertens' fusion has 0.92 on the hardest bracket; fog and smear lie below 0.88.",
        lambda seen: structure.kept_structure(seen.frames, seen.picture),
        "fusion",
    ),
    Look(
        "contrast",
        "local contrast is that of the frame",
        "share",
        0.5,
        True,
        "share of the frame's relative contrast in 8x8 pixels that the picture repeats, the lowest "
        "of full size and three coarser sizes",
        "A gain has 1, a gamma curve of 0.6 has 0.6. Below a half, a picture looks washed out.",
        lambda seen: structure.kept_contrast(seen.frames[0], seen.picture),
        "correction",
    ),
    Look(
        "hue",
        "hues are those of the frames",
        "dE2000",
        10.0,
        False,
        "hue's part of CIEDE2000 against the well-exposed frame of the nearest hue, over patches "
        "of 5x5 pixels, 95th percentile",
        "Mertens' fusion has 1 to 9, gamma curves 5. At 10, yellow leans to green.",
        lambda seen: colour.hue_shift(seen.frames, seen.picture),
    ),
    Look(
        "halos",
        "edges have no halos",
        "codes",
        10.0,
        False,
        "luma beyond the level of its side, along strong edges with even sides, 99th percentile",
        "Gamma curves and Mertens' fusion have 0 to 7. A seam of 10 codes is seen on a sky.",
        lambda seen: halos.overshoot(seen.frames, seen.picture),
    ),
    Look(
        "false_colour",
        "no speckles of colour",
        "Lab",
        2.0,
        False,
        "deviation of a* and b* over 3x3 pixels beyond the frames', 99.9th percentile, less that "
        "of Mertens' fusion of the frames",
        "Mertens' fusion is what a user compares with; 2 is just seen.",
        lambda seen: colour.false_colour_of_fusion(seen.frames, seen.picture),
        "fusion",
    ),
    Look(
        "false_colour",
        "no speckles of colour",
        "Lab",
        8.0,
        False,
        "deviation of a* and b* over 3x3 pixels beyond the frame's, and beyond the frame's at the "
        "picture's exposure, 99.9th percentile",
        "A gamma curve of 1.4 on each channel has 7, because it raises the saturation.",
        lambda seen: colour.false_colour_of_correction(seen.frames[0], seen.picture),
        "correction",
    ),
    Look(
        "borders",
        "the border is like the inside",
        "codes",
        4.0,
        False,
        "outer 16 pixels less the strip beside them, where no frame differs by 2 codes; median of "
        "the worst band of 4 pixels",
        "As parity's gate on borders: a frame around the picture. Clean pictures have 0 to 3.",
        lambda seen: borders.border_excess(seen.frames, seen.picture),
    ),
    Look(
        "weave",
        "no pattern at the network's stride",
        "codes",
        0.5,
        False,
        "spectrum at the periods of the strides above that beside it, beyond the frames', RMS of "
        "the worst part of 128x128 pixels",
        "Half a code repeats over a whole area and is seen. Clean pictures have 0.1 to 0.45.",
        lambda seen: weave.weave(seen.frames, seen.picture, seen.periods),
    ),
    Look(
        "monotone",
        "a lighter frame gives no darker picture",
        "codes",
        1.0,
        False,
        "largest drop of the median luma when the frames' linear light grows by 1.25, in up to "
        "three steps until a frame clips",
        "Rounding the lighter frame to 8 bits moves a median by up to a code.",
        lambda seen: tones.darkening(seen.lighter),
    ),
    Look(
        "flat",
        "flat frames stay flat",
        "codes",
        2.0,
        False,
        "largest less smallest value of a channel in the picture of flat grey frames",
        "Two codes are a rounding on either side; a step of 3 is seen on a wall.",
        lambda seen: tones.unevenness(seen.picture),
    ),
)
"""All looks. Two of one name have different definitions for fusion and for correction."""
