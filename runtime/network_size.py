"""The size at which a network sees a picture that it has to see whole."""

from __future__ import annotations

from edgeexpo.runtime.stages import ENLARGING, small_size
from edgeexpo.runtime.tiling import check_whole, fits_whole
from edgeexpo.spec import ModelSpec, SizeRange


def network_size(
    spec: ModelSpec, sizes: SizeRange, height: int, width: int, fuse: bool = True
) -> tuple[int, int]:
    """Return the height and width of the frames for the front stage and the network.

    A network whose fusion is rendered at full size sees copies of the stage's ``longest``, unless
    its own output is asked for.

    The size is the frames' own in three cases: the network runs in tiles, its inputs have a fixed
    size (the front stage scales), or the artefact takes the picture whole.

    Otherwise the back stage has to enlarge (:data:`edgeexpo.runtime.stages.ENLARGING`). The picture
    is then scaled down to fit ``spec.longest`` and the artefact's largest size. Its aspect ratio is
    kept, up to the network's ``multiple``.

    An artefact with enumerated sizes then gets exactly the smallest size that covers the scaled
    picture. Padding by reflection would change the result of a network that looks at the whole
    picture.

    Args:
        spec: The model.
        sizes: The sizes that the artefact accepts, in pixels.
        height, width: Size of the frames, in pixels.
        fuse: False if the network's output is handed over as it is.

    Raises:
        PictureError: The artefact does not take the picture and no back stage enlarges.
    """
    if fuse and spec.back is not None and spec.back.kind == "rendered-fusion":
        return small_size(height, width, spec.back.parameters["longest"])
    any_size = spec.halo is not None or spec.fixed_size is not None
    seen_whole = spec.longest is None or max(height, width) <= spec.longest
    if any_size or (seen_whole and fits_whole(height, width, spec.footprint, sizes)):
        return height, width
    if spec.back is None or spec.back.kind not in ENLARGING:
        check_whole(height, width, spec.footprint, sizes)
    longest = spec.longest or max(sizes.largest)
    limits = [min(side, longest) for side in sizes.largest]
    scale = min(1.0, limits[0] / height, limits[1] / width)
    fitting = tuple(
        min(largest, max(smallest, round(side * scale / sizes.multiple) * sizes.multiple))
        for side, smallest, largest in zip(
            (height, width), sizes.smallest, sizes.largest, strict=True
        )
    )
    covering = [s for s in sizes.enumerated if s[0] >= fitting[0] and s[1] >= fitting[1]]
    return min(covering, key=lambda s: s[0] * s[1]) if covering else (fitting[0], fitting[1])
