"""Quality metrics of pictures on rounded 8-bit codes, and of radiance.

Pictures are HxWx3 uint8, RGB, sRGB-encoded. A metric returns ``None`` when its window is larger
than the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import torch

from edgeexpo.errors import MissingDependencyError
from edgeexpo.evaluation.scene import Scene
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.color import LUMA, delta_e_2000, rgb_to_lab, srgb_to_linear
from edgeexpo.imaging.mef_ssim import SMALLEST_MEF_SIDE, MefReference
from edgeexpo.imaging.pu21 import BEST_PSNR, pu21_psnr
from edgeexpo.program.tensors import picture_tensor

Codes = npt.NDArray[np.uint8]
"""8-bit codes of a picture, HxWx3 uint8 RGB, sRGB-encoded."""


_LUMA = np.array(LUMA, np.float32)
_DISPLAY = (1.0, 999.0)
_CLIPPED = 250 / 255
_WELL_EXPOSED = (32 / 255, 224 / 255)


def to_codes(picture: Picture) -> Codes:
    """Return a picture in [0, 1] as 8-bit codes of the same shape, clipped and rounded."""
    codes: Codes = np.rint(np.clip(picture, 0, 1) * np.float32(255)).astype(np.uint8)
    return codes


def psnr_codes(truth: Codes, picture: Codes) -> float:
    """Return the peak signal-to-noise ratio over RGB, peak 255, in dB. Equal pictures give 120."""
    error = float(np.mean((truth.astype(np.float64) - picture) ** 2))
    return BEST_PSNR if error == 0 else float(10 * np.log10(255.0**2 / error))


def ssim_codes(truth: Codes, picture: Codes) -> float | None:
    """Return the mean SSIM over RGB (Wang et al., 2004), computed by scikit-image.

    The window is Gaussian, 11x11, of sigma 1.5, and the covariance is that of the population.

    Returns:
        SSIM up to 1, or ``None`` when a side is below 11 pixels.

    Raises:
        MissingDependencyError: scikit-image is not installed.
    """
    if min(truth.shape[:2]) < 11:
        return None
    try:
        from skimage.metrics import structural_similarity
    except ImportError as error:
        raise _missing(error) from error
    score = structural_similarity(
        truth,
        picture,
        channel_axis=2,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(score)


def ms_ssim_codes(truth: Codes, picture: Codes) -> float | None:
    """Return the multi-scale SSIM over RGB (Wang et al., 2003), computed by torchmetrics.

    Returns:
        MS-SSIM over five scales, up to 1, or ``None`` when a side is below 176 pixels.

    Raises:
        MissingDependencyError: torchmetrics is not installed.
    """
    if min(truth.shape[:2]) < 176:
        return None
    try:
        from torchmetrics.functional.image import (
            multiscale_structural_similarity_index_measure as measure,
        )
    except ImportError as error:
        raise _missing(error) from error
    return float(measure(_tensor(picture), _tensor(truth), data_range=255.0))


def vif(truth: Codes, picture: Codes) -> float | None:
    """Return VIFp, the visual information fidelity in the pixel domain, of BT.601 luma.

    VIFp is a simplification of Sheikh and Bovik, "Image information and visual quality", 2006, by
    the same authors. torchmetrics computes it.

    Returns:
        1 for equal pictures, above 1 for more contrast, or ``None`` when a side is below 41 pixels.

    Raises:
        MissingDependencyError: torchmetrics is not installed.
    """
    if min(truth.shape[:2]) < 41:
        return None
    try:
        from torchmetrics.functional.image import visual_information_fidelity as measure
    except ImportError as error:
        raise _missing(error) from error
    grey = [_tensor((p.astype(np.float32) @ _LUMA)[..., None]) for p in (picture, truth)]
    return float(measure(*grey))


def delta_e_codes(truth: Codes, picture: Codes) -> float:
    """Return the mean CIEDE2000 colour difference under D65."""
    labs = [rgb_to_lab(p.astype(np.float32) / 255) for p in (truth, picture)]
    return float(np.mean(delta_e_2000(*labs)))


PICTURE_METRICS: Mapping[str, Callable[[Codes, Codes], float | None]] = MappingProxyType(
    {
        "psnr": psnr_codes,
        "ssim": ssim_codes,
        "ms_ssim": ms_ssim_codes,
        "vif": vif,
        "delta_e": delta_e_codes,
    }
)
"""Metrics of pictures by name, each a function of the truth and the picture."""

NAMES = (*PICTURE_METRICS, "mef_ssim", "mef_ssim_inputs", "pu21_psnr", "clipped_log_error")
"""Names of all metrics, in the order of the table."""

QUALITY_LARGER_IS_BETTER = {name: name not in ("delta_e", "clipped_log_error") for name in NAMES}
"""Direction of each metric by name, True when a larger score is better."""


class Measure:
    """All metrics that one scene's truth allows. The exposures are prepared once."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._truth = None if scene.truth is None else to_codes(scene.truth)
        self._exposures: dict[str, MefReference] = {}
        if len(scene.stack) > 1 and min(scene.stack[0].shape[:2]) >= SMALLEST_MEF_SIDE:
            self._exposures["mef_ssim"] = MefReference(scene.stack)
            if len(scene.frames) > 1:
                same = len(scene.stack) == len(scene.frames)
                inputs = self._exposures["mef_ssim"] if same else MefReference(scene.frames)
                self._exposures["mef_ssim_inputs"] = inputs

    def __call__(self, measured: Picture, shown: Picture) -> dict[str, float]:
        """Return the scores by name. Metrics that do not apply are left out.

        Args:
            measured: HxWx3 float, sRGB-encoded in [0, 1], compared with the truth. When the truth
                is radiance, linear radiance of any scale.
            shown: HxWx3 float, sRGB-encoded, [0, 1], compared with the exposures by MEF-SSIM.
        """
        scene = self._scene
        if scene.truth_kind == "radiance" and scene.truth is not None:
            return measure_radiance(scene.truth, measured, scene.frames[0])
        result: dict[str, float] = {}
        if self._truth is not None:
            picture = to_codes(measured)
            scores = {
                name: metric(self._truth, picture) for name, metric in PICTURE_METRICS.items()
            }
            result.update({name: score for name, score in scores.items() if score is not None})
        for name, exposures in self._exposures.items():
            result[name] = exposures(shown)
        return result


def measure_radiance(truth: Picture, radiance: Picture, frame: Picture) -> dict[str, float]:
    """Measure how close a radiance map is to the true map.

    ``pu21_psnr`` is the PSNR in the PU21 encoding. Both maps are first scaled linearly from their
    percentiles 0.1 and 99.9 to 1 and 999 cd/m^2. This is the protocol of ExpandNet's authors for a
    display of 1000 cd/m^2.

    ``clipped_log_error`` is the mean ``|log2|`` of the ratio to the truth over clipped pixels, in
    EV. A pixel is clipped when a channel of the frame is at code 250 or above. A gain first makes
    the median ratio of the well-exposed pixels (codes 32 to 224) one. The score is left out when
    the frame has no clipped or no well-exposed pixel.

    Args:
        truth: HxWx3 linear radiance, any scale.
        radiance: HxWx3 linear radiance, any scale.
        frame: HxWx3 picture that the map was made from, sRGB-encoded, [0, 1].

    Returns:
        Scores by name.
    """
    result = {"pu21_psnr": pu21_psnr(_displayed(truth), _displayed(radiance))}
    ratio = np.log2(np.maximum(radiance, 1e-6)) - np.log2(np.maximum(truth, 1e-6))
    clipped = frame.max(axis=2) >= _CLIPPED
    low, high = _WELL_EXPOSED
    well = (frame.min(axis=2) >= low) & (frame.max(axis=2) <= high)
    if clipped.any() and well.any():
        result["clipped_log_error"] = float(np.abs(ratio[clipped] - np.median(ratio[well])).mean())
    return result


def linearised(frame: Picture) -> Picture:
    """Return the radiance map that undoing the sRGB response gives, without a network.

    Args:
        frame: HxWx3, sRGB-encoded, [0, 1].

    Returns:
        HxWx3 float32, linear radiance, [0, 1].
    """
    return np.asarray(srgb_to_linear(frame), np.float32)


def _displayed(radiance: Picture) -> npt.NDArray[np.float64]:
    low, high = np.percentile(radiance, (0.1, 99.9))
    scale = (_DISPLAY[1] - _DISPLAY[0]) / max(float(high - low), 1e-12)
    return np.asarray(_DISPLAY[0] + (radiance.astype(np.float64) - low) * scale)


def _tensor(picture: npt.NDArray[np.generic]) -> torch.Tensor:
    return picture_tensor(picture.astype(np.float32))


def _missing(error: ImportError) -> MissingDependencyError:
    return MissingDependencyError(
        f"measuring needs {error.name}, which is not installed; pip install 'edgeexpo[export]'"
    )
