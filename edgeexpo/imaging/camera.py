"""A simulated camera: radiance to 8-bit frames, with noise, clipping and a chosen response."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeexpo.imaging import response
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.color import srgb_to_linear


@dataclass(frozen=True)
class Camera:
    """A sensor and its response.

    Attributes:
        table: (256, 3) inverse response.
        full_well: Electrons at saturation; photon noise has variance ``electrons``.
        read_noise: Standard deviation of the read noise, electrons.
        jpeg_quality: Frames go through baseline JPEG (4:2:0) of this quality, 1 to 95; ``None``
            leaves them as they are.
    """

    table: npt.NDArray[np.float64]
    full_well: float = 3000.0
    read_noise: float = 3.0
    jpeg_quality: int | None = None

    @classmethod
    def random(cls, rng: np.random.Generator) -> Camera:
        """Draw a camera: EMoR response, full well 1500 to 6000 and read noise 2 to 4 electrons,
        the range of small sensors at middle sensitivity (ISO 100 to 400)."""
        return cls(
            response.random_response(rng),
            float(1500 * 4 ** rng.random()),
            float(2 + 2 * rng.random()),
        )

    def expose(self, radiance: npt.NDArray[np.floating], ev: float) -> Picture:
        """The ideal exposure: no noise, no quantisation.

        Args:
            radiance: HxWx3, linear, >= 0; at EV 0, 1 just saturates.
            ev: Exposure value relative to that.

        Returns:
            HxWx3 float32 in [0, 1], encoded by the camera's response.
        """
        return response.render(radiance * 2.0**ev, self.table)

    def shoot(
        self, radiance: npt.NDArray[np.floating], ev: float, rng: np.random.Generator
    ) -> Picture:
        """One exposure as the camera delivers it: noise, clipping, response, 8 bits, perhaps JPEG.

        Args and result as for :meth:`expose`; values are multiples of 1/255.
        """
        signal = radiance.astype(np.float32) * np.float32(2.0**ev)
        variance = np.minimum(signal, 2) / self.full_well + (self.read_noise / self.full_well) ** 2
        noisy = signal + np.sqrt(variance) * rng.standard_normal(signal.shape, np.float32)
        codes = np.rint(response.render(noisy, self.table) * 255).astype(np.uint8)
        if self.jpeg_quality is not None:
            codes = _through_jpeg(codes, self.jpeg_quality)
        return codes.astype(np.float32) / np.float32(255)


def _through_jpeg(codes: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(codes).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(buffer).convert("RGB"))


def re_expose(
    photograph: npt.NDArray[np.floating], evs: Sequence[float], seed: int
) -> list[Picture]:
    """Photograph a photograph: its linear light, seen by a random camera at several exposures.

    Args:
        photograph: HxWx3, sRGB-encoded, [0, 1].
        evs: Exposures relative to the photograph, such as ``(-2, 0, 2)``.
        seed: Seeds the camera (:meth:`Camera.random`) and the noise.

    Returns:
        One HxWx3 float32 frame for each of ``evs``, in [0, 1], 8-bit codes.
    """
    rng = np.random.default_rng(seed)
    camera = Camera.random(rng)
    radiance = srgb_to_linear(np.asarray(photograph, np.float32))
    return [camera.shoot(radiance, ev, rng) for ev in evs]
