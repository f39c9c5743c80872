"""Read Core ML packages without a change to them.

coremltools 9.0 writes a package's ``Manifest.json`` anew whenever it opens the package. A digest
could break by that, and a package on a read-only disk could not be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeexpo.bundle.untrusted import check_inside, check_relative, read_json
from edgeexpo.coremltools_import import light_coremltools

_DATA, _WEIGHTS = "Data", "com.apple.CoreML/weights"


@dataclass(frozen=True)
class CoreMLPackage:
    """The contents of an ``.mlpackage``.

    Attributes:
        spec: coremltools' protobuf message of the model.
        weights: Folder of the files of weights.
    """

    spec: Any
    weights: Path


def read_package(path: Path) -> CoreMLPackage:
    """Read an ``.mlpackage``.

    Raises:
        ValueError: The folder is no package, or its model is damaged.
        OSError: A file cannot be read.
        ImportError: coremltools is not installed.
    """
    with light_coremltools():
        from coremltools.proto import Model_pb2
    from google.protobuf.message import DecodeError

    manifest = read_json(path / "Manifest.json")
    try:
        entry = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"]
        check_relative(entry)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("Manifest.json names no model") from error
    file = path / _DATA / entry
    check_inside(path, file)
    spec = Model_pb2.Model()
    try:
        spec.ParseFromString(file.read_bytes())
    except DecodeError as error:
        raise ValueError(f"{entry} is damaged: {error}") from error
    return CoreMLPackage(spec, path / _DATA / _WEIGHTS)
