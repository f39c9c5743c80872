"""Find the first layer where an artefact differs from its program by more than its share.

Every layer is judged on the artefact's own inputs of that layer. The program's operator is applied
to the artefact's own values above it. The result is compared with the artefact's own value.

Errors of earlier layers therefore do not count again. A layer's share is the error that its own
rounding explains: part of a step where its result is quantised, units in the last place where it is
float.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch.fx import GraphModule, Node

from edgeexpo import targets
from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import Artifact
from edgeexpo.errors import MissingDependencyError, UsageError
from edgeexpo.imaging.samples import Sample
from edgeexpo.imaging.samples import samples as pictures
from edgeexpo.parity.localisation.alignment import align_layers
from edgeexpo.parity.localisation.judge import JudgedLayer, LayerJudge
from edgeexpo.parity.localisation.tolerances import Share
from edgeexpo.parity.localisation.trace import MovableTracer, Tracer
from edgeexpo.parity.localisation.trace_program import run_program
from edgeexpo.parity.reference import load_program
from edgeexpo.progress import track
from edgeexpo.remote.host import RemoteHost
from edgeexpo.runtime.engines.base import Arrays
from edgeexpo.runtime.network_pictures import network_inputs, planar
from edgeexpo.short_repr import short_repr
from edgeexpo.spec import ModelSpec, SizeRange
from edgeexpo.targets import Tracing, resolve, target_named

LOCALISATION_SIDE = 128
"""Side in pixels of the traced pictures, if the artefact takes it."""

PICTURES = 2
"""Largest number of traced pictures."""


@dataclass(frozen=True)
class Localisation:
    """The result for one artefact; true when every layer keeps its share.

    Attributes:
        file: The artefact.
        target: Its target.
        precision: Its precision.
        engine: The engine that ran the artefact.
        caveat: Faults that this method cannot see, in one clause.
        picture: The picture on which ``layers`` were judged: that of the first fault, if any.
        size: Height and width of that picture in pixels.
        coverage: Share of the artefact's values that were aligned with the program.
        layers: The layers, in the order of the program.
        files: Pictures of errors that were written.
    """

    file: str
    target: str
    precision: str
    engine: str
    caveat: str
    picture: str
    size: tuple[int, int]
    coverage: float
    layers: tuple[JudgedLayer, ...]
    files: tuple[str, ...] = ()

    @property
    def first(self) -> JudgedLayer | None:
        """The first layer that exceeds its share."""
        return next((layer for layer in self.layers if layer.fault), None)

    def __bool__(self) -> bool:
        return self.first is None

    def __repr__(self) -> str:
        first = self.first
        fault = "no layer leaves its share"
        if first is not None:
            where = f" ({first.source})" if first.source else ""
            fault = f"first fault at {first.node}{where}: {first.fault}"
        return short_repr(
            f"Localisation of {self.file} in {self.engine}",
            [
                fault,
                f"{len(self.layers)} layers compared on {self.picture}, "
                f"{self.coverage:.0%} of the artefact's values",
            ],
        )


def localise(
    bundle: Bundle | str | os.PathLike[str],
    *,
    target: str | None = None,
    precision: str | None = None,
    images: str | os.PathLike[str] | None = None,
    samples: Sequence[Sample] | None = None,
    on: str | None = None,
) -> Localisation:
    """Find the first layer where an artefact of ``bundle`` differs from its program.

    The program is ``quantized.pt2`` for an INT8 artefact, otherwise ``reference.pt2``.

    Args:
        bundle: A bundle or its folder.
        target: Target of the artefact; by default that of the artefact that ``run`` would take.
        precision: Precision of the artefact; by default that of the artefact that ``run`` would
            take.
        images: Folder of photographs or brackets, of which two are traced; embedded photographs by
            default.
        samples: Frames to use instead of ``images``, of a size that the artefact takes.
        on: Address of a machine that runs the artefact instead of this one.

    Raises:
        BundleError: A file is missing or was changed, or no artefact matches.
        EngineError: The artefact cannot be traced.
        MissingDependencyError: The engine is not installed.
        UsageError: The images cannot be used, or files of this target cannot be traced.
        HostError: The machine of ``on`` cannot be reached, lacks something, or was lost.
    """
    if on is not None:
        with RemoteHost(on) as host:
            host.ready()
            return _localised(bundle, target, precision, images, samples, host)
    return _localised(bundle, target, precision, images, samples, None)


def _localised(
    bundle: Bundle | str | os.PathLike[str],
    target: str | None,
    precision: str | None,
    images: str | os.PathLike[str] | None,
    samples: Sequence[Sample] | None,
    host: RemoteHost | None,
) -> Localisation:
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    if opened.manifest.network is not None:
        raise UsageError(
            f"{opened.path} holds its stages, and the search follows the layers of a network; "
            "export the network without `standalone`"
        )
    artifact = opened.select(target, precision)
    look = _Look(opened, artifact, host)
    spec = opened.manifest.model
    if samples is None:
        source = None if images is None else Path(images)
        samples = pictures(len(spec.frames), source, traced_size(artifact.sizes))
    shown = track(_inputs(spec, samples), f"Tracing {artifact.file}")
    return min((look(name, inputs) for name, inputs in shown), key=_order)


class _Look:
    """A trace and judgement of one artefact, picture by picture."""

    def __init__(self, bundle: Bundle, artifact: Artifact, host: RemoteHost | None) -> None:
        self._artifact = artifact
        self._path = bundle.file(artifact.file)
        self._names = tuple(t.name for t in bundle.manifest.model.inputs)
        self._tracer = tracer_of(artifact, bundle.manifest.model)
        if host is not None:
            _move(self._tracer, host, artifact)
        self._floats: GraphModule = load_program(bundle, "reference.pt2").module()
        self._module = self._floats
        if artifact.precision == "int8":
            self._module = load_program(bundle, "quantized.pt2").module()
        self._share = Share(tracing(artifact).step_share, artifact.precision)
        self._sources = bundle.manifest.sources

    def __call__(self, picture: str, inputs: Arrays) -> Localisation:
        trace = self._tracer(self._path, inputs)
        alignment = align_layers(self._module, self._names, inputs, trace, self._share)
        floats = _values(self._floats, inputs, self._names)
        judge = LayerJudge(self._module, self._share, self._sources, floats)
        height, width = next(iter(inputs.values())).shape[2:]
        return Localisation(
            self._artifact.file,
            self._artifact.target,
            self._artifact.precision,
            self._tracer.engine,
            self._tracer.caveat,
            picture,
            (height, width),
            alignment.coverage,
            tuple(judge(pair) for pair in alignment.pairs),
        )


def _move(tracer: Tracer, host: RemoteHost, artifact: Artifact) -> None:
    if not isinstance(tracer, MovableTracer):
        raise UsageError(
            f"{artifact.file} can be traced on this machine only; leave `on` out, or choose "
            "another `target`"
        )
    tracer.run_on(host)


def traced_size(sizes: SizeRange) -> tuple[int, int]:
    """Return the (height, width) at which an artefact is traced.

    It is the largest size up to :data:`LOCALISATION_SIDE` that the artefact takes, otherwise its
    smallest.
    """
    if sizes.enumerated:
        small = [s for s in sizes.enumerated if max(s) <= LOCALISATION_SIDE]
        return max(small, default=min(sizes.enumerated))
    if sizes.smallest == sizes.largest:
        return sizes.largest
    height, width = (
        max(low, min(high, LOCALISATION_SIDE) // sizes.multiple * sizes.multiple)
        for low, high in zip(sizes.smallest, sizes.largest, strict=True)
    )
    return height, width


def _order(found: Localisation) -> tuple[int, float]:
    """Return a sort key: the place of the first fault, or the layer nearest to its share."""
    for index, layer in enumerate(found.layers):
        if layer.fault:
            return index, 0.0
    return len(found.layers), -max((r.error / r.share for r in found.layers if r.share), default=0)


def tracer_of(artifact: Artifact, spec: ModelSpec) -> Tracer:
    """Return the tracer that runs ``artifact`` and keeps its values.

    Raises:
        UsageError: Files of its target cannot be traced.
        MissingDependencyError: Its engine is not installed.
    """
    chosen = tracing(artifact)
    try:
        tracer: Tracer = resolve(chosen.tracer)(spec, artifact.sizes)
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"debug needs {error.name}, which is not installed; pip install 'edgeexpo[export]'"
        ) from error
    return tracer


def tracing(artifact: Artifact) -> Tracing:
    """How ``artifact`` is looked into.

    Raises:
        UsageError: Its target's files cannot be looked into.
    """
    found = target_named(artifact.target).tracing
    if found is None:
        known = [name for name, record in targets.TARGETS.items() if record.tracing]
        raise UsageError(
            f"debug does not look into {artifact.target} files; expected one of "
            f"{', '.join(known)}: choose another `target` of the same program"
        )
    return found


def _inputs(spec: ModelSpec, samples: Sequence[Sample]) -> list[tuple[str, Arrays]]:
    shown = samples[:PICTURES]
    inputs = network_inputs(spec, shown)
    return [(sample.name, planar(own)) for sample, own in zip(shown, inputs, strict=True)]


def _values(
    module: GraphModule, inputs: Arrays, names: tuple[str, ...]
) -> Mapping[str, np.ndarray]:
    values: dict[str, np.ndarray] = {}

    def keep(node: Node, value: np.ndarray) -> None:
        values[node.name] = value

    run_program(module, inputs, names, keep)
    return values
