"""Opening of the network that a user names, so that it can be captured."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from edgeexpo.bundle.files import digest
from edgeexpo.errors import ModuleError, UsageError, WeightsError
from edgeexpo.models import foreign, zoo
from edgeexpo.models.deployable import deployable
from edgeexpo.models.foreign import Inputs, Shown
from edgeexpo.models.full_size import with_form
from edgeexpo.models.names import file_stem, is_foreign, is_program
from edgeexpo.models.pruned_weights import load_checkpoint
from edgeexpo.models.saved_program import check_shapes, default_shapes, open_program
from edgeexpo.models.torchscript import followed, is_torchscript
from edgeexpo.models.zoo import ModelEntry
from edgeexpo.program.agreement import check_agreement
from edgeexpo.program.capture import Program, capture
from edgeexpo.program.memory import check_memory
from edgeexpo.program.stages import stage
from edgeexpo.progress import note, status
from edgeexpo.quantization import int8_weights
from edgeexpo.spec import ModelSpec
from edgeexpo.workflows.pruned_networks import narrower, shipped_pruned

DEFAULT_SIDE = 512
"""Default height and width in pixels of the artefacts of a network that names no size."""


@dataclass(frozen=True)
class Network:
    """A module with its spec and size, ready to be captured.

    Attributes:
        module: The module in its deployable form, with its weights.
        spec: The tensors of the network and the stages around it.
        size: Largest (height, width) of the artefacts in pixels.
        weights: File of the float weights. ``None`` for weights in memory.
        preset: Name in the zoo. ``None`` for a foreign module.
        int8: INT8 weights made for these float weights (:mod:`edgeexpo.quantization.int8_weights`).
            ``None`` without such weights.
        weights_key: Key or prefix of the weights in their file, if a user chose one.
    """

    module: torch.nn.Module
    spec: ModelSpec
    size: tuple[int, int]
    weights: Path | None
    preset: str | None = None
    int8: Path | None = None
    weights_key: str | None = None

    def capture(self) -> Program:
        """Capture the module as a program for pictures of at most ``size``, and prove it.

        Raises:
            ModuleError: ``forward`` fails, cannot be traced or does not repeat itself, or the
                program gives other pictures than the module.
        """
        spec = self.spec
        with stage("capturing the network", "simplify its forward", kind=ModuleError):
            return capture(
                self.module,
                spec.inputs,
                spec.outputs,
                self.size,
                spec.multiple,
                grid=spec.grid,
                prove=check_agreement,
            )

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the weights' file, or of the weights' values.

        The values stand for a module without a file, and for weights that were chosen from several.
        """
        if self.weights is None or self.weights_key is not None:
            return state_digest(self.module)
        return digest(self.weights)


def state_digest(module: torch.nn.Module) -> str:
    """Return the SHA-256 over the names and values of all weights of a module."""
    found = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        found.update(f"{name} {tuple(value.shape)}\n".encode())
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def open_network(
    model: str | torch.nn.Module,
    size: tuple[int, int] | None = None,
    weights: str | os.PathLike[str] | None = None,
    inputs: Inputs = (),
    int8: str | os.PathLike[str] | None = None,
    prune: float | None = None,
    weights_key: str | None = None,
    output_range: tuple[float, float] | None = None,
    apply_at_full_size: bool = False,
    full_size_form: str | None = None,
    output_name: str | None = None,
) -> Network:
    """Open the network that a user names, with its weights, whole or pruned.

    A network of the zoo gets the pruned weights that ship for ``prune``, and INT8 weights made from
    them if they ship too. If no pruned weights ship, the network is pruned now. A note names the
    shipped weights, or says that the pruned network was not trained.

    Args:
        model: A name of the zoo, ``path/to/net.py:factory``, or a module. The module stays
            unchanged.
        size: Largest (height, width) in pixels, for networks of the zoo.
        weights: A checkpoint. By default, the shipped weights or the module's own.
        inputs: The shape of every input of a module that is not of the zoo. It is a mapping such as
            ``{"picture": (1, 3, 512, 512)}``, or texts such as ``picture=1x3x512x512``. A saved
            program knows them itself.
        int8: INT8 weights made from the float weights. By default, those that ship with them.
        prune: Share of the multiply-accumulates to remove, above 0 and below 1. ``None`` opens the
            whole network.
        weights_key: Key or prefix of the weights in a checkpoint that holds several sets, such as
            ``params``. By default, averaged weights (``params_ema``) come first, and a note says
            so.
        output_range: Values of a foreign module's output that are black and white. By default, they
            are measured.
        apply_at_full_size: True if a foreign module sees a small copy of every picture, and its
            result is applied at full size.
        full_size_form: Form in which a small result is applied at full size, one of
            :data:`edgeexpo.models.full_size.FULL_SIZE_FORMS`. By default, the form of the network,
            and ``"guided"`` for a foreign module.
        output_name: Output of a foreign module that is the picture, of several: a key, a field, or
            a place counted from 0. By default, the only output that is a picture.

    Raises:
        UsageError: An argument, the weights or the module cannot be used, or the ratio cannot be
            reached.
        WeightsError: The checkpoint does not fit, or ``int8`` was made from other float weights.
        ModuleError: The module cannot be copied, or its ``forward`` fails or cannot be followed.
    """
    given = None if weights is None else Path(weights)
    made = None if int8 is None else Path(int8)
    if weights_key is not None and given is None:
        raise UsageError("`weights_key` chooses among the weights of a file; give `weights` too")
    if prune is not None and given is None and isinstance(model, str) and not is_foreign(model):
        shipped = shipped_pruned(zoo.get(model).name, prune)
        if shipped is not None:
            note(f"pruned weights that ship: {shipped.name}")
            own = shipped.with_name(shipped.stem + zoo.INT8_SUFFIX)
            return _of_zoo(model, size, shipped, inputs, own if own.is_file() else None)
    foreign_only = {
        "output_range": output_range,
        "apply_at_full_size": apply_at_full_size or None,
        "output_name": output_name,
    }
    if isinstance(model, str) and not is_foreign(model):
        for name, value in foreign_only.items():
            if value is not None:
                raise UsageError(f"`{name}` is for foreign modules; {model} has its own")
    form = (full_size_form or "guided") if apply_at_full_size else None
    shown = Shown(output_range, form, output_name)
    opened = _whole(model, size, given, inputs, made, weights_key, shown)
    if full_size_form is not None:
        opened = dataclasses.replace(opened, spec=with_form(opened.spec, full_size_form))
    return opened if prune is None else _pruned(opened, prune)


def _whole(
    model: str | torch.nn.Module,
    size: tuple[int, int] | None,
    weights: Path | None,
    inputs: Inputs,
    int8: Path | None,
    key: str | None,
    shown: Shown,
) -> Network:
    if not isinstance(model, (str, torch.nn.Module)):
        raise UsageError(
            f"model is a {type(model).__name__}; expected a name of the zoo, "
            "path/to/net.py:factory, a saved program net.pt2 or a torch nn.Module"
        )
    if isinstance(model, str) and not is_foreign(model):
        return _of_zoo(model, size, weights, inputs, int8, key)
    return _foreign(model, size, weights, inputs, int8, key, shown)


def _of_zoo(
    name: str,
    size: tuple[int, int] | None,
    weights: Path | None,
    inputs: Inputs,
    int8: Path | None,
    key: str | None = None,
) -> Network:
    if inputs:
        raise UsageError(f"`inputs` is for foreign modules; {name} takes `size` H,W")
    entry, module, path = loaded(name, weights, key)
    longest = entry.spec.longest or DEFAULT_SIDE
    side = size or (longest, longest)
    network = Network(deployable(module), entry.spec, side, path, entry.name, int8, key)
    shapes = [(1, t.channels, *(t.size or side)) for t in entry.spec.inputs]
    check_memory(network.module, shapes)
    if weights is None and int8 is None:
        return dataclasses.replace(network, int8=entry.int8)
    _check_int8(network)
    return network


def _foreign(
    model: str | torch.nn.Module,
    size: tuple[int, int] | None,
    weights: Path | None,
    inputs: Inputs,
    int8: Path | None,
    key: str | None,
    shown: Shown,
) -> Network:
    name = model if isinstance(model, str) else type(model).__name__
    saved = isinstance(model, str) and is_program(model)
    if not inputs and not saved:
        raise UsageError(f"{name} needs its inputs; give `inputs` NAME=1x3xHxW for each")
    if size is not None:
        raise UsageError("`size` is for models of the zoo; a foreign module takes `inputs`")
    if saved and weights is not None:
        raise UsageError(f"{name} has its own weights; leave out `weights`, or save it with others")
    shapes: Sequence[tuple[str | None, tuple[int, ...]]] = foreign.input_shapes(inputs)
    with status(f"Making the network of {name}"):
        if isinstance(model, str) and saved:
            made, shapes = _saved(Path(model), shapes)
        else:
            made = foreign.load_factory(model) if isinstance(model, str) else model
        foreign.check_values(made)
        module = foreign.own_copy(foreign.unwrapped(made))
    if weights is not None:
        load_checkpoint(module, weights, key=key)
    module = foreign.laid_out_plainly(foreign.in_float32(module))
    check_memory(module, [shape for _, shape in shapes], "inputs")
    if is_torchscript(module):
        module = followed(module, [torch.zeros(shape) for _, shape in shapes])
    stem = file_stem(model) if isinstance(model, str) else name
    with (
        status("Measuring the network"),
        stage("measuring the network", "simplify its forward", kind=ModuleError),
    ):
        spec, side = foreign.describe_module(module, stem, shapes, shown)
    network = Network(module, spec, side, weights, int8=int8, weights_key=key)
    _check_int8(network)
    return network


def _saved(
    path: Path, shapes: Sequence[tuple[str | None, tuple[int, ...]]]
) -> tuple[torch.nn.Module, Sequence[tuple[str | None, tuple[int, ...]]]]:
    """Return a saved program as a module, with the shapes of its inputs."""
    module, inputs = open_program(path)
    if not shapes:
        return module, default_shapes(inputs)
    check_shapes(path, inputs, shapes)
    return module, shapes


def _pruned(network: Network, ratio: float) -> Network:
    result = narrower(network.module, network.spec, ratio)
    note(
        f"pruned {result.ratio:.1%} of the multiply-accumulates without training after that; "
        "edgeexpo prune with `data` DIR trains, and export takes what it writes with `weights`"
    )
    return dataclasses.replace(network, module=result.module, int8=None)


def loaded(
    name: str, weights: Path | None, key: str | None = None
) -> tuple[ModelEntry, torch.nn.Module, Path]:
    """Load a network of the zoo in the form in which it is trained, with weights.

    Args:
        name: A name of the zoo.
        weights: A checkpoint, whole or pruned. By default, the shipped checkpoint.
        key: Key or prefix of the wanted weights in the checkpoint.

    Returns:
        The network's entry in the zoo, the module and the file of its weights.

    Raises:
        UsageError: No network has this name, or it ships without weights and ``weights`` is
            ``None``.
        WeightsError: The checkpoint does not fit.
    """
    entry = zoo.get(name)
    path = weights or entry.weights
    if path is None:
        raise UsageError(f"{entry.name} ships without weights; give `weights`, or train it first")
    module = entry.build()
    load_checkpoint(module, path, entry.name, key)
    return entry, module, path


def _check_int8(network: Network) -> None:
    """Refuse INT8 weights that were made from other float weights, and say what is different."""
    path = network.int8
    if path is None:
        return
    if int8_weights.read_facts(path).get("float_sha256") == network.weights_sha256:
        return
    made = int8_weights.read_int8_weights(path)
    if found := int8_weights.mismatch(network.capture(), made):
        raise WeightsError(f"{path} does not fit {network.spec.name}: {found}")
    raise WeightsError(
        f"{path} was made from other float weights than {network.weights or network.spec.name};"
        " quantize those, or give the matching `weights`"
    )
