"""Valid command lines of every verb, on the files of :mod:`edgeexpo.testing.mutated.workplace`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

_X = "--input x=1x3x32x32"
_NET = f"net.py:make {_X}"
_FAST = "--target onnx --precision fp32"


@dataclass(frozen=True)
class Command:
    """A valid command line.

    Attributes:
        line: The words after ``edgeexpo``, as a shell reads them.
        weight: How often the line is drawn, relative to the others.
        reads: Files and folders that the command reads though it does not name them.
    """

    line: str
    weight: float = 1.0
    reads: Sequence[str] = ()

    @property
    def words(self) -> list[str]:
        """The command line as words."""
        return shlex.split(self.line)


MADE: tuple[str, ...] = (
    f"export {_NET} --target onnx,executorch,coreml --precision fp32 --images photos -o own",
    f"export {_NET} --target onnx --precision int8 --images photos --calib photos -o small",
    f"export lrl --size 32,32 {_FAST} --images photos -o pair",
    f"export expandnet-mobile --size 32,32 {_FAST} --images photos --weights expand.pt -o radiance",
    f"quantize {_NET} --method ptq --variants plain --calib photos -o net.int8.safetensors",
    f"quantize {_NET} --data hdri --steps 1 --batch 1 --crop 32 --scenes 1 --calib photos"
    " --run run -o net.qat.safetensors",
    f"tune {_NET} --target onnx --candidates 1 --runs 1 --threads 1 --images photos --calib photos"
    " --cache cache -o net.recipe.json",
    "parity own --target onnx --precision fp32 --images photos --record",
)
"""Commands that make the bundles, INT8 weights, runs and recipes of a workplace."""

COMMANDS: tuple[Command, ...] = (
    Command(f"export {_NET} {_FAST} --images photos -o out", 5),
    Command(f"export {_NET} {_FAST} --images photos --dry-run", 4),
    Command(f"export net.pt2 {_FAST} --images photos -o out --json", 3),
    Command(f"export {_NET} --weights net.pth {_FAST} --images photos --dry-run", 5),
    Command(f"export {_NET} --weights nested.pt --weights-key params {_FAST} --dry-run", 3),
    Command(f"export {_NET} --weights net.safetensors {_FAST} --images photos --dry-run", 3),
    Command(f"export {_NET} --int8 net.int8.safetensors --target onnx --images photos -o out", 2),
    Command("export --recipe net.recipe.json --images photos -o out", 3),
    Command(
        f"export {_NET} {_FAST} --images photos --gate psnr>=45 --frame-format nv12,bt709 --strict"
        " --output-range 0,1 -o deep/er/out",
        2,
    ),
    Command(f"export {_NET} --weights net.pth {_FAST} --images photos -o out --force", 1),
    Command("run own a.png -o out.png", 8),
    Command("run own shot.jpg -o out.jpg --strength 1 --json", 6),
    Command("run own deep.tif -o out.tif --threads 1 --memory-mb 64", 6),
    Command("run own deep.png -o out.png --target onnx --precision fp32", 4),
    Command("run own wide.png --keep-p3 -o out.jpg", 4),
    Command("run own a.png -o out.png --target executorch", 3),
    Command("run own a.png -o b.png --target coreml --force", 2),
    Command("run small gray.webp -o out.jpg", 3),
    Command("run own clip.mp4 -o out.mp4", 5),
    Command("run own clip.mkv -o out.mov --json", 3),
    Command("run pair dark.jpg bright.jpg -o out.png --ev 4 --no-fuse", 6),
    Command("run pair shots --brackets -o fused", 5),
    Command("run pair shots --brackets --no-align -o fused --json", 3),
    Command("run radiance a.png -o out.exr", 3),
    Command("run radiance a.png -o out.hdr --json", 2),
    Command("run radiance a.png -o out.png --tonemap reinhard", 3),
    Command(f"parity own --images photos {_FAST}", 2),
    Command(f"parity own --reference golden --report page.html --junit page.xml {_FAST}", 2),
    Command(f"parity own --images photos {_FAST} --record --json", 1),
    Command(f"debug own {_FAST} --image a.png -o maps", 3),
    Command(f"debug own {_FAST} --images photos --json", 2),
    Command("inspect own", 6),
    Command("inspect own --json", 4),
    Command("inspect own/net.fp32.onnx", 3),
    Command("inspect own/net.fp32.pte --json", 3),
    Command("inspect own/net.fp32.mlpackage", 2),
    Command("inspect net.pt2", 3),
    Command(f"bench own --runs 1 --threads 1 --size 32,32 {_FAST}", 1),
    Command(f"evaluate own --data data --views 1 --no-baselines {_FAST} -o pictures", 3),
    Command(f"evaluate own --data photos --views 1 --noise 2 --no-baselines {_FAST}", 3),
    Command(f"evaluate radiance --data hdri --views 1 --per-scene {_FAST} --json", 0.5),
    Command("evaluate expandnet-mobile --weights expand.pt --data hdri --views 1", 0.5),
    Command(f"quantize {_NET} --method ptq --variants plain --calib photos -o q.safetensors", 2),
    Command(
        f"quantize {_NET} --data hdri --steps 1 --batch 1 --crop 32 --scenes 1 --calib photos"
        " --run run -o q.safetensors",
        1,
    ),
    Command(
        f"quantize {_NET} --start net.int8.safetensors --data hdri --steps 1 --batch 1 --crop 32"
        " --scenes 1 --calib photos --run other -o q.safetensors",
        1,
    ),
    Command(
        "prune lrl-mobile --weights lrl-mobile.pt --ratio 0.3 --scope uniform -o p.safetensors", 0.2
    ),
    Command("prune lrl --weights lrl.safetensors --unstructured -o pruned.safetensors", 3),
    Command(
        "prune lrl-mobile --weights lrl-mobile.pt --ratio 0.3 --scope uniform --data hdri --steps 1"
        " --batch 1 --crop 32 --scenes 1 --scene-size 64 --run other -o p.safetensors",
        0.2,
    ),
    Command(f"sensitivity {_NET} --images photos --calib photos --ratio 0.3 -o plot.png", 1),
    Command(
        f"tune {_NET} --target onnx --candidates 1 --runs 1 --threads 1 --images photos"
        " --calib photos --cache cache --plot front.png -o tuned.json",
        1,
        ("cache",),
    ),
    Command(
        "train lrl-mobile --data hdri --steps 1 --batch 1 --crop 32 --scenes 1 --scene-size 64"
        " --threads 1 -o trained",
        2,
    ),
    Command(
        "train lrl-mobile --data hdri --steps 2 --batch 1 --crop 32 --scenes 1 --scene-size 64"
        " --start lrl-mobile.pt -o trained --save-every 60",
        1,
    ),
    Command("models", 0.5),
    Command("doctor --json", 0.5),
    Command("--help", 0.5),
    Command("export --help", 0.5),
    Command("--version", 0.3),
)
"""Valid command lines, none of which takes long."""

SOON = (
    "run",
    "inspect",
    "models",
    "parity",
    "doctor",
    "debug",
    "Export",
    "runn",
    "--help",
    "-h",
    "",
)
"""Words in the place of a verb, after which a command ends soon."""
