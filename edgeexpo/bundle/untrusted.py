"""Checks of a bundle from an unknown source, before it is used.

Every function here raises :class:`ValueError` with half a line that says what is wrong. The caller,
who knows the file, makes a typed error of it.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeexpo.bundle.manifest import STATUSES, Artifact, Manifest
from edgeexpo.spec import PRECISIONS, ModelSpec
from edgeexpo.targets import target_names

LARGEST_JSON = 1 << 24
"""Largest accepted JSON document, in bytes; a manifest has about ten thousand."""

DEEPEST_JSON = 64
"""Largest accepted depth of a JSON document, in levels."""


def read_json(path: Path) -> Any:
    """Read the JSON document at ``path``: bounded in size and depth, with finite numbers only.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is not such a document.
    """
    with path.open("rb") as stream:
        data = stream.read(LARGEST_JSON + 1)
    if len(data) > LARGEST_JSON:
        raise ValueError(f"it is larger than {LARGEST_JSON >> 20} MiB")
    try:
        document = json.loads(data.decode("utf-8"))
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    level = [document]
    for _ in range(DEEPEST_JSON):
        if any(isinstance(value, float) and not math.isfinite(value) for value in level):
            raise ValueError("it has a number that is not finite")
        level = [child for value in level for child in _children(value)]
        if not level:
            return document
    raise ValueError(_TOO_DEEP)


_TOO_DEEP = f"it is nested deeper than {DEEPEST_JSON} levels"


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def check_manifest(manifest: Manifest) -> None:
    """Refuse a manifest that no export writes and no later step could use.

    Raises:
        ValueError: A path, an artefact or the model is invalid.
    """
    for name in itertools.chain(manifest.files, (a.file for a in manifest.artifacts)):
        try:
            check_relative(name)
        except ValueError as error:
            raise ValueError(f"it names {name!r}, which {error}") from error
    for artifact in manifest.artifacts:
        _check_artifact(artifact)
    for refusal in manifest.refused:
        _check_known("a refusal", (refusal.target, target_names()), (refusal.precision, PRECISIONS))
    _check_model(manifest.model)
    if manifest.network is not None:
        _check_model(manifest.network.spec)


def _check_artifact(artifact: Artifact) -> None:
    _check_known(
        artifact.file,
        (artifact.target, target_names()),
        (artifact.precision, PRECISIONS),
        (artifact.status, STATUSES),
    )
    sizes = artifact.sizes
    sides = (sizes.multiple, *itertools.chain(sizes.smallest, *sizes.enumerated))
    bounds = zip(sizes.smallest, sizes.largest, strict=True)
    if min(sides) < 1 or any(low > high for low, high in bounds):
        raise ValueError(f"{artifact.file} accepts no picture size: {sizes}")


def _check_known(name: str, *pairs: tuple[str, Sequence[str]]) -> None:
    for value, known in pairs:
        if value not in known:
            raise ValueError(f"{name} is {value!r}, expected one of {', '.join(known)}")


def _check_model(model: ModelSpec) -> None:
    if len(model.outputs) != 1 or not model.inputs or not model.frames:
        raise ValueError("the model lacks frames, inputs or its one output")
    names = [t.name for t in model.inputs]
    if len({*names}) < len(names) or len({*model.frames}) < len(model.frames):
        raise ValueError("two inputs or two frames of the model have one name")
    if model.residual not in (None, *names):
        raise ValueError(f"the model's residual {model.residual!r} is not one of its inputs")
    if (model.halo or 0) < 0 or min(t.channels for t in (*model.inputs, *model.outputs)) < 1:
        raise ValueError("the model has a halo below 0 or channels below 1")


def check_relative(name: str) -> None:
    """Refuse a name that is not a path below a folder on every system.

    Some systems use backslashes as separators, and colons for drives or streams.

    Raises:
        ValueError: The name is not such a path.
    """
    if ".." in name.split("/") or name.startswith("/"):
        raise ValueError("lies outside the bundle")
    if not name.isprintable() or set(name) & set("\\:") or "" in name.split("/"):
        raise ValueError("is not a plain path inside the bundle with parts joined by '/'")


def check_inside(folder: Path, path: Path) -> None:
    """Refuse a path below ``folder`` whose links lead out of it.

    A folder is checked with all it contains. It may hold only files and folders, because a digest
    does not see where links lead.

    Raises:
        OSError: The path cannot be followed.
        ValueError: A link leads out of ``folder``, or an entry is neither a file nor a folder.
    """
    try:
        resolved = path.resolve()
    except RuntimeError as error:  # Python 3.11 raises it for circular links
        raise ValueError("is a link to itself") from error
    if not resolved.is_relative_to(folder.resolve()):
        raise ValueError("lies outside the bundle")
    if path.is_dir():
        for part in path.rglob("*"):
            if part.is_symlink() or not (part.is_file() or part.is_dir()):
                inner = part.relative_to(path).as_posix()
                raise ValueError(f"holds {inner!r}, which is neither a file nor a folder")
    elif path.exists() and not path.is_file():
        raise ValueError("is neither a file nor a folder")
