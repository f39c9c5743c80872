"""ICC profiles: which of them mean sRGB or Display P3, and the way from any other to sRGB."""

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
"""XYZ of the primaries after Bradford's adaptation from D65 to D50, as profiles hold them."""

_NEAR = 0.003
"""What profiles of one colour space differ by; the next space is ten times as far."""


def embedded_profile(path: Path, image: Image.Image) -> bytes | None:
    """The profile of an opened picture; ``None`` for one that is sRGB, with a profile or without.

    Raises:
        PictureError: The profile cannot be read.
    """
    profile = image.info.get("icc_profile")
    if not profile or _is(path, profile, _SRGB):
        return None
    return bytes(profile)


def is_display_p3(path: Path, profile: bytes) -> bool:
    """Whether a profile means Display P3: the primaries of SMPTE RP 431-2, D65, sRGB's curve.

    Its numbers decide: makers give it names of their own, with "sRGB" in some of them.

    Raises:
        PictureError: The profile cannot be read.
    """
    return _is(path, profile, _DISPLAY_P3)


def name(path: Path, profile: bytes) -> str:
    """What a profile calls itself. Raises :class:`PictureError` when it cannot be read."""
    return (_opened(path, profile).profile.profile_description or "").strip()


def to_srgb(path: Path, image: Image.Image, profile: bytes) -> Image.Image:
    """An 8-bit picture converted by Little CMS, relative to white; what sRGB lacks is clipped.

    Raises:
        PictureError: The profile does not fit the picture.
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
    assert converted is not None  # None is for conversions in place
    return converted


def _opened(path: Path, profile: bytes) -> Any:
    from PIL import ImageCms

    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(profile))
    except (ImageCms.PyCMSError, OSError) as error:
        raise PictureError(
            f"{path} has a colour profile that cannot be read; remove it, or convert it to sRGB"
        ) from error
