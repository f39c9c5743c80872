"""A simulated camera that turns radiance into 8-bit frames.

The camera adds noise, clips, and applies a chosen response.
"""

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
        table: (256, 3) inverse response, as in :mod:`edgeexpo.imaging.response`.
        full_well: Electrons at saturation. The variance of the photon noise is the number of
            electrons.
        read_noise: Standard deviation of the read noise, in electrons.
        jpeg_quality: Quality, 1 to 95, of the baseline JPEG (4:2:0) that frames go through.
            ``None`` leaves frames uncompressed.
    """

    table: npt.NDArray[np.float64]
    full_well: float = 3000.0
    read_noise: float = 3.0
    jpeg_quality: int | None = None

    @classmethod
    def random(cls, rng: np.random.Generator) -> Camera:
        """Draw a random camera with a response from the empirical model (EMoR).

        The full well is 1500 to 6000 electrons and the read noise is 2 to 4 electrons. These are
        the ranges of small sensors at middle sensitivity (ISO 100 to 400).
        """
        return cls(
            response.random_response(rng),
            float(1500 * 4 ** rng.random()),
            float(2 + 2 * rng.random()),
        )

    def expose(self, radiance: npt.NDArray[np.floating], ev: float) -> Picture:
        """Return the ideal exposure, without noise and without quantisation.

        Args:
            radiance: HxWx3, linear, >= 0. At EV 0, radiance 1 just saturates the sensor.
            ev: Exposure value relative to EV 0.

        Returns:
            HxWx3 float32 in [0, 1], encoded by the camera's response.
        """
        return response.render(radiance * 2.0**ev, self.table)

    def shoot(
        self, radiance: npt.NDArray[np.floating], ev: float, rng: np.random.Generator
    ) -> Picture:
        """Return one exposure with noise, clipping, response, 8-bit rounding and optional JPEG.

        Args:
            radiance: HxWx3, linear, >= 0. At EV 0, radiance 1 just saturates the sensor.
            ev: Exposure value relative to EV 0.
            rng: Generator of the noise.

        Returns:
            HxWx3 float32 in [0, 1], encoded by the camera's response, multiples of 1/255.
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
    """Photograph a photograph's linear light with a random camera at several exposures.

    Args:
        photograph: HxWx3, sRGB-encoded, [0, 1].
        evs: Exposures in EV relative to the photograph, such as ``(-2, 0, 2)``.
        seed: Seed of the camera (:meth:`Camera.random`) and of the noise.

    Returns:
        One frame for each of ``evs``, HxWx3 float32 in [0, 1], multiples of 1/255, encoded by the
        camera's response.
    """
    rng = np.random.default_rng(seed)
    camera = Camera.random(rng)
    radiance = srgb_to_linear(np.asarray(photograph, np.float32))
    return [camera.shoot(radiance, ev, rng) for ev in evs]
