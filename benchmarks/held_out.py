"""Predict the middle exposure on radiance maps that no weights were trained on.

    python benchmarks/held_out.py --data MAPS [--preset lrl-8] [--weights FILE.safetensors]

Protocol:

- Maps: lab, hall, bridge, blender_city, sunset (those present and readable); seed 0.
- Views: 40 perspective views of 512x512 in turn over the maps, 50 to 95 degrees wide. The geometric
  mean is at 0.18 of saturation within 1 EV.
- Camera: random for each view (EMoR response, full well 1500 to 6000 electrons, read noise 2 to 4
  electrons).
- Frames: -2 and +2 EV, 8 bits, no JPEG. The truth is the noiseless exposure at 0 EV.

Figures are means over the views of PSNR in dB on RGB rounded to 8 bits.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.interpolation import intermediate
from edgeexpo.models import lrl, zoo
from edgeexpo.models.pruned_weights import load_checkpoint
from edgeexpo.progress import track
from edgeexpo.training.synthesis import ShotBracket, radiance_maps, random_view, shoot_bracket


def psnr(picture: Picture, truth: Picture) -> float:
    """Return the PSNR in dB of two pictures in [0, 1], rounded to 8 bits; 120 when equal."""
    codes = [np.rint(np.clip(p, 0, 1) * 255.0) for p in (picture, truth)]
    error = float(np.mean((codes[0] - codes[1]) ** 2))
    return 120.0 if error == 0 else float(10 * np.log10(255.0**2 / error))


def candidates(bracket: ShotBracket, network: lrl.LRLNet) -> dict[str, Picture]:
    """Return the predictions of the middle exposure by every method, by name."""
    under, over, ev = bracket.under, bracket.over, bracket.ev
    fitted = intermediate(under, over, ev=ev, levels=255)
    unknown = intermediate(under, over, ev=None, levels=255)
    return {
        "y0, sRGB response": intermediate(under, over, ev=ev, response="srgb"),
        "y0, fitted response, EV unknown": unknown,
        "network on it, EV unknown": repair(network, unknown),
        "y0, fitted response": fitted,
        "network on it": repair(network, fitted),
        "y0, true response": intermediate(under, over, ev=ev, response=bracket.camera.table),
    }


def repair(network: lrl.LRLNet, y0: Picture) -> Picture:
    """Run the float network on one HxWx3 picture."""
    with torch.inference_mode():
        result = network(torch.from_numpy(y0.transpose(2, 0, 1)[None].copy()))
    return np.asarray(result[0].numpy().transpose(1, 2, 0))


def main() -> None:
    """Parse the arguments, predict, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of radiance maps (.hdr)")
    parser.add_argument("--preset", default="lrl-8", choices=[*lrl.PRESETS, *lrl._ALIASES])
    parser.add_argument("--weights", type=Path, help="default: the preset's own")
    parser.add_argument("--crops", type=int, default=40)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    preset = lrl._ALIASES.get(given.preset, given.preset)
    network = lrl.build(preset).eval()
    load_checkpoint(network, given.weights or zoo.WEIGHTS / f"{preset}.safetensors", preset)
    maps = radiance_maps(given.data, held_out=True)
    rng = np.random.default_rng(0)
    scores: dict[str, list[float]] = {}
    for index in track(range(given.crops), "Held-out views"):
        view = random_view(list(maps.values())[index % len(maps)], given.size, rng)
        bracket = shoot_bracket(view, 4.0, rng)
        for name, picture in candidates(bracket, network).items():
            scores.setdefault(name, []).append(psnr(picture, bracket.truth))
    means = {name: round(float(np.mean(values)), 2) for name, values in scores.items()}
    report(preset, sorted(maps), given.crops, means, scores, as_json=given.json)


def report(
    preset: str,
    maps: list[str],
    crops: int,
    means: dict[str, float],
    scores: dict[str, list[float]],
    *,
    as_json: bool,
) -> None:
    """Print the means and the scores of each view, as text or as JSON."""
    before = np.asarray(scores["y0, fitted response"])
    gains = np.asarray(scores["network on it"]) - before
    hardest = np.argsort(before)[: max(1, round(len(before) / 10))]
    tenth = float(gains[hardest].mean())
    if as_json:
        document = {"preset": preset, "maps": maps, "crops": crops, "psnr": means}
        print(json.dumps({**document, "gain": float(gains.mean()), "tenth": tenth}))
        return
    print(f"{preset}: {crops} views of {', '.join(maps)}; mean PSNR in dB")
    for name, mean in means.items():
        print(f"  {name:34}{mean:7.2f}")
    print(
        f"  gain over its own y0: mean {gains.mean():+.2f}, worst {gains.min():+.2f}, on the tenth "
        f"of the views where y0 is worst {tenth:+.2f}"
    )


if __name__ == "__main__":
    main()
