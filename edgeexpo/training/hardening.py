"""Harden a trained LRL against INT8: ``python -m edgeexpo.training.hardening --start W -o DIR``.

A residual network's correction is a small difference of large activations, and rounding those to
256 steps drowns it. Here the network is trained on with the rounding noise of INT8 added to its
activations and weights, and pays for what the noise does to its correction, so that it spreads the
correction over its channels. The float network stays as good; INT8 gains some dB.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from edgeexpo.models import lrl
from edgeexpo.training.losses import interpolation_loss
from edgeexpo.training.lrl import Plan, Training, augmented
from edgeexpo.training.synthesis import photographs, radiance_maps, training_pairs

NOISE_WEIGHT = 0.01
"""Weight of the noise's share of the correction beside the training loss."""


@contextmanager
def rounding_noise(network: nn.Module) -> Iterator[None]:
    """Add the noise of rounding to 256 steps to every ReLU's output, inside the block."""

    def add(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> Tensor:
        step = output.detach().amax() / 255
        return output + (torch.rand_like(output) - 0.5) * step

    handles = [m.register_forward_hook(add) for m in network.modules() if isinstance(m, nn.ReLU)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def noisy_weights(network: nn.Module) -> dict[str, Tensor]:
    """The parameters with the noise of rounding every output channel to 255 steps."""
    noisy = {}
    for name, value in network.named_parameters():
        noisy[name] = value
        if value.dim() == 4:
            step = value.detach().abs().amax((1, 2, 3), keepdim=True) / 127
            noisy[name] = value + (torch.rand_like(value) - 0.5) * step
    return noisy


class Hardening(Training):
    """Training whose loss also counts what rounding noise does to the correction."""

    def update(self, y0: Tensor, truth: Tensor) -> float:
        """One step on a batch of NCHW pairs; returns the noise's share of the correction."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        clean = self.network(y0)
        with rounding_noise(self.network):
            noisy = functional_call(self.network, noisy_weights(self.network), (y0,))
        # Of the whole batch: weighing patch by patch would favour a correction of nothing.
        share = (noisy - clean).square().mean() / (clean.detach() - y0).square().mean()
        loss = interpolation_loss(clean, truth) + NOISE_WEIGHT * share
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 0.1)
        self.optimizer.step()
        self.average()
        return float(share.detach())


def harden(plan: Plan, pairs: tuple[np.ndarray, np.ndarray], start: Path, folder: Path) -> None:
    """Train on from ``start`` for the plan's time; resumes what the folder holds."""
    from safetensors.torch import load_file

    folder.mkdir(parents=True, exist_ok=True)
    training = Hardening(plan)
    training.network.load_state_dict(load_file(start))
    rng = np.random.default_rng([plan.seed, 1])
    training.mean.load_state_dict(training.network.state_dict())
    training.resume(folder)
    saved, shares = training.seconds, []
    while training.seconds < plan.minutes * 60:
        begin = time.perf_counter()
        shares.append(training.update(*augmented(pairs, plan.batch, rng)))
        training.seconds += time.perf_counter() - begin
        if training.seconds - saved >= 60:
            saved = training.seconds
            training.save(folder)
            share = -10 * np.log10(np.mean(shares))
            print(f"{saved:.0f} s, step {training.step}, correction {share:.1f} dB", flush=True)
            shares = []
    training.save(folder)


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m edgeexpo.training.hardening")
    parser.add_argument("--data", type=Path, required=True, help="folder of radiance maps")
    parser.add_argument("--photographs", type=Path, help="folder of photographs")
    parser.add_argument("--start", type=Path, required=True, help="trained weights")
    parser.add_argument("--preset", default="lrl-8", choices=[*lrl.PRESETS])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(argv)
    torch.set_num_threads(given.threads)
    plan = Plan(
        given.preset, given.minutes, 2, given.pairs, given.patch, given.batch, given.learning_rate
    )
    maps = list(radiance_maps(given.data, held_out=False).values())
    pictures = list(photographs(given.photographs).values()) if given.photographs else []
    pairs = training_pairs(maps, pictures, count=plan.pairs, patch=plan.patch, seed=plan.seed)
    harden(plan, pairs, given.start, given.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
