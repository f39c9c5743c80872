"""Search for the first layer whose values in an artefact differ from the reference."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.errors import UsageError
from edgeexpo.parity.localisation.error_map import write_error_map
from edgeexpo.parity.localisation.localisation import Localisation, localise
from edgeexpo.workflows.arguments import AnyPath


def debug(
    bundle: Bundle | AnyPath,
    *,
    target: str | None = None,
    precision: str | None = None,
    image: AnyPath | None = None,
    images: AnyPath | None = None,
    output: AnyPath | None = None,
    on: str | None = None,
) -> Localisation:
    """Find the first layer where an artefact of a bundle differs from its program.

    Args:
        bundle: A bundle or the path of its folder.
        target: Target of the artefact. By default, the target that would be run.
        precision: Precision of the artefact. By default, the precision that would be run.
        image: File of one photograph to trace.
        images: Folder of photographs or brackets, instead of ``image``. Two of them are traced. By
            default, the embedded photographs.
        output: Folder for a picture of the first faulty layer's error.
        on: Address of a machine that runs the artefact, such as ``ssh://pi@camera``. ONNX files
            can be traced there.

    Returns:
        The layers in order. The result is true if no layer is at fault.

    Raises:
        BundleError: A file is missing or was changed, or no artefact matches.
        EngineError: The artefact cannot be traced.
        MissingDependencyError: The engine is not installed.
        UsageError: The pictures cannot be used, or the target's files cannot be traced.
        OutputError: The picture cannot be written.
        HostError: The machine of ``on`` cannot be reached, lacks something, or was lost.

    Example:
        >>> found = edgeexpo.debug(bundle, images=photographs)
        >>> bool(found), found.first
        (True, None)
    """
    if image is not None and images is not None:
        raise UsageError("`image` and `images` were both given; leave one of them out")
    with tempfile.TemporaryDirectory() as folder:
        found = localise(
            bundle,
            target=target,
            precision=precision,
            images=images if image is None else _folder_of(Path(image), Path(folder)),
            on=on,
        )
    if output is None or found.first is None or found.first.error_map is None:
        return found
    return dataclasses.replace(found, files=(str(write_error_map(found, Path(output))),))


def _folder_of(image: Path, folder: Path) -> Path:
    """Make ``folder`` hold nothing but a link to ``image``, and return it."""
    if not image.is_file():
        raise UsageError(f"no picture at {image}; expected a photograph, or `images` DIR")
    (folder / image.name).symlink_to(image.resolve())
    return folder
