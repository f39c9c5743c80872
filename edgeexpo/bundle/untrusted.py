"""What a bundle that nobody vouches for may hold: judged before it is used.

Everything here raises :class:`ValueError` with half a line that says what is wrong; who knows the
file makes a typed error of it.
"""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

from edgeexpo.bundle.manifest import STATUSES, Artifact, Manifest
from edgeexpo.spec import PRECISIONS, ModelSpec
from edgeexpo.targets import target_names

LARGEST_JSON = 1 << 24
"""Bytes of JSON that are read; a manifest has some ten thousand."""

DEEPEST_JSON = 64
"""Levels of JSON that are read."""


def read_json(path: Path) -> Any:
    """The JSON document at ``path``: bounded in size and depth, of finite numbers only.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no such document.
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
    """Raise :class:`ValueError` for what no export writes and no later step could use."""
    for name in itertools.chain(manifest.files, (a.file for a in manifest.artifacts)):
        try:
            check_relative(name)
        except ValueError as error:
            raise ValueError(f"it names {name!r}, which {error}") from error
    for artifact in manifest.artifacts:
        _check_artifact(artifact)
    _check_model(manifest.model)


def _check_artifact(artifact: Artifact) -> None:
    for value, known in (
        (artifact.target, target_names()),
        (artifact.precision, PRECISIONS),
        (artifact.status, STATUSES),
    ):
        if value not in known:
            raise ValueError(f"{artifact.file} is {value!r}, expected one of {', '.join(known)}")
    sizes = artifact.sizes
    sides = (sizes.multiple, *itertools.chain(sizes.smallest, *sizes.enumerated))
    bounds = zip(sizes.smallest, sizes.largest, strict=True)
    if min(sides) < 1 or any(low > high for low, high in bounds):
        raise ValueError(f"{artifact.file} takes no size of picture: {sizes}")


def _check_model(model: ModelSpec) -> None:
    if len(model.outputs) != 1 or not model.inputs or not model.frames:
        raise ValueError("the model lacks frames, inputs or its one output")
    names = [t.name for t in model.inputs]
    if len({*names}) < len(names) or len({*model.frames}) < len(model.frames):
        raise ValueError("two inputs or two frames of the model have one name")
    if model.residual not in (None, *names):
        raise ValueError(f"the model's residual {model.residual!r} is none of its inputs")
    if (model.halo or 0) < 0 or min(t.channels for t in (*model.inputs, *model.outputs)) < 1:
        raise ValueError("the model has a halo below 0 or channels below 1")


def check_relative(name: str) -> None:
    """Raise :class:`ValueError` unless ``name`` is a path below a folder, on every system alike.

    Backslashes separate and colons name drives or streams on some.
    """
    if ".." in name.split("/") or name.startswith("/"):
        raise ValueError("lies outside the bundle")
    if not name.isprintable() or set(name) & set("\\:") or "" in name.split("/"):
        raise ValueError("is no plain path inside the bundle, parts joined by '/'")


def check_inside(folder: Path, path: Path) -> None:
    """Raise :class:`ValueError` where links lead from ``path``, below ``folder``, out of it.

    A folder is taken whole: it may hold files and folders only, since a digest does not see where
    the links in it lead.

    Raises:
        OSError: The path cannot be followed.
    """
    try:
        resolved = path.resolve()
    except RuntimeError as error:  # what Python 3.11 raises for links in a circle
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
