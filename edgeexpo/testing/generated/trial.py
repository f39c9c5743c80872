"""Trials of generated modules: export, then comparison with eager torch at random sizes."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import Artifact
from edgeexpo.errors import EdgeexpoError, InternalError, UsageError
from edgeexpo.failures import described, unforeseen
from edgeexpo.imaging.samples import unseen
from edgeexpo.models.foreign import load_factory
from edgeexpo.parity.metrics.pictures import psnr
from edgeexpo.progress import kept_notes
from edgeexpo.runtime.engines.base import interpreter
from edgeexpo.runtime.session import load
from edgeexpo.silence import quiet
from edgeexpo.targets import usual_targets
from edgeexpo.testing.generated.module import FACTORY, Drawn
from edgeexpo.workflows.export import export_bundle

RIGHT, REFUSED, FAILED, BUG = "right", "refused", "failed", "bug"
"""Outcomes of a target and precision.

The artefact is verified and gives the pictures of eager torch, or it was refused with the operator,
the line and the way out. ``failed`` stands for an INT8 artefact that is marked so, because the
network itself is not INT8's. Everything else is a bug.
"""

OUTCOMES = (RIGHT, REFUSED, FAILED, BUG)

PRECISIONS = ("fp32", "int8")
"""Precisions of the trials."""

FREE_SIZES, GRID_SIZES, GRID = 2, 2, 8
"""Numbers of random sizes, and the number of which the sides of those on the grid are multiples."""

MOST_FLOAT, MOST_CONDITIONED = 1e-3, 30.0
"""Largest accepted difference of fp32: absolute, and in multiples of torch's own from float64."""

LEAST_PSNR = 32.0
"""Smallest accepted PSNR of a verified INT8 artefact in dB, on one photograph that is unseen."""

_LINE = re.compile(r"\.py:\d+")
_FAILED = re.compile(r"^[\w -]+ failed: \w*(Error|Exception)\b")
_LOWERED = re.compile(r"by the noise floor|against the quantized program")


@dataclass(frozen=True)
class Outcome:
    """What became of one target and precision.

    Attributes:
        target: One of :func:`edgeexpo.targets.usual_targets`.
        precision: One of :data:`PRECISIONS`.
        outcome: One of :data:`OUTCOMES`.
        words: Reason in one line. For a right artefact, the number of sizes that were compared.
    """

    target: str
    precision: str
    outcome: str
    words: str


@dataclass(frozen=True)
class Picture:
    """A photograph of a random size, with what eager torch makes of it.

    Attributes:
        frame: HxWx3 float32.
        expected: Output of the module, HxWx3 float32.
        rounding: Largest difference of ``expected`` from the output in float64.
    """

    frame: np.ndarray
    expected: np.ndarray
    rounding: float


def try_module(drawn: Drawn, folder: Path, targets: Sequence[str] = ()) -> list[Outcome]:
    """Export a module to every target and precision, and compare the artefacts with eager torch.

    Args:
        drawn: The module.
        folder: Folder for its file and its bundle.
        targets: Targets to try; the usual ones by default.

    Returns:
        One outcome for each target and precision.
    """
    targets = targets or usual_targets()
    path = drawn.write(folder)
    model = f"{path}:{FACTORY}"
    wanted = [(target, precision) for target in targets for precision in PRECISIONS]
    try:
        with quiet(), kept_notes() as notes:
            bundle = export_bundle(
                model,
                targets=targets,
                precision=PRECISIONS,
                inputs={"x": (1, 3, drawn.side, drawn.side)},
                output=folder / f"bundle_{drawn.seed}",
                force=True,
            )
    except EdgeexpoError as error:
        told = [*notes, *getattr(error, "__notes__", ())]
        outcome, words = _refusal(str(error), told, isinstance(error, InternalError))
        return [Outcome(*pair, outcome, words) for pair in wanted]
    except Exception as error:  # noqa: BLE001 - whatever reaches a user is what this looks for
        words = f"traceback: {described(error)}; {unforeseen(error, 'trying a module')}"
        return [Outcome(*pair, BUG, words) for pair in wanted]
    pictures = list(eager_pictures(load_factory(model), drawn))
    found = {(r.target, r.precision): _refusal(r.reason, notes) for r in bundle.manifest.refused}
    for artifact in bundle.manifest.artifacts:
        found[artifact.target, artifact.precision] = _judged(bundle, artifact, pictures)
    missing = (BUG, "neither made nor refused")
    return [Outcome(*pair, *found.get(pair, missing)) for pair in wanted]


def eager_pictures(module: torch.nn.Module, drawn: Drawn) -> Iterator[Picture]:
    """Yield photographs of the exported size and of random sizes, with the module's output.

    Sizes that the module itself refuses are left out.
    """
    exact = copy.deepcopy(module).double()
    generator = np.random.default_rng(drawn.seed)
    for index, size in enumerate(random_sizes(generator, drawn.side)):
        frame = unseen(1, size, drawn.seed)[index % 2].frames[0]
        x = torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1)[None]))
        try:
            with torch.no_grad():
                made = module(x)
        except RuntimeError:
            continue
        try:
            with torch.no_grad():
                rounding = float((exact(x.double()) - made).abs().max())
        except RuntimeError:  # a block that is bound to float32
            rounding = 0.0
        yield Picture(frame, made[0].numpy().transpose(1, 2, 0), rounding)


def random_sizes(generator: np.random.Generator, side: int) -> list[tuple[int, int]]:
    """Return the exported (height, width) and random ones, some of them on the grid."""
    free = [generator.integers(side // 2, 2 * side, 2) for _ in range(FREE_SIZES)]
    grid = [generator.integers(2, 2 * side // GRID, 2) * GRID for _ in range(GRID_SIZES)]
    return [(side, side), *((int(h), int(w)) for h, w in (*free, *grid))]


def _refusal(reason: str, notes: Sequence[str], internal: bool = False) -> tuple[str, str]:
    """Judge the words with which something was refused."""
    told = next((n for n in notes if "the trace is in" in n), "")
    if internal or _FAILED.match(reason):
        return BUG, f"unforeseen: {reason} [{told}]"
    if "\n" in reason:
        return BUG, f"more than one line: {' '.join(reason.split())}"
    if not _LINE.search(reason):
        return BUG, f"refused without a line: {reason}"
    return REFUSED, reason


def _judged(bundle: Bundle, artifact: Artifact, pictures: Sequence[Picture]) -> tuple[str, str]:
    """Compare an artefact with eager torch."""
    if artifact.status != "verified":
        words = f"marked {artifact.status}: {artifact.error}"
        kept = artifact.precision == "int8" and not _LOWERED.search(artifact.error or "")
        return (FAILED if kept else BUG), words
    compared = 0
    engine = interpreter(artifact.target, bundle.manifest.model)
    with load(
        bundle.path, target=artifact.target, precision=artifact.precision, engine=engine
    ) as session:
        for picture in pictures:
            size = "x".join(map(str, picture.frame.shape[:2]))
            try:
                made = session(picture.frame)
            except UsageError as error:  # this size is refused
                if picture is pictures[0]:
                    return BUG, f"refuses the exported size {size}: {error}"
                continue
            except Exception as error:  # noqa: BLE001 - an engine may raise anything
                return BUG, f"running {size}: {described(error)}"
            wrong = _difference(made, picture, artifact.precision)
            if wrong:
                return BUG, f"verified, but at {size} {wrong} from eager torch"
            compared += 1
    return RIGHT, f"{compared} of {len(pictures)} sizes"


def _difference(made: np.ndarray, picture: Picture, precision: str) -> str:
    """Return in words how a picture differs by more than its precision allows, or nothing."""
    if made.shape != picture.expected.shape:
        return f"{made.shape}, {picture.expected.shape}"
    if precision == "int8":
        found = float(psnr(made, picture.expected))
        return f"{found:.1f} dB" if found < LEAST_PSNR else ""
    most = float(np.abs(made - picture.expected).max())
    allowed = max(MOST_FLOAT, MOST_CONDITIONED * picture.rounding)
    return "" if most <= allowed else f"{most:.2g}"
