"""What a verb can refuse at once, before it imports torch: names and paths that are not there."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import MANIFEST
from edgeexpo.errors import UsageError

PATHS = {
    "calib": "folder",
    "data": "folder",
    "images": "folder",
    "image": "picture",
    "weights": "weights",
}
"""Arguments of several verbs that name what exists, each with what that is."""


def check_early(args: argparse.Namespace) -> None:
    """Refuse a network, a bundle or a path that is not there.

    Args:
        args: The arguments of a verb. ``model`` is a network, or the folder of a bundle where a
            verb takes either. ``bundle`` is a bundle, or a list of them.

    Raises:
        UsageError: A name is unknown, or a path leads nowhere.
        ModuleError: The file of a user's network is not there.
        BundleError: There is no bundle at the path.
    """
    from edgeexpo.models.names import check_name

    model, bundles = getattr(args, "model", None), getattr(args, "bundle", None)
    if isinstance(model, str) and not (Path(model) / MANIFEST).is_file():
        check_name(model)
    for bundle in bundles if isinstance(bundles, list) else [bundles]:
        if bundle is not None:
            Bundle.open(bundle)
    for name, kind in PATHS.items():
        path = getattr(args, name, None)
        if isinstance(path, (str, Path)) and not Path(path).exists():
            parameter = "calibration" if name == "calib" else name
            raise UsageError(f"no {kind} at {path}, which `{parameter}` names")
