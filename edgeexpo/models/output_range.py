"""Measurement of the range of values in which a foreign network gives its picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from edgeexpo.program.capture import check_forward
from edgeexpo.progress import note

UNIT, SIGNED, CODES = (0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)
"""Ranges that are recognised: pictures in [0, 1], in [-1, 1], and codes of 8 bits."""

_EXCESS = 1.0
"""Excess over [0, 1] above which a note says that values will be clipped."""


def output_range(
    module: torch.nn.Module, pictures: Iterable[Sequence[torch.Tensor]]
) -> tuple[float, float]:
    """Return the range in which ``module`` gives its picture.

    A range other than [0, 1] is only taken where the outputs leave no doubt. Codes fill most of 0
    to 255 and a signed picture most of -1 to 1, and neither leaves its range. A signed picture of
    black is also near -1, and one of white near 1. A note says which range was taken, or that
    values lie far outside [0, 1].

    Args:
        module: Network in eval mode.
        pictures: Inputs of several runs, 1xCxHxW float32 each. The first is black and the second
            white.

    Raises:
        ModuleError: ``forward`` fails.
    """
    outputs = [check_forward(module, tuple(given)) for given in pictures]
    whole = any(not output.is_floating_point() for output in outputs)
    black, white = (float(output.float().median()) for output in outputs[:2])
    low = min(float(output.min()) for output in outputs)
    high = max(float(output.max()) for output in outputs)
    if whole or (high > 128 and low >= -26 and high <= 281):
        found = CODES
    elif low >= -1.05 and high <= 1.05 and black < -0.8 and white > 0.6:
        found = SIGNED
    else:
        if low < -_EXCESS or high > 1 + _EXCESS:
            note(
                f"edgeexpo: the network gives values of {low:.3g} to {high:.3g}, which are clipped "
                "to 0..1; say what they mean with `output_range`, or scale them in the module"
            )
        return UNIT
    note(
        f"edgeexpo: the network gives values of {low:.3g} to {high:.3g}; its pictures are taken "
        f"as {found[0]:g}..{found[1]:g} (`output_range` changes that)"
    )
    return found
