"""Compare the forms in which a small result is applied at full size, on the shipped networks.

    python benchmarks/full_size_forms.py --brackets BRACKETS --photographs PHOTOGRAPHS
                                         [--networks exponet,kdfusion] [--longest 1024]

Every network runs in float in torch. A small result is applied in each form; `lrl` runs on small
copies for one form and on the whole frames for the other.

- Networks of two frames: the darkest and the brightest frame of each bracket. PSNR compares with
  the bracket's reference, MEF-SSIM with the two frames (mean and the worst bracket).
- Networks of one frame: photographs that no network was trained on, at -1.5, -1, 0, 1 and 1.5 EV.
  PSNR compares with the photograph, for the four wrong exposures and for 0 EV.
- False colour: the deviation of a* and b* over 3x3 pixels beyond that of the frames, 99.9th
  percentile, of the worst scene.
- Greys: the frames without colour. The figure is the 99.9th percentile of CIELAB chroma of what
  comes back, of the worst scene.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from edgeexpo.evaluation.datasets import folder_scenes
from edgeexpo.evaluation.looks.colour import false_colour
from edgeexpo.evaluation.metrics import psnr_codes, to_codes
from edgeexpo.evaluation.predict import float_session
from edgeexpo.evaluation.scene import Scene, Skipped
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.color import rgb_to_lab
from edgeexpo.imaging.mef_ssim import mef_ssim
from edgeexpo.imaging.resize import resize
from edgeexpo.models.full_size import with_form
from edgeexpo.models.zoo import get
from edgeexpo.progress import track
from edgeexpo.runtime.session import Session
from edgeexpo.runtime.stages import back
from edgeexpo.spec import ModelSpec

FORMS = {"interpolation": ("render", "fusion")}
"""Forms that are compared, by kind of network."""

OTHERS = ("render", "guided")
"""Forms of the other kinds."""

NETWORKS = (
    "exponet",
    "exponet-double",
    "kdfusion",
    "kdfusion-dense",
    "twophase",
    "twophase-unet",
    "lrl",
    "lrl-mobile",
)
"""Networks that ship and have forms."""

PERCENTILE = 99.9
"""Percentile of the chroma of greys."""


def scenes(args: argparse.Namespace, spec: ModelSpec) -> Iterator[Scene]:
    """Return the scenes of a network: brackets for several frames, photographs for one."""
    if len(spec.frames) > 1:
        return folder_scenes(args.brackets, spec, Skipped())
    return folder_scenes(args.photographs, spec, Skipped(), held_out=True)


def shrunk(picture: Picture, longest: int) -> Picture:
    """Scale a picture down to a longest side in pixels."""
    height, width = picture.shape[:2]
    share = min(1.0, longest / max(height, width))
    return resize(picture, (round(height * share), round(width * share)))


def grey(frame: Picture) -> Picture:
    """Return the mean of the channels in each of them."""
    return np.repeat(frame.mean(2, keepdims=True), 3, 2)


def shown(session: Session, frames: Sequence[Picture]) -> dict[str, Picture]:
    """Return the picture of each form for the same small result."""
    spec = session.spec
    made = {}
    for form in FORMS.get(spec.kind, OTHERS):
        chosen = with_form(spec, form)
        longest = 0 if chosen.back is None else chosen.back.parameters.get("longest", 0)
        seen = [shrunk(frame, longest) for frame in frames] if longest else frames
        made[form] = back(chosen, session(*seen, fuse=False), frames)
    return made


def measured(session: Session, scene: Scene, longest: int) -> dict[str, dict[str, float]]:
    """Return the figures of each form for a scene."""
    frames = [shrunk(frame, longest) for frame in scene.frames]
    truth = None if scene.truth is None else to_codes(shrunk(scene.truth, longest))
    compares = truth is not None and scene.truth_kind in ("reference", "photograph")
    result: dict[str, dict[str, float]] = {}
    for form, picture in shown(session, frames).items():
        result[form] = {"false colour": false_colour(frames, picture)}
        if compares and truth is not None:
            right = scene.truth_kind == "photograph" and np.array_equal(to_codes(frames[0]), truth)
            name = "PSNR at 0 EV" if right else "PSNR"
            result[form][name] = psnr_codes(truth, to_codes(picture))
        if len(frames) > 1:
            result[form]["MEF-SSIM"] = mef_ssim(frames, picture)
    for form, picture in shown(session, [grey(frame) for frame in frames]).items():
        chroma = np.hypot(*np.moveaxis(rgb_to_lab(picture)[..., 1:], -1, 0))
        result[form]["greys"] = float(np.percentile(chroma, PERCENTILE))
    return result


def main() -> int:
    """Print one line for each network and form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--brackets", type=Path, required=True, help="folder of brackets")
    parser.add_argument("--photographs", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--networks", default=",".join(NETWORKS), help="names, with commas")
    parser.add_argument("--longest", type=int, default=1024, help="longest side in pixels")
    args = parser.parse_args()
    print("| network | form | PSNR | at 0 EV | MEF-SSIM | worst | false colour | chroma of greys |")
    print("|---|---|---|---|---|---|---|---|")
    for name in args.networks.split(","):
        spec, rows = get(name).spec, []
        with float_session(name, None) as session:
            for scene in track(list(scenes(args, spec)), name):
                rows.append(measured(session, scene, args.longest))
        for form in FORMS.get(spec.kind, OTHERS):
            print(line(name, form, [row[form] for row in rows]), flush=True)
    return 0


def line(name: str, form: str, rows: Sequence[dict[str, float]]) -> str:
    """Return a network's figures as a row of a Markdown table."""
    mean = {
        key: float(np.mean([row[key] for row in rows if key in row]))
        for key in {key for row in rows for key in row}
    }
    worst = min((row["MEF-SSIM"] for row in rows if "MEF-SSIM" in row), default=None)
    largest = [max(row[key] for row in rows) for key in ("false colour", "greys")]
    cells = [
        *(f"{mean[key]:.2f}" if key in mean else "-" for key in ("PSNR", "PSNR at 0 EV")),
        f"{mean['MEF-SSIM']:.3f}" if "MEF-SSIM" in mean else "-",
        "-" if worst is None else f"{worst:.3f}",
        *(f"{value:.1f}" for value in largest),
    ]
    return f"| `{name}` | {form} | {' | '.join(cells)} |"


if __name__ == "__main__":
    raise SystemExit(main())
