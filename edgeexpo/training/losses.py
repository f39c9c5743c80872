"""Losses of the published systems. Each is a function of NCHW tensors that returns a scalar."""

from __future__ import annotations

import torch
from torch import Tensor

LOSS_SSIM_WINDOW = 11
"""Side of SSIM's Gaussian window, in pixels."""

SSIM_SIGMA = 1.5
"""Standard deviation of SSIM's Gaussian window, in pixels."""


def interpolation_loss(predicted: Tensor, truth: Tensor, color_weight: float = 0.05) -> Tensor:
    """Return the mean squared error plus the angle between RGB vectors (LRL, ICASSP 2020).

    The angle is measured as ``mean(1 - cos)``, as in the authors' code, because arccos has no
    finite gradient at 1.

    Args:
        predicted: Nx3xHxW, sRGB-encoded, about [0, 1].
        truth: Nx3xHxW, sRGB-encoded, [0, 1].
        color_weight: Weight of the angle. 0.05 corresponds to 1.5 / 32 in the code of the
            authors' sister paper, in terms of means.
    """
    error = torch.mean((predicted - truth) ** 2)
    dot = (predicted * truth).sum(dim=1)
    norms = (predicted.norm(dim=1) + 1e-5) * (truth.norm(dim=1) + 1e-5)
    return error + color_weight * torch.mean(1 - dot / norms)


def structure_loss(predicted: Tensor, truth: Tensor, ssim_weight: float = 0.5) -> Tensor:
    """Return the mean L1 plus ``ssim_weight * (1 - SSIM)``: two-phase fusion without its VGG term.

    Args:
        predicted: NxCxHxW, sRGB-encoded, [0, 1], at least 11x11.
        truth: Tensor of the same shape, encoding and range.
        ssim_weight: Weight of the SSIM term. The slides do not give it, and 0.5 is our choice.
    """
    absolute = torch.mean(torch.abs(predicted - truth))
    return absolute + ssim_weight * (1 - ssim_loss_map(predicted, truth))


def summed_loss(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return L1 summed over each picture's pixels and channels, averaged over the batch (ExpoNet).

    The published L2 of 0.2 on all layers is relative to this sum. See :func:`weight_penalty`.

    Args:
        predicted: NxCxHxW, in the network's colours.
        truth: Tensor of the same shape and colours.
    """
    return torch.abs(predicted - truth).sum(dim=(1, 2, 3)).mean()


def weight_penalty(module: torch.nn.Module, factor: float = 0.2) -> Tensor:
    """Return ``factor`` times the sum of squares of all convolution weights (Keras' L2 penalty)."""
    weights = [
        layer.weight
        for layer in module.modules()
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.ConvTranspose2d))
    ]
    return factor * torch.stack([w.square().sum() for w in weights]).sum()


def radiance_loss(predicted: Tensor, truth: Tensor, cosine_weight: float = 5.0) -> Tensor:
    """Return the mean L1 plus ``cosine_weight`` times the mean of one minus the cosine (ExpandNet).

    The cosine is that of the angle between RGB vectors, whose norms are kept above 1e-20.

    Args:
        predicted: Nx3xHxW, relative linear radiance, [0, 1].
        truth: Tensor of the same shape and range.
        cosine_weight: Weight of the cosine term, 5 as published.
    """
    absolute = torch.mean(torch.abs(predicted - truth))
    cosine = torch.nn.functional.cosine_similarity(predicted, truth, dim=1, eps=1e-20)
    return absolute + cosine_weight * torch.mean(1 - cosine)


def distillation_loss(student: list[Tensor], teacher: list[Tensor]) -> Tensor:
    """Return the mean L1 between features, summed over the tapped blocks (KDDN, equation 4).

    Args:
        student: NxCxHxW features, one tensor for each tapped block.
        teacher: Features of the same shapes. They receive no gradient.
    """
    pairs = zip(student, teacher, strict=True)
    return torch.stack([torch.mean(torch.abs(s - t.detach())) for s, t in pairs]).sum()


def ssim_loss_map(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return the mean SSIM over valid positions of an 11x11 Gaussian window of sigma 1.5.

    Follows Wang et al., TIP 2004, with the constants 0.01 and 0.03 and the data range 1.

    Args:
        predicted: NxCxHxW, [0, 1], at least 11x11.
        truth: Tensor of the same shape, encoding and range.
    """
    channels = predicted.shape[1]
    axis = torch.arange(LOSS_SSIM_WINDOW, dtype=predicted.dtype, device=predicted.device)
    window = torch.exp(-((axis - LOSS_SSIM_WINDOW // 2) ** 2) / (2 * SSIM_SIGMA**2))
    window = window / window.sum()

    def blurred(x: Tensor) -> Tensor:
        taps = window.expand(channels, 1, 1, -1)
        x = torch.nn.functional.conv2d(x, taps, groups=channels)
        return torch.nn.functional.conv2d(x, taps.mT, groups=channels)

    mean_p, mean_t = blurred(predicted), blurred(truth)
    variance_p = blurred(predicted**2) - mean_p**2
    variance_t = blurred(truth**2) - mean_t**2
    covariance = blurred(predicted * truth) - mean_p * mean_t
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_p * mean_t + c1) / (mean_p**2 + mean_t**2 + c1)
    structure = (2 * covariance + c2) / (variance_p + variance_t + c2)
    return torch.mean(luminance * structure)
