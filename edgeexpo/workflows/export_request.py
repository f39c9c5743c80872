"""What an export is asked for: its arguments, checked, and the network that they name, opened."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from edgeexpo.errors import UsageError
from edgeexpo.export.lowering import check_converters
from edgeexpo.frame_format import FrameFormat
from edgeexpo.models.foreign import Inputs
from edgeexpo.parity.gates import Gates, gates_of
from edgeexpo.runtime.job import Formats, check_transfers
from edgeexpo.spec import PRECISIONS, QUANTIZED, Gate
from edgeexpo.targets import resolve, target_named, target_names, usual_targets
from edgeexpo.workflows.arguments import several
from edgeexpo.workflows.networks import Network, open_network


@dataclass(frozen=True)
class ExportRequest:
    """A checked request to export a network.

    Attributes:
        network: The opened network.
        targets: Targets that are asked for.
        precisions: Precisions that are asked for.
        bounds: Gates that replace default ones.
        formats: Formats of the app's frames and pictures.
        destination: Folder of the bundle.
        learnt: INT8 weights that are used. ``None`` if INT8 is calibrated.
        kept: Operators that INT8 leaves in float.
        soc: Chip for targets that compile for one. ``None`` for the default chip.
    """

    network: Network
    targets: tuple[str, ...]
    precisions: tuple[str, ...]
    bounds: tuple[Gate, ...]
    formats: Formats
    destination: Path
    learnt: Path | None
    kept: frozenset[str]
    soc: str | None = None

    @property
    def calibrates(self) -> bool:
        """True if INT8 weights are asked for and have to be calibrated."""
        return self.quantizes and self.learnt is None

    @property
    def quantizes(self) -> bool:
        """True if a precision with INT8 weights is asked for."""
        return any(precision in QUANTIZED for precision in self.precisions)

    @property
    def compiles(self) -> bool:
        """True if a target compiles for a chip."""
        return any(target_named(target).chips for target in self.targets)


def open_request(
    model: str | torch.nn.Module,
    *,
    targets: str | Sequence[str],
    precision: str | Sequence[str],
    calibration: str | os.PathLike[str] | None,
    size: tuple[int, int] | None,
    weights: str | os.PathLike[str] | None,
    weights_key: str | None,
    inputs: Inputs,
    int8: str | os.PathLike[str] | None,
    prune: float | None,
    keep_float: str | Sequence[str] | None,
    gates: Gates,
    output_range: tuple[float, float] | None,
    apply_at_full_size: bool,
    full_size_form: str | None,
    output_name: str | None,
    frame_format: FrameFormat | None,
    output_format: FrameFormat | None,
    output: str | os.PathLike[str] | None,
    soc: str | None = None,
) -> ExportRequest:
    """Check the arguments of :func:`edgeexpo.export_bundle`, and open the network.

    Raises:
        UsageError: An argument, the weights or the module cannot be used.
        ModuleError: ``forward`` fails or cannot be followed.
        MissingDependencyError: A target's converter is not installed.
    """
    chosen = _known(_named(several(targets)), target_names(), "target")
    check_converters(chosen)
    precisions = _known(several(precision), PRECISIONS, "precision")
    _check_supported(chosen, precisions)
    _check_chip(soc, chosen)
    bounds = gates_of(gates)
    _check_int8_arguments(int8, calibration, keep_float, prune)
    network = open_network(
        model,
        size,
        weights,
        inputs,
        int8,
        prune,
        weights_key,
        output_range,
        apply_at_full_size,
        full_size_form,
        output_name,
    )
    formats = Formats.of(frame_format, output_format)
    check_transfers(network.spec, formats)
    return ExportRequest(
        network=network,
        targets=chosen,
        precisions=precisions,
        bounds=tuple(bounds),
        formats=formats,
        destination=Path(output) if output is not None else Path("dist") / network.spec.name,
        learnt=network.int8 if calibration is None and keep_float is None else None,
        kept=frozenset(several(keep_float or ())),
        soc=soc,
    )


def _check_chip(soc: str | None, targets: Sequence[str]) -> None:
    """Refuse a chip that does not exist, or that no target compiles for."""
    if soc is None:
        return
    chips = [record.chips for record in map(target_named, targets) if record.chips]
    if not chips:
        names = [name for name in target_names() if target_named(name).chips]
        raise UsageError(
            f"`soc` is for the `target` {' or '.join(names)}; leave it out, or export to that"
        )
    for function in chips:
        resolve(function)(soc)


def _check_int8_arguments(
    int8: object, calibration: object, keep_float: object, prune: object
) -> None:
    """Refuse arguments that contradict INT8 weights that a user gives."""
    if int8 is None:
        return
    if calibration is not None:
        raise UsageError("`int8` weights have their ranges; leave out `calibration`, or `int8`")
    if keep_float is not None:
        raise UsageError(
            "`int8` weights have no float operators; leave out `int8`, or the recipe or list that "
            "keeps some in float"
        )
    if prune is not None:
        raise UsageError("`int8` weights are of the whole network; leave out `prune`, or `int8`")


def _named(targets: Sequence[str]) -> list[str]:
    """Return the targets, with the word ``all`` replaced by the usual ones."""
    return [t for name in targets for t in (usual_targets() if name == "all" else (name,))]


def _known(values: Sequence[str], allowed: Sequence[str], what: str) -> tuple[str, ...]:
    for value in values:
        if value not in allowed:
            raise UsageError(f"unknown {what} {value!r}; expected {', '.join(allowed)}")
    return tuple(dict.fromkeys(values))


def _check_supported(targets: Sequence[str], precisions: Sequence[str]) -> None:
    for name, precision in itertools.product(targets, precisions):
        supported = target_named(name).precisions
        if precision not in supported:
            raise UsageError(
                f"{name} does not support {precision}; expected a `precision` of "
                f"{', '.join(supported)}, or another `target`"
            )
