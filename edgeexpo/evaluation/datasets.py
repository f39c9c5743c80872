"""Recognition of a user's folder, and the scenes that the folder gives for a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgeexpo.errors import UsageError
from edgeexpo.evaluation.brackets import bracket_scenes, is_bracket, is_one_bracket
from edgeexpo.evaluation.scene import Scene, Skipped
from edgeexpo.evaluation.simulated import photograph_scenes, radiance_scenes
from edgeexpo.imaging.files import PICTURE_SUFFIXES
from edgeexpo.imaging.radiance import RADIANCE_SUFFIXES as MAPS
from edgeexpo.spec import ModelSpec


def content(source: Path) -> str:
    """Return what a folder contains: ``brackets``, ``radiance maps`` or ``photographs``.

    Sub-folders of pictures are brackets, and so is a folder with the exposures of one scene
    (:func:`edgeexpo.evaluation.brackets.is_one_bracket`). They take precedence
    over radiance maps, and radiance maps take precedence over photographs.

    Raises:
        UsageError: The folder is missing or contains nothing that can be measured.
    """
    if not source.is_dir():
        raise UsageError(
            f"no folder at {source}; expected a folder of brackets, radiance maps or photographs"
        )
    entries = list(source.iterdir())
    if any(is_bracket(e) for e in entries) or is_one_bracket(source):
        return "brackets"
    if any(e.suffix.lower() in MAPS for e in entries):
        return "radiance maps"
    if any(e.suffix.lower() in PICTURE_SUFFIXES for e in entries):
        return "photographs"
    raise UsageError(
        f"{source} has no picture; expected sub-folders that are brackets, radiance maps (.hdr) or "
        f"photographs ({', '.join(PICTURE_SUFFIXES)})"
    )


def folder_scenes(
    source: Path, spec: ModelSpec, skipped: Skipped, *, held_out: bool = False, views: int = 40
) -> Iterator[Scene]:
    """Return an iterator over the scenes that a folder gives for a network.

    Args:
        source: Folder that :func:`content` recognises.
        spec: Spec of the network, whose ``kind`` and ``frames`` decide the frames and the truth.
        skipped: Collector that is told of every file that cannot be read.
        held_out: True for only the photographs that edgeexpo's own weights were not trained on.
        views: Number of views of radiance maps.

    Raises:
        UsageError: The folder has no truth for such a network, or too few pictures.
        PictureError: Frames of one bracket differ in size.
    """
    found = content(source)
    if spec.kind == "hdr" and found != "radiance maps":
        raise UsageError(
            f"{source} holds {found}; {spec.name} gives radiance, whose truth is a radiance map: "
            "name a folder of .hdr files"
        )
    if found == "brackets":
        return bracket_scenes(source, spec, skipped)
    if found == "radiance maps":
        return radiance_scenes(source, spec, skipped, views)
    return photograph_scenes(source, spec, skipped, held_out)
