"""Bias correction: rounding shifts the mean of a channel, and the bias takes the shift back."""

from __future__ import annotations

from edgeexpo.quantization.layerwise import SimulatedLayer


def correct_bias(layer: SimulatedLayer) -> None:
    """Shift the bias by the mean error of every output channel over the calibration pictures.

    A shifted mean is a tint: the same error at every pixel, which averages out nowhere. M. Nagel et
    al., "Data-free quantization through weight equalization and bias correction", ICCV 2019,
    section 4.2, with measured means in place of those of batch normalisation. A step of
    :func:`edgeexpo.quantization.layerwise.adapt`, after any step that changes the weight; a layer
    without bias stays as it is.
    """
    if layer.bias is None:
        return
    rounded = layer.rounded_weight()
    wanted = [layer.apply(x, layer.float_weight, layer.float_bias) for x in layer.wanted]
    found = [layer.apply(x, rounded, layer.bias) for x in layer.found]
    layer.bias.add_(layer.channel_means(wanted) - layer.channel_means(found))
