"""Quality of a network against ground truth, next to baselines that need no network."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from torch import nn

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.errors import UsageError
from edgeexpo.evaluation.datasets import folder_scenes
from edgeexpo.evaluation.evaluate import Evaluation, Writer, evaluated, measure_scenes
from edgeexpo.evaluation.metrics import to_codes
from edgeexpo.evaluation.predict import Contestant, candidates, spec_of, torch_session
from edgeexpo.evaluation.scene import Scene, Skipped
from edgeexpo.imaging.color import linear_to_srgb
from edgeexpo.imaging.files import write_picture
from edgeexpo.models.foreign import Inputs
from edgeexpo.spec import ModelSpec
from edgeexpo.workflows.arguments import AnyPath, optional_path
from edgeexpo.workflows.looks import LONGEST, judge_looks
from edgeexpo.workflows.networks import open_network
from edgeexpo.writing import writing

MODULE_KINDS = ("interpolation", "fusion", "correction", "reconstruction")
"""Kinds that a module in memory can be measured as. Its pictures are sRGB-encoded."""


def evaluate(
    model: str | Bundle | AnyPath | nn.Module,
    data: AnyPath | None = None,
    *,
    inputs: Inputs = (),
    kind: str | None = None,
    weights: AnyPath | None = None,
    target: str | None = None,
    precision: str | None = None,
    held_out: bool = False,
    views: int = 40,
    noise: float = 0.0,
    with_baselines: bool = True,
    output: AnyPath | None = None,
    looks: bool = False,
    longest: int | None = None,
    sheet: AnyPath | None = None,
) -> Evaluation:
    """Measure a network against the ground truth of a folder, next to baselines.

    The baselines need no network. With ``looks``, judge what its pictures look like instead. No
    truth is needed for that (:data:`edgeexpo.evaluation.looks.table.LOOKS`).

    Args:
        model: A name of the zoo, a bundle or its folder, or a module in memory. The module stays
            unchanged.
        data: Folder of brackets (sub-folders), radiance maps or photographs. With ``looks``, the
            embedded photographs if left out.
        inputs: The shape of every input of a module in memory, as for
            :func:`edgeexpo.export_bundle`.
        kind: The task of a module in memory, one of :data:`MODULE_KINDS`. By default,
            ``correction`` for one input picture and ``fusion`` for several.
        weights: Checkpoint for a name of the zoo or for a module.
        target: Measure only this target of a bundle.
        precision: Measure only this precision of a bundle.
        held_out: Use only photographs that edgeexpo's own weights were not trained on.
        views: Number of views of radiance maps.
        noise: Standard deviation of Gaussian noise on the frames, in 8-bit codes.
        with_baselines: Measure the baselines too.
        output: Folder for every picture, as 8-bit PNG. By default, no picture is written.
        looks: Judge looks, and measure neither quality nor baselines. The result has the reports in
            ``looks`` and no rows.
        longest: Longest side in pixels to which frames are scaled down for looks, by default 1024.
        sheet: File for a contact sheet of looks: frames, picture, and what fails in words.

    Raises:
        UsageError: The folder holds nothing for this network or nothing readable, or an argument
            cannot be used.
        WeightsError: The checkpoint does not fit, or the preset ships without weights.
        BundleError: The bundle is damaged or has no such artefact.
        MissingDependencyError: An engine or a metric's library is not installed.
        OutputError: A picture cannot be written.

    Example:
        >>> found = edgeexpo.evaluate(network, photographs, inputs={"input": (1, 3, 64, 64)})
        >>> sorted({row["model"] for row in found.rows})
        ['Sequential', 'the input']
    """
    _check_looks(looks, data, longest, sheet)
    skipped, folder = Skipped(), optional_path(data)
    write = None if output is None else picture_writer(Path(output))
    if isinstance(model, nn.Module):
        opened = _module(model, inputs, kind, weights, target, precision)
    else:
        opened = _named(model, inputs, kind, weights, target, precision)
    with opened as (spec, contestants):
        if looks:
            scenes = (
                None
                if folder is None
                else folder_scenes(folder, spec, skipped, held_out=held_out, views=views)
            )
            reports = judge_looks(
                spec, contestants, scenes, noise, longest or LONGEST, write, optional_path(sheet)
            )
            return Evaluation([], [], skipped=skipped.names, looks=reports)
        assert folder is not None  # only looks go without one
        scenes = folder_scenes(folder, spec, skipped, held_out=held_out, views=views)
        rows = measure_scenes(
            contestants, scenes, noise=noise, with_baselines=with_baselines, write=write
        )
    if not rows:
        raise UsageError(f"{folder} gave nothing to measure ({len(skipped.names)} files skipped)")
    return evaluated(rows, skipped.names)


def _check_looks(
    looks: bool, data: AnyPath | None, longest: int | None, sheet: AnyPath | None
) -> None:
    if looks:
        return
    if data is None:
        raise UsageError(
            "evaluate needs a folder of pictures; name it with `data`, or use `looks`, which has "
            "embedded photographs"
        )
    for name, value in (("longest", longest), ("sheet", sheet)):
        if value is not None:
            raise UsageError(f"`{name}` is for looks; add `looks`, or leave out `{name}`")


@contextmanager
def _named(
    model: str | Bundle | AnyPath,
    inputs: Inputs,
    kind: str | None,
    weights: AnyPath | None,
    target: str | None,
    precision: str | None,
) -> Iterator[tuple[ModelSpec, list[Contestant]]]:
    name = str(model.path) if isinstance(model, Bundle) else str(model)
    if inputs or kind is not None:
        raise UsageError(
            f"{name} has its own inputs and kind; leave out `inputs` and kind, which are for a "
            "module in memory"
        )
    spec = spec_of(name)
    with candidates(name, optional_path(weights), target, precision) as found:
        yield spec, found


@contextmanager
def _module(
    module: nn.Module,
    inputs: Inputs,
    kind: str | None,
    weights: AnyPath | None,
    target: str | None,
    precision: str | None,
) -> Iterator[tuple[ModelSpec, list[Contestant]]]:
    if target is not None or precision is not None:
        raise UsageError(
            "a module is run in float; `target` and `precision` choose among the artefacts of a "
            "bundle: name one, made by edgeexpo export"
        )
    network = open_network(module, None, weights, inputs)
    chosen = kind or ("correction" if len(network.spec.frames) == 1 else "fusion")
    if chosen not in MODULE_KINDS:
        raise UsageError(f"unknown kind {chosen!r}; expected one of {', '.join(MODULE_KINDS)}")
    spec = dataclasses.replace(network.spec, kind=chosen)
    with torch_session(network.module, spec) as session:
        yield spec, [Contestant(spec.name, "float", "torch", session)]


def picture_writer(folder: Path) -> Writer:
    """Return a function that writes every picture of an evaluation into ``folder``, as PNG.

    The function takes the scene, a label and the picture, HxWxC float. A picture is sRGB-encoded in
    [0, 1], or linear radiance if the scene's truth is radiance. Radiance is divided by its largest
    value and then sRGB-encoded.

    Raises:
        UsageError: ``folder`` is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; choose a folder with `output`")

    def write(scene: Scene, label: str, picture: np.ndarray) -> None:
        if scene.truth_kind == "radiance":
            picture = linear_to_srgb(picture / max(float(picture.max()), 1e-12))
        name = re.sub(r"[^A-Za-z0-9._+-]+", "_", f"{scene.name}.{label}")
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        write_picture(folder / f"{name}.png", to_codes(picture))

    return write
