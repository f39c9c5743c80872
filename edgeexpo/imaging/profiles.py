"""ICC profiles: recognition of sRGB and Display P3, and conversion of any other profile to sRGB."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeexpo.errors import PictureError

if TYPE_CHECKING:
    from PIL import Image

_SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
_DISPLAY_P3 = (
    (0.51512, 0.24120, -0.00105),
    (0.29198, 0.69225, 0.04189),
    (0.15710, 0.06657, 0.78407),
)
"""XYZ of the Display P3 primaries after Bradford's adaptation from D65 to D50, as in profiles."""

_NEAR = 0.003
"""Largest difference in XYZ between profiles of one colour space.

The nearest other colour space is ten times as far away."""


def embedded_profile(path: Path, image: Image.Image) -> bytes | None:
    """Return the profile of an opened picture that is not sRGB.

    Returns:
        The profile's bytes, or ``None`` for a picture with an sRGB profile or without a profile.

    Raises:
        PictureError: The profile cannot be read.
    """
    profile = image.info.get("icc_profile")
    if not profile or _is(path, profile, _SRGB):
        return None
    return bytes(profile)


def is_srgb(path: Path, profile: bytes) -> bool:
    """Return whether a profile is sRGB by its numbers.

    Raises:
        PictureError: The profile cannot be read.
    """
    return _is(path, profile, _SRGB)


def is_display_p3(path: Path, profile: bytes) -> bool:
    """Return whether a profile is Display P3: primaries of SMPTE RP 431-2, D65, sRGB's curve.

    The profile's numbers decide, not its name. Makers give Display P3 names of their own, some of
    which contain "sRGB".

    Raises:
        PictureError: The profile cannot be read.
    """
    return _is(path, profile, _DISPLAY_P3)


def name(path: Path, profile: bytes) -> str:
    """Return the name that a profile gives itself.

    Raises:
        PictureError: The profile cannot be read.
    """
    return (_opened(path, profile).profile.profile_description or "").strip()


def space(path: Path, profile: bytes) -> str:
    """Return the colour space of a profile's device, as in ``RGB``, ``GRAY`` or ``CMYK``.

    Raises:
        PictureError: The profile cannot be read.
    """
    return str(_opened(path, profile).profile.xcolor_space).strip()


def to_srgb(path: Path, image: Image.Image, profile: bytes) -> Image.Image:
    """Convert an 8-bit picture to sRGB with Little CMS (relative colorimetric intent).

    Colours outside sRGB are clipped.

    Raises:
        PictureError: The profile cannot be read or does not fit the picture.
    """
    from PIL import ImageCms

    if image.mode == "P":
        image = image.convert("RGB")
    try:
        return _converted(image, _opened(path, profile))
    except ImageCms.PyCMSError as error:
        raise PictureError(
            f"{path} has a colour profile that does not fit it ({error}); convert it to sRGB"
        ) from error


def _is(path: Path, profile: bytes, primaries: tuple[tuple[float, ...], ...]) -> bool:
    from PIL import Image, ImageCms

    opened = _opened(path, profile)
    facts = opened.profile
    found = [facts.red_colorant, facts.green_colorant, facts.blue_colorant]
    if facts.xcolor_space.strip() != "RGB" or None in found:
        return False
    colorants = np.array([xyz for xyz, _ in found])
    if np.abs(colorants - primaries).max() > _NEAR:
        return False
    greys = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    try:
        shown = np.asarray(_converted(Image.fromarray(greys), opened), np.int16)
    except ImageCms.PyCMSError:
        return False
    return bool(np.abs(shown - greys).max() <= 1)


def _converted(image: Image.Image, profile: Any) -> Image.Image:
    from PIL import ImageCms

    converted = ImageCms.profileToProfile(
        image,
        profile,
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
    )
    assert converted is not None  # Only conversions in place return None.
    return converted


def _opened(path: Path, profile: bytes) -> Any:
    from PIL import ImageCms

    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(profile))
    except (ImageCms.PyCMSError, OSError) as error:
        raise PictureError(
            f"{path} has a colour profile that cannot be read; remove it, or convert it to sRGB"
        ) from error
