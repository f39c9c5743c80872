"""Bias correction: the bias cancels the shift of a channel's mean that rounding causes."""

from __future__ import annotations

from edgeexpo.quantization.layerwise import SimulatedLayer


def correct_bias(layer: SimulatedLayer) -> None:
    """Shift the bias by the mean error of every output channel over the calibration pictures.

    A shifted mean is visible as a tint: the error is the same at every pixel and does not average
    out. Source: M. Nagel et al., "Data-free quantization through weight equalization and bias
    correction", ICCV 2019, section 4.2. The paper takes the means from batch normalisation. Here
    they are measured.

    This is a step of :func:`edgeexpo.quantization.layerwise.adapt`. It must follow all steps that
    change the weight.

    Args:
        layer: The layer, whose bias is changed in place. A layer without bias is unchanged.
    """
    if layer.bias is None:
        return
    rounded = layer.rounded_weight()
    wanted = [layer.apply(x, layer.float_weight, layer.float_bias) for x in layer.wanted]
    found = [layer.apply(x, rounded, layer.bias) for x in layer.found]
    layer.bias.add_(layer.channel_means(wanted) - layer.channel_means(found))
