"""The output of ``edgeexpo run``: check that a picture may be written, and write it."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeexpo.errors import OutputError, UsageError
from edgeexpo.progress import note
from edgeexpo.spec import ModelSpec
from edgeexpo.writing import writing

if TYPE_CHECKING:
    import numpy as np

TONEMAPS = ("durand", "reinhard", "drago", "mantiuk")
"""Names of the operators of :mod:`edgeexpo.imaging.tonemap` that need no tuning."""


HDR_SUFFIX = ".avif"
"""Suffix of pictures that can hold radiance as HDR displays show it."""


def write_output(picture: np.ndarray, args: argparse.Namespace, frame: np.ndarray) -> str | None:
    """Write ``picture`` to ``args.output``, as a picture or as radiance.

    Under ``--tonemap``, radiance is first mapped to a picture of 8 bits. Under ``--gain-map``, that
    picture is the base of a file that holds the radiance as well. A picture gets the EXIF data of
    the last input.

    Args:
        picture: What the network gave.
        args: The verb's arguments.
        frame: The last input. Radiance for HDR displays gets its brightness.

    Returns:
        The colour space of a picture, or ``None`` for radiance.
    """
    from edgeexpo.imaging import tonemap as operators
    from edgeexpo.imaging.radiance import RADIANCE_SUFFIXES, write_radiance

    radiance = picture
    if args.tonemap or args.gain_map:
        mapped = getattr(operators, args.tonemap or TONEMAPS[0])(radiance)
        picture = (mapped * 255).round().astype("uint8")
    if args.gain_map:
        from edgeexpo.imaging.files import read_exif
        from edgeexpo.imaging.gain_maps import anchored, write_gain_map

        write_gain_map(args.output, picture, anchored(radiance, picture), read_exif(args.input[-1]))
        return "sRGB"
    if args.output.suffix.lower() == HDR_SUFFIX and picture.dtype.kind == "f":
        _write_hdr(args.output, picture, frame)
        return "BT.2100 PQ"
    if args.output.suffix.lower() in RADIANCE_SUFFIXES:
        write_radiance(args.output, picture)
        return None
    return write_as(args.output, picture, args.input[-1], args.keep_p3)


def _write_hdr(path: Path, radiance: np.ndarray, frame: np.ndarray) -> None:
    from edgeexpo.imaging.avif import encode_radiance
    from edgeexpo.imaging.gain_maps import WHITE_NITS, anchored
    from edgeexpo.writing import write_file

    data = encode_radiance(anchored(radiance, frame), WHITE_NITS)
    write_file(path, data, make_folder=False)


def write_as(path: Path, picture: np.ndarray, source: Path, keep_p3: bool) -> str:
    """Write a picture with the EXIF data of ``source``.

    With ``keep_p3``, a Display P3 profile of ``source`` is written, too.

    Returns:
        The colour space: ``sRGB`` or ``Display P3``.
    """
    from edgeexpo.imaging.files import read_exif, read_p3_profile, write_picture

    profile = read_p3_profile(source) if keep_p3 else None
    write_picture(path, picture, read_exif(source), profile)
    return "sRGB" if profile is None else "Display P3"


def written_bits(spec: ModelSpec, args: argparse.Namespace, kind: np.dtype[Any]) -> int:
    """Return the bits a channel of what will be written, 8 or 16, of frames of a data type."""
    if args.tonemap or args.gain_map:
        return 8
    return 16 if spec.kind == "hdr" else 8 * kind.itemsize


def note_losses(path: Path, source: Path, bits: int) -> None:
    """Say on stderr what of the file ``source`` the file at ``path`` will not hold.

    Args:
        path: The file that is to be written.
        source: The picture whose EXIF data go into the file.
        bits: Bits a channel of the picture that is to be written, 8 or 16.
    """
    from edgeexpo.imaging.files import read_extras

    if losses := [*read_extras(source), *_lost_exif(path, source, bits)]:
        note(f"edgeexpo: {path} will not keep of {source}: {', '.join(losses)}")


def _lost_exif(path: Path, source: Path, bits: int) -> Iterator[str]:
    from edgeexpo.imaging.exif_copy import trimmed
    from edgeexpo.imaging.files import WRITTEN_FORMATS, read_exif_and_losses

    written = WRITTEN_FORMATS.get(path.suffix.lower())
    exif, invalid = read_exif_and_losses(source)
    if exif is None:
        return
    deep = {"TIFF": "a TIFF with 16 bits a channel", "AVIF": "an AVIF with 10 bits a channel"}
    if written is None or (written in deep and bits > 8):
        yield f"EXIF data ({deep[written] if written else 'radiance'} holds none)"
        return
    if invalid:
        yield f"invalid EXIF tags {_tags(invalid)}"
    too_long = trimmed(exif)[1] if written == "JPEG" else []
    if too_long:
        yield f"EXIF tags that are too long for a JPEG {_tags(too_long)}"


def _tags(numbers: list[int]) -> str:
    return ", ".join(f"0x{number:04X}" for number in numbers)


def check_suffix(
    spec: ModelSpec, args: argparse.Namespace, kind: np.dtype[Any] | None = None
) -> None:
    """Refuse an output whose suffix cannot hold the network's output.

    Args:
        spec: The bundle's model.
        args: The verb's arguments.
        kind: Data type of the frames, of 8 or 16 bits, or ``None`` before they are read.

    Raises:
        UsageError: The suffix does not fit the network's output.
    """
    from edgeexpo.imaging.avif import load_imagecodecs
    from edgeexpo.imaging.files import WRITTEN_FORMATS, check_output
    from edgeexpo.imaging.radiance import RADIANCE_SUFFIXES
    from edgeexpo.runtime.stages import gives_picture

    output, suffix = args.output, args.output.suffix.lower()
    if args.gain_map:
        _check_gain_map(spec, output)
        return
    if spec.kind == "hdr" and not args.tonemap:
        if suffix == HDR_SUFFIX:
            load_imagecodecs()
            return
        if suffix in WRITTEN_FORMATS:
            raise UsageError(
                f"{spec.name} gives radiance, which {suffix} cannot hold; name a "
                f"{', '.join(RADIANCE_SUFFIXES)} or {HDR_SUFFIX} file, or add --tonemap "
                f"{TONEMAPS[0]} for a preview{_gain_map_advice(suffix)}"
            )
        if suffix not in RADIANCE_SUFFIXES:
            check_output(output)
        return
    if args.tonemap and spec.kind != "hdr":
        raise UsageError(f"--tonemap is for radiance; {spec.name} gives none: leave it out")
    if spec.kind != "hdr" and not gives_picture(spec, not args.no_fuse):
        raise UsageError(
            f"{spec.name} gives {spec.outputs[0].name!r}, which is no sRGB picture; "
            "use edgeexpo.runtime from Python"
        )
    if suffix in RADIANCE_SUFFIXES:
        what = "a tone-mapped picture" if args.tonemap else f"the picture of {spec.name}"
        raise UsageError(f"{output} is for radiance, not for {what}; name a .png or .tif file")
    check_output(output, None if args.tonemap else kind)


def _check_gain_map(spec: ModelSpec, output: Path) -> None:
    from edgeexpo.imaging.gain_maps import GAIN_MAP_SUFFIXES

    if spec.kind != "hdr":
        raise UsageError(
            f"--gain-map is for radiance; {spec.name} gives none: leave it out, or take a network "
            "such as expandnet"
        )
    if output.suffix.lower() not in GAIN_MAP_SUFFIXES:
        raise UsageError(
            f"--gain-map writes a JPEG; found {output}, expected "
            f"{' or '.join(GAIN_MAP_SUFFIXES)}: name such a file, or leave it out"
        )


def _gain_map_advice(suffix: str) -> str:
    from edgeexpo.imaging.gain_maps import GAIN_MAP_SUFFIXES

    return ", or --gain-map for both in one file" if suffix in GAIN_MAP_SUFFIXES else ""


def check_request(spec: ModelSpec, args: argparse.Namespace) -> None:
    """Refuse, before any work, a request for pictures that cannot be met.

    Raises:
        UsageError: The number of pictures or the output's name is wrong. The output is one of the
            inputs, or exists without ``--force``.
        OutputError: The output's folder is missing or cannot be written.
        MissingDependencyError: Tones are to be mapped and OpenCV is not installed.
    """
    from edgeexpo.imaging.opencv import load_opencv

    inputs, output = args.input, args.output
    if len(inputs) != len(spec.frames):
        advice = ": take the darkest and the brightest" if len(spec.frames) == 2 else ""
        raise UsageError(
            f"{len(inputs)} pictures were given; {spec.name} takes {len(spec.frames)} "
            f"({', '.join(spec.frames)}){advice}"
        )
    check_suffix(spec, args)
    if args.tonemap or args.gain_map:
        load_opencv()  # A missing package is known before the work.
    if args.keep_p3 and spec.kind == "hdr":
        raise UsageError(
            f"--keep-p3 is for pictures; the radiance of {spec.name} has sRGB's primaries: "
            "leave it out"
        )
    for path in inputs:
        if output.exists() and path.exists() and output.samefile(path):
            raise UsageError(f"{output} is an input; choose another output with -o")
    if output.is_dir() or (output.exists() and not args.force):
        way = "choose another with -o" if output.is_dir() else "use --force to replace it"
        raise UsageError(f"{output} exists; {way}")
    if not output.parent.is_dir():
        raise OutputError(f"cannot write {output}: there is no folder {output.parent}; make it")
    with writing(output):
        handle, probe = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
        os.close(handle)
        os.unlink(probe)
