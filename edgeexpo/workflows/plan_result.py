"""Result of a dry run: what an export would make, refuse and leave to slower operators."""

from __future__ import annotations

from dataclasses import dataclass

from edgeexpo.bundle.manifest import Artifact, Refusal
from edgeexpo.short_repr import short_repr
from edgeexpo.spec import Footprint, TensorSpec

REFUSED, OUTSIDE, IN_FLOAT = EFFECTS = ("refused", "outside the delegate", "in float")
"""What may happen to an operator, worst first."""


@dataclass(frozen=True)
class PlannedArtifact:
    """An artefact that an export would write.

    Attributes:
        artifact: The artefact's entry in a manifest. Its digest and its status say nothing yet.
        integer: Number of convolutions and matrix products that the engine computes on integers.
            ``None`` if nobody counts for the target.
        floating: Number of those that it computes in float.
        portable: Share of the multiplications that run on slow kernels outside the delegate.
        notes: What the lowering says about the artefact.
    """

    artifact: Artifact
    integer: int | None
    floating: int | None
    portable: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class PlannedLine:
    """What happens to an operator of one line of the network's code.

    Attributes:
        source: The line as ``file:line``, or ``None`` if it is unknown.
        operator: Name of the operator, such as ``conv2d``. Empty if it is unknown.
        effect: One of :data:`EFFECTS`.
        artifacts: The artefacts that it concerns, as target and precision. A precision alone
            stands for every target.
        reason: Why, and the way out of a refusal.
    """

    source: str | None
    operator: str
    effect: str
    artifacts: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class ExportPlan:
    """What an export would do. It is true if everything that is asked for would be written.

    Attributes:
        model: Name of the network.
        size: Largest (height, width) in pixels of the artefacts.
        inputs: Tensors that the network reads.
        outputs: Tensors that it gives, with their range and scale.
        footprint: Where pictures may be cut.
        tiled: True if larger pictures are computed in tiles.
        applied_at_full_size: True if the network sees a small copy of larger pictures, and its
            change is applied at full size.
        artifacts: What would be written.
        refused: What would not, with operator, line and way out.
        lines: What happens to single operators, by line of the network's code.
        integer_share: Share of the multiplications that an INT8 program computes on integers.
            ``None`` without such a program.
        notes: What was said about the network.
        blocked: Why the bundle could not be written to its folder. ``None`` if it could.
        seconds: Time that the dry run took.
    """

    model: str
    size: tuple[int, int]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    footprint: Footprint
    tiled: bool
    applied_at_full_size: bool
    artifacts: tuple[PlannedArtifact, ...]
    refused: tuple[Refusal, ...]
    lines: tuple[PlannedLine, ...]
    integer_share: float | None
    notes: tuple[str, ...]
    blocked: str | None
    seconds: float

    def __bool__(self) -> bool:
        return not self.refused and self.blocked is None

    def __repr__(self) -> str:
        return short_repr(
            f"Export plan of {self.model} at {self.size[0]}x{self.size[1]}",
            [
                *(f"{p.artifact.file}: {p.artifact.bytes} bytes" for p in self.artifacts),
                *(f"refused: {refusal}" for refusal in self.refused),
                *([f"blocked: {self.blocked}"] if self.blocked else []),
            ],
        )
