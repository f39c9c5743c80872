"""The forms in which a network's small result is applied to the picture at full size."""

from __future__ import annotations

import dataclasses

from edgeexpo.errors import UsageError
from edgeexpo.imaging.guided import GUIDED_EPS, RADIUS
from edgeexpo.imaging.rendering import CORRECTION_RENDERING, FUSION_RENDERING
from edgeexpo.spec import ModelSpec, StageSpec

FULL_SIZE_FORMS = {
    "render": "tone and strength of colour are the network's, details and hues the frames'",
    "guided": "the change of the small picture, as a local affine function of the frames",
}
"""Forms by the name of their stage, each with its meaning."""


def full_size_stage(form: str, frames: int, color: str = "rgb", method: str = "area") -> StageSpec:
    """Return the back stage of a form.

    Args:
        form: One of :data:`FULL_SIZE_FORMS`.
        frames: Number of frames of the network.
        color: Colours of the network, ``"rgb"`` or ``"lab"``.
        method: Method by which frames are scaled for the network.

    Raises:
        UsageError: The form is unknown.
    """
    if form not in FULL_SIZE_FORMS:
        raise UsageError(f"unknown form {form!r}; expected {' or '.join(FULL_SIZE_FORMS)}")
    scaling = {"color": color, "method": method}
    if form == "guided":
        return StageSpec("guided", {**scaling, "radius": RADIUS, "eps": GUIDED_EPS})
    chosen = FUSION_RENDERING if frames > 1 else CORRECTION_RENDERING
    return StageSpec("render", {**scaling, **chosen.parameters()})


def with_form(spec: ModelSpec, form: str) -> ModelSpec:
    """Return the spec of a network that sees small copies, with another form.

    Raises:
        UsageError: The form is unknown, or the network applies no RGB result at full size.
    """
    if spec.back is None or spec.back.kind not in FULL_SIZE_FORMS:
        raise UsageError(
            f"{spec.name} has no small result that is applied at full size; leave out "
            "`full_size_form`, or give a foreign module `apply_at_full_size`"
        )
    known = {k: v for k, v in spec.back.parameters.items() if k in ("color", "method")}
    return dataclasses.replace(spec, back=full_size_stage(form, len(spec.frames), **known))
