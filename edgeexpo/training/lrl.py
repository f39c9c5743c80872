"""Train LRL: ``python -m edgeexpo.training.lrl --data MAPS --photographs PICTURES -o DIR``.

``DIR`` gets ``checkpoint.pt`` (everything needed to resume, every two minutes),
``PRESET.safetensors`` (the running mean of the weights) and ``training.json``.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from edgeexpo.models import lrl
from edgeexpo.training.losses import interpolation_loss
from edgeexpo.training.synthesis import photographs, radiance_maps, training_pairs


@dataclass(frozen=True)
class Plan:
    """What a run does; stored beside the weights."""

    preset: str = "lrl-8"
    minutes: float = 35.0
    seed: int = 0
    pairs: int = 4000
    patch: int = 64
    batch: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    average: float = 0.998
    warm_up: float = 0.02


class Training:
    """A network, its running mean, its optimiser and how far it is."""

    def __init__(self, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.network = lrl.build(plan.preset)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.train()
        self.mean = copy.deepcopy(self.network).eval()
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), plan.learning_rate, weight_decay=plan.weight_decay
        )
        self.step = 0
        self.seconds = 0.0

    def rate(self) -> float:
        """Learning rate now: linear warm-up, then a cosine down to a hundredth, over the time."""
        done = min(1.0, self.seconds / (self.plan.minutes * 60))
        if done < self.plan.warm_up:
            return self.plan.learning_rate * max(done / self.plan.warm_up, 0.05)
        falling = 0.5 * (1 + math.cos(math.pi * done))
        return self.plan.learning_rate * (0.01 + 0.99 * falling)

    def update(self, y0: Tensor, truth: Tensor) -> float:
        """One step on a batch of NCHW pairs; returns the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        loss = interpolation_loss(self.network(y0), truth)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 0.1)
        self.optimizer.step()
        self.average()
        return float(loss.detach())

    def average(self) -> None:
        """Count the step and let the mean weights follow."""
        self.step += 1
        keep = min(self.plan.average, self.step / (self.step + 10))
        with torch.no_grad():
            weights = zip(self.mean.parameters(), self.network.parameters(), strict=True)
            for mean, now in weights:
                mean.lerp_(now, 1 - keep)
            statistics = zip(self.mean.buffers(), self.network.buffers(), strict=True)
            for kept, buffer in statistics:
                kept.copy_(buffer)

    def save(self, folder: Path) -> None:
        """Write the checkpoint, the mean weights and the plan."""
        from safetensors.torch import save_file

        state = {
            "network": self.network.state_dict(),
            "mean": self.mean.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        partial = folder / "checkpoint.partial"
        torch.save(state, partial)
        partial.replace(folder / "checkpoint.pt")
        weights = {name: value.contiguous() for name, value in self.mean.state_dict().items()}
        save_file(weights, folder / f"{self.plan.preset}.safetensors")
        facts = {**asdict(self.plan), "steps": self.step, "seconds": round(self.seconds, 1)}
        (folder / "training.json").write_text(json.dumps(facts, indent=2) + "\n")

    def widen(self, small: lrl.LRLNet) -> None:
        """Start as ``small``, a narrower and shallower network without normalisation.

        Function-preserving as in T. Chen, I. Goodfellow, J. Shlens, "Net2Net", ICLR 2016: its
        channels come first, layers it lacks pass them on, new channels do not reach its outputs.
        """
        own = [m for m in self.network.body if isinstance(m, nn.Conv2d)]
        given = [m for m in small.body if isinstance(m, nn.Conv2d)]
        width = given[0].out_channels
        sources = [*given[:-1], *[None] * (len(own) - len(given)), given[-1]]
        with torch.no_grad():
            for layer, source in zip(own, sources, strict=True):
                bias = cast(Tensor, layer.bias)
                outputs = 3 if layer is own[-1] else width
                layer.weight[:outputs], bias[:outputs] = 0.0, 0.0
                if source is None:
                    layer.weight[:outputs, :width, 1, 1] = torch.eye(width)
                else:
                    layer.weight[:outputs, : source.in_channels] = source.weight
                    bias[:outputs] = cast(Tensor, source.bias)
        self.mean.load_state_dict(self.network.state_dict())

    def resume(self, folder: Path) -> None:
        """Go on from ``checkpoint.pt`` when the folder has one."""
        path = folder / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.mean.load_state_dict(state["mean"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]


def augmented(
    pairs: tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]],
    count: int,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Draw a batch, turned, mirrored and with its colours permuted, the same for both."""
    chosen = rng.integers(len(pairs[0]), size=count)
    colors = rng.permutation(3)
    turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
    batch = []
    for stored in pairs:
        values = np.rot90(stored[chosen][:, colors], turns, axes=(2, 3))
        values = values[..., ::-1] if mirror else values
        tensor = torch.from_numpy(values.astype(np.float32) / np.float32(65535))
        batch.append(tensor.contiguous(memory_format=torch.channels_last))
    return batch[0], batch[1]


def small_network(path: Path) -> lrl.LRLNet:
    """Load a checkpoint named after its preset (``lrl-mobile.safetensors``)."""
    from safetensors.torch import load_file

    network = lrl.build(path.stem)
    network.load_state_dict(load_file(path))
    return network


def train(
    plan: Plan,
    pairs: tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]],
    folder: Path,
    *,
    save_every: float = 120.0,
    start: Path | None = None,
) -> Training:
    """Train for the plan's time, saving as it goes; resumes what the folder holds.

    ``start`` is a smaller preset's weights, or this preset's own, to begin from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    training = Training(plan)
    if start is not None:
        training.widen(small_network(start))
    training.resume(folder)
    rng = np.random.default_rng([plan.seed, training.step])
    saved, losses = training.seconds, []
    while training.seconds < plan.minutes * 60:
        began = time.perf_counter()
        losses.append(training.update(*augmented(pairs, plan.batch, rng)))
        training.seconds += time.perf_counter() - began
        if training.seconds - saved >= save_every:
            saved = training.seconds
            training.save(folder)
            print(f"{saved:.0f} s, step {training.step}, loss {np.mean(losses):.6f}", flush=True)
            losses = []
    training.save(folder)
    return training


def main(argv: list[str] | None = None) -> int:
    """Command line of the trainer."""
    parser = argparse.ArgumentParser(prog="python -m edgeexpo.training.lrl", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of radiance maps (.hdr)")
    parser.add_argument("--photographs", type=Path, help="folder of photographs (.jpg, .png)")
    parser.add_argument("--preset", default=Plan.preset, choices=[*lrl.PRESETS, *lrl.ALIASES])
    parser.add_argument("-o", "--output", type=Path, required=True)
    for name in ("minutes", "seed", "pairs", "patch", "batch", "learning_rate"):
        default = getattr(Plan, name)
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=type(default), default=default)
    parser.add_argument("--start", type=Path, help="weights of a smaller preset to widen")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(argv)
    torch.set_num_threads(given.threads)
    plan = Plan(
        lrl.ALIASES.get(given.preset, given.preset),
        given.minutes,
        given.seed,
        given.pairs,
        given.patch,
        given.batch,
        given.learning_rate,
    )
    maps = list(radiance_maps(given.data, held_out=False).values())
    pictures = list(photographs(given.photographs).values()) if given.photographs else []
    pairs = training_pairs(maps, pictures, count=plan.pairs, patch=plan.patch, seed=plan.seed)
    gain = 10 * np.log10(65535.0**2 / np.mean((pairs[0] - pairs[1].astype(np.float64)) ** 2))
    print(f"{plan.pairs} pairs, PSNR of y0 {gain:.2f} dB", flush=True)
    train(plan, pairs, given.output, start=given.start)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
