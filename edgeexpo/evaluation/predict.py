"""Networks to measure: a float network of the zoo, or the artefacts of a bundle."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import MANIFEST, Artifact
from edgeexpo.errors import UsageError, WeightsError
from edgeexpo.evaluation.scene import Scene
from edgeexpo.imaging.arrays import Picture
from edgeexpo.models.pruned_weights import load_checkpoint
from edgeexpo.models.zoo import get
from edgeexpo.runtime.engines.base import interpreter
from edgeexpo.runtime.session import Session, load
from edgeexpo.runtime.stages import back
from edgeexpo.spec import ModelSpec, SizeRange

TILE = 1024
"""Largest side, in pixels, of the tiles of a float network with a halo."""

WHOLE = 1 << 16
"""Largest side, in pixels, for a float network that sees the whole picture.

It is so large that only memory limits the picture."""

SMALLEST_PICTURE = 16
"""Smallest side, in pixels, of a float network's picture, before rounding up to its multiple."""


@dataclass(frozen=True)
class Contestant:
    """One network at one precision.

    Attributes:
        model: Name of the network in the table.
        precision: ``float`` for a network in torch, else the precision of the artefact.
        target: ``torch`` or one of :data:`edgeexpo.targets.TARGETS`.
        session: Session that runs the network.
        sizes: Sizes that the artefact accepts, or ``None`` for a network in torch.
    """

    model: str
    precision: str
    target: str
    session: Session
    sizes: SizeRange | None = None

    def __call__(self, scene: Scene) -> tuple[Picture, Picture]:
        """Run the network on a scene's frames.

        Returns:
            The picture to compare with the truth, and the picture to show, HxWx3 float32. Both are
            the picture after the back stage. If the truth is the exposure that an interpolation
            network predicts, the first is the network's own output instead.
        """
        spec = self.session.spec
        output = self.session(*scene.frames, ev=scene.ev, fuse=False)
        # A network that sees copies for its picture runs again; others finish what they gave.
        sees_copies = spec.back is not None and spec.back.kind == "rendered-fusion"
        made = (
            self.session(*scene.frames, ev=scene.ev)
            if sees_copies
            else back(spec, output, scene.frames)
        )
        shown = np.asarray(made, np.float32)
        own = spec.kind == "interpolation" and scene.wants_exposure
        return (np.asarray(output, np.float32) if own else shown), shown


class TorchEngine:
    """An engine that runs a float network in torch, behind the same session as an artefact."""

    name = "torch"

    def __init__(self, module: torch.nn.Module, spec: ModelSpec) -> None:
        self._module = module.eval()
        self._spec = spec

    def load(self, path: Path) -> None:
        """Do nothing, because the module is in memory already."""

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the module on NCHW float32 arrays by input name, and return the output by name."""
        tensors = [torch.from_numpy(inputs[t.name]) for t in self._spec.inputs]
        with torch.inference_mode():
            output = self._module(*tensors)
        return {self._spec.outputs[0].name: output.numpy()}

    def close(self) -> None:
        """Do nothing, because there is nothing to free."""


def spec_of(model: str) -> ModelSpec:
    """Return the spec of a zoo name or of a bundle's model.

    A user's network of one frame counts as a correction, since its spec does not say its use.

    Raises:
        UsageError: ``model`` is neither a zoo name nor a bundle.
        BundleError: The bundle is damaged.
    """
    if (Path(model) / MANIFEST).is_file():
        spec = Bundle.open(model).manifest.model
        lone = spec.kind == "fusion" and len(spec.frames) == 1
        return dataclasses.replace(spec, kind="correction") if lone else spec
    return get(model).spec


@contextmanager
def candidates(
    model: str,
    weights: Path | None = None,
    target: str | None = None,
    precision: str | None = None,
) -> Iterator[list[Contestant]]:
    """Open the networks that ``model`` names, and close them when the context ends.

    Args:
        model: Zoo name, or folder of a bundle.
        weights: Checkpoint for a zoo name, by default the shipped checkpoint.
        target: Target of a bundle's artefacts, by default all targets.
        precision: Precision of a bundle's artefacts, by default all precisions.

    Raises:
        UsageError: The name is unknown, or an option does not apply to it.
        WeightsError: The checkpoint does not fit, or the preset ships no checkpoint.
        BundleError: The bundle is damaged or has no such artefact.
        MissingDependencyError: An engine is not installed.
    """
    with ExitStack() as stack:
        if (Path(model) / MANIFEST).is_file():
            if weights is not None:
                raise UsageError(f"{model} is a bundle with weights of its own; drop `weights`")
            bundle = Bundle.open(model)
            spec = bundle.manifest.model
            yield [
                Contestant(
                    spec.name,
                    artifact.precision,
                    artifact.target,
                    stack.enter_context(_open(model, artifact, spec)),
                    artifact.sizes,
                )
                for artifact in bundle.by_preference(target, precision)
            ]
        else:
            if target is not None or precision is not None:
                raise UsageError(
                    f"{model} is run in float; `target` and `precision` choose among the "
                    "artefacts of a bundle: name one, made by edgeexpo export"
                )
            session = stack.enter_context(float_session(model, weights))
            yield [Contestant(model, "float", "torch", session)]


def float_session(name: str, weights: Path | None) -> Session:
    """Return a session that runs a zoo network in torch, in float, with its stages.

    Args:
        name: Zoo name.
        weights: Checkpoint, or ``None`` for the shipped checkpoint.

    Raises:
        UsageError: No network has this name.
        WeightsError: The checkpoint does not fit the network, or there is no checkpoint.
    """
    entry = get(name)
    file = weights or entry.weights
    if file is None:
        raise WeightsError(
            f"{entry.name} ships no weights; train it with edgeexpo train {entry.name}, or name a "
            "checkpoint with `weights`"
        )
    module = entry.build()
    load_checkpoint(module, file, entry.name)
    return torch_session(module, entry.spec)


def torch_session(module: torch.nn.Module, spec: ModelSpec) -> Session:
    """Open a session on a float network in torch, with its stages."""
    return Session(spec, float_sizes(spec), TorchEngine(module, spec))


def float_sizes(spec: ModelSpec) -> SizeRange:
    """Return the sizes that a float network in torch accepts."""
    multiple = spec.multiple
    side = (WHOLE if spec.halo is None else TILE) // multiple * multiple
    smallest = -(-SMALLEST_PICTURE // multiple) * multiple
    return SizeRange((side, side), (smallest, smallest), multiple)


def _open(path: str, artifact: Artifact, spec: ModelSpec) -> Session:
    return load(
        path,
        target=artifact.target,
        precision=artifact.precision,
        engine=interpreter(artifact.target, spec),
    )
