"""What ``evaluate`` does with looks: pictures in, reports and a contact sheet out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from edgeexpo.errors import UsageError
from edgeexpo.evaluation.evaluate import Writer
from edgeexpo.evaluation.looks.look import Seen
from edgeexpo.evaluation.looks.report import LooksReport, PictureLooks
from edgeexpo.evaluation.looks.sheet import Sheet
from edgeexpo.evaluation.looks.table import looks_for
from edgeexpo.evaluation.looks_judge import judge
from edgeexpo.evaluation.looks_scenes import embedded_scenes, wide_enough
from edgeexpo.evaluation.predict import Contestant
from edgeexpo.evaluation.scene import Scene
from edgeexpo.imaging.files import write_picture
from edgeexpo.spec import ModelSpec

LONGEST = 1024
"""Longest side in pixels to which frames are scaled down by default."""

SMALLEST_LONGEST = 128
"""Smallest longest side in pixels. Smaller pictures have no border and no spectrum to judge."""


def judge_looks(
    spec: ModelSpec,
    contestants: Sequence[Contestant],
    scenes: Iterable[Scene] | None,
    noise: float = 0.0,
    longest: int = LONGEST,
    write: Writer | None = None,
    sheet: Path | None = None,
) -> list[LooksReport]:
    """Judge networks by their looks.

    Args:
        spec: Spec of the networks.
        contestants: The networks.
        scenes: Scenes of a folder, or ``None`` for the embedded photographs.
        noise: Standard deviation of Gaussian noise on the frames, in 8-bit codes.
        longest: Longest side to which frames are scaled down, in pixels.
        write: Function that is called with every picture.
        sheet: PNG file of the contact sheet. It is written when all scenes are judged.

    Returns:
        One report for each network.

    Raises:
        UsageError: The network gives radiance, there are no scenes, or an argument cannot be used.
        OutputError: A picture cannot be written.
    """
    if spec.kind == "hdr":
        raise UsageError(
            f"{spec.name} gives radiance, and looks judge pictures; leave out `looks` and measure "
            "it against radiance maps with `data`"
        )
    if longest < SMALLEST_LONGEST:
        raise UsageError(
            f"`longest` is {longest}; expected {SMALLEST_LONGEST} pixels or more, so that a "
            "picture has an inside"
        )
    if sheet is not None:
        _check_sheet(sheet)
    drawn, looks = Sheet(), looks_for(len(spec.frames))
    count = 0

    def observe(scene: Scene, contestant: Contestant, seen: Seen, found: PictureLooks) -> None:
        nonlocal count
        count += 1
        label = f"{contestant.model}.{contestant.target}.{contestant.precision}"
        if sheet is not None:
            drawn.add(f"{scene.name}, {label}", seen, found, looks)
        if write is not None:
            write(scene, label, seen.picture)

    chosen = embedded_scenes(len(spec.frames)) if scenes is None else wide_enough(scenes)
    noisy = (scene.with_noise(noise) if noise else scene for scene in chosen)
    reports = judge(contestants, noisy, longest, observe)
    if not count:
        raise UsageError(
            "the folder gave nothing to judge; expected brackets, or photographs that can be read"
        )
    if sheet is not None:
        write_picture(sheet, drawn.drawn())
    return reports


def _check_sheet(sheet: Path) -> None:
    """Refuse a contact sheet that could not be written, before the work begins."""
    if sheet.suffix.lower() != ".png":
        raise UsageError(f"`sheet` is {sheet}; expected a .png file, which holds any height")
    if not sheet.absolute().parent.is_dir():
        raise UsageError(f"`sheet` is {sheet}, whose folder does not exist; make it first")
