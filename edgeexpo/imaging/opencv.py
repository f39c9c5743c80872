"""Import of OpenCV on first use."""

from __future__ import annotations

from types import ModuleType

from edgeexpo.errors import MissingDependencyError


def load_opencv() -> ModuleType:
    """Return the ``cv2`` module.

    Raises:
        MissingDependencyError: OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingDependencyError(
            "OpenCV is not installed; expected it for tone mapping, calibration, alignment and "
            "deghosting: pip install 'edgeexpo[camera]'"
        ) from error
    module: ModuleType = cv2
    return module
