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
    "fusion": "exposure fusion of the whole frames with the picture of an interpolating network",
}
"""Forms by name, each with its meaning. An interpolating network takes the first and the last."""

FUSION_LONGEST = 256
"""Longest side in pixels of the copies that an interpolating network sees for its picture."""

FUSION_FLOOR = 1e-5
"""Weight of every frame in the exposure fusion of an interpolating network.

It keeps 8-bit noise from choosing frames where all weights are small. On real brackets the PSNR of
INT8 against fp32 is 50 dB or more with it, and 35 dB without it."""

_STAGES = ("render", "guided", "rendered-fusion", "exposure-fusion")
"""Back stages that have another form."""


def full_size_stage(form: str, frames: int, color: str = "rgb", method: str = "area") -> StageSpec:
    """Return the back stage of a form.

    Args:
        form: ``"render"`` or ``"guided"``.
        frames: Number of frames of the network.
        color: Colours of the network, ``"rgb"`` or ``"lab"``.
        method: Method by which frames are scaled for the network.

    Raises:
        UsageError: The form is unknown.
    """
    if form not in ("render", "guided"):
        raise UsageError(f"unknown form {form!r}; expected render or guided")
    scaling = {"color": color, "method": method}
    if form == "guided":
        return StageSpec("guided", {**scaling, "radius": RADIUS, "eps": GUIDED_EPS})
    chosen = FUSION_RENDERING if frames > 1 else CORRECTION_RENDERING
    return StageSpec("render", {**scaling, **chosen.parameters()})


def fusion_stage(form: str) -> StageSpec:
    """Return the back stage of an interpolating network, which fuses its picture with the frames.

    Args:
        form: ``"render"`` or ``"fusion"``.

    Raises:
        UsageError: The form is unknown.
    """
    if form == "fusion":
        measures = {"contrast": 1.0, "saturation": 1.0, "exposedness": 1.0, "sigma": 0.2}
        return StageSpec("exposure-fusion", {**measures, "floor": FUSION_FLOOR})
    if form != "render":
        raise UsageError(f"unknown form {form!r} of a fusion; expected render or fusion")
    parameters = {"longest": FUSION_LONGEST, "floor": FUSION_FLOOR}
    return StageSpec("rendered-fusion", {**parameters, **FUSION_RENDERING.parameters()})


def with_form(spec: ModelSpec, form: str) -> ModelSpec:
    """Return the spec of a network that sees small copies, with another form.

    Raises:
        UsageError: The form is unknown, or the network applies no RGB result at full size.
    """
    if spec.back is None or spec.back.kind not in _STAGES:
        raise UsageError(
            f"{spec.name} has no small result that is applied at full size; leave out "
            "`full_size_form`, or give a foreign module `apply_at_full_size`"
        )
    if spec.kind == "interpolation":
        return dataclasses.replace(spec, back=fusion_stage(form))
    known = {k: v for k, v in spec.back.parameters.items() if k in ("color", "method")}
    return dataclasses.replace(spec, back=full_size_stage(form, len(spec.frames), **known))
