"""What is measured: a float network of the zoo, or the artefacts of a bundle."""

from __future__ import annotations

import sys
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
from edgeexpo.mil.interpreter import MilEngine
from edgeexpo.models.pruned_weights import load_checkpoint
from edgeexpo.models.zoo import get
from edgeexpo.runtime.session import Session, load
from edgeexpo.runtime.stages import back
from edgeexpo.spec import ModelSpec, SizeRange

TILE = 1024
"""Largest side, in pixels, of what a float network with a halo sees at once."""

WHOLE = 1 << 16
"""The same for a network that looks at the whole picture: no limit but memory."""

SMALLEST_PICTURE = 16


@dataclass(frozen=True)
class Contestant:
    """One network at one precision.

    Attributes:
        model: Name for the table.
        precision: ``float`` for a network in torch, else the artefact's.
        target: ``torch`` or one of :data:`edgeexpo.spec.TARGETS`.
        session: What runs it.
    """

    model: str
    precision: str
    target: str
    session: Session

    def __call__(self, scene: Scene) -> tuple[Picture, Picture]:
        """Run it on a scene's frames.

        Returns:
            What is compared with the truth and what is shown: both are the picture after the back
            stage, but the first is the network's own output where the truth is the exposure that
            it predicts.
        """
        spec = self.session.spec
        output = self.session(*scene.frames, ev=scene.ev, fuse=False)
        shown = np.asarray(back(spec, output, scene.frames), np.float32)
        own = spec.kind == "interpolation" and scene.wants_exposure
        return (np.asarray(output, np.float32) if own else shown), shown


class TorchEngine:
    """Runs a float network in torch, behind the same session as an artefact."""

    name = "torch"

    def __init__(self, module: torch.nn.Module, spec: ModelSpec) -> None:
        self._module = module.eval()
        self._spec = spec

    def load(self, path: Path) -> None:
        """Nothing to load: the module is there already."""

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """NCHW float32 by input name to the output by its name."""
        tensors = [torch.from_numpy(inputs[t.name]) for t in self._spec.inputs]
        with torch.inference_mode():
            output = self._module(*tensors)
        return {self._spec.outputs[0].name: output.numpy()}

    def close(self) -> None:
        """Nothing to free."""


def spec_of(model: str) -> ModelSpec:
    """The spec of a zoo name or of a bundle's model.

    Raises:
        UsageError: Neither; :class:`BundleError` for a damaged bundle.
    """
    if (Path(model) / MANIFEST).is_file():
        return Bundle.open(model).manifest.model
    return get(model).spec


@contextmanager
def candidates(
    model: str,
    weights: Path | None = None,
    target: str | None = None,
    precision: str | None = None,
) -> Iterator[list[Contestant]]:
    """Open what ``model`` names, for the time of the block.

    Args:
        model: A zoo name, or the folder of a bundle.
        weights: Checkpoint for a zoo name; the shipped one by default.
        target: Only this target's artefacts of a bundle; all by default.
        precision: Only artefacts of this precision.

    Raises:
        UsageError: An unknown name, or options that do not go with it.
        WeightsError: The checkpoint does not fit, or the preset ships none.
        BundleError: The bundle is damaged or has no such artefact.
        MissingDependencyError: An engine is not installed.
    """
    with ExitStack() as stack:
        if (Path(model) / MANIFEST).is_file():
            if weights is not None:
                raise UsageError(f"{model} is a bundle with weights of its own; drop `weights`")
            yield [
                Contestant(
                    Bundle.open(model).manifest.model.name,
                    artifact.precision,
                    artifact.target,
                    stack.enter_context(_open(model, artifact)),
                )
                for artifact in Bundle.open(model).by_preference(target, precision)
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
    """A zoo network in float, in torch, with its stages.

    Raises:
        UsageError: No network has this name.
        WeightsError: The checkpoint does not fit it, or it ships none and none was given.
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
    multiple = spec.multiple
    side = (WHOLE if spec.halo is None else TILE) // multiple * multiple
    smallest = -(-SMALLEST_PICTURE // multiple) * multiple
    sizes = SizeRange((side, side), (smallest, smallest), multiple)
    artifact = Artifact("", "torch", "float", "", 0, sizes)
    return Session(spec, artifact, TorchEngine(module, spec))


def _open(bundle: str, artifact: Artifact) -> Session:
    # Off macOS a Core ML artefact runs in the interpreter, as everywhere else.
    interpreted = artifact.target == "coreml" and sys.platform != "darwin"
    return load(
        bundle,
        target=artifact.target,
        precision=artifact.precision,
        engine=MilEngine() if interpreted else None,
    )
