"""A folder with small files of every kind that commands read: pictures, networks, bundles."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from PIL import Image, ImageCms
from safetensors.torch import save_file

from edgeexpo.imaging.files import write_picture
from edgeexpo.imaging.radiance import write_radiance
from edgeexpo.models import zoo
from edgeexpo.models.foreign import load_factory
from edgeexpo.testing.mutated.commands import MADE
from edgeexpo.testing.mutated.sources import FACTORY, source

Arguments = Sequence[str]

_TIME, _F_NUMBER, _ISO, _DATE, _EXIF = 33434, 33437, 34855, 36867, 0x8769
_HEIGHT, _WIDTH = 40, 48


def make_workplace(folder: Path, run: Callable[[Arguments], int]) -> None:
    """Fill an empty folder, which is the working directory.

    Args:
        folder: The folder.
        run: The command line, which makes bundles, INT8 weights and recipes.

    Raises:
        RuntimeError: A command failed.
    """
    make_files(folder)
    for line in MADE:
        words = line.split()
        if code := run(words):
            raise RuntimeError(f"exit code {code} of: {line}")


def make_files(folder: Path) -> None:
    """Write the files that need no export."""
    _pictures(folder)
    _networks(folder)
    for name, codec in (("clip.mp4", "libx264"), ("clip.mkv", "mpeg4")):
        _video(folder / name, codec)


def scene(seed: int, height: int = _HEIGHT, width: int = _WIDTH) -> np.ndarray:
    """Return smooth linear radiance over three decades, HxWx3 float32."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] / 9.0
    phases = random.uniform(0, 6, (3, 2))
    waves = [np.sin(rows + a) * np.cos(columns * 0.7 + b) for a, b in phases]
    return np.asarray(0.18 * 2.0 ** (3 * np.stack(waves, axis=2)), np.float32)


def codes(radiance: np.ndarray, ev: float = 0.0, top: int = 255) -> np.ndarray:
    """Return the codes of an exposure with gamma 2.2, 0 to ``top``."""
    kind = np.uint8 if top == 255 else np.uint16
    found: np.ndarray = np.rint(np.clip(radiance * 2.0**ev, 0, 1) ** (1 / 2.2) * top).astype(kind)
    return found


def _pictures(folder: Path) -> None:
    Image.fromarray(codes(scene(0))).save(folder / "a.png")
    Image.fromarray(codes(scene(1))[..., 0]).save(folder / "gray.png")
    Image.fromarray(codes(scene(1))).save(folder / "gray.webp")
    Image.fromarray(codes(scene(2))).convert("RGBA").save(folder / "alpha.png")
    wide = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(codes(scene(3))).save(folder / "wide.png", icc_profile=wide)
    for name in ("deep.tif", "deep.png"):
        write_picture(folder / name, codes(scene(4), top=65535), None, None)
    _shot(folder / "shot.jpg", 0, 5, second=0)
    _shot(folder / "dark.jpg", -2, 6, second=1)
    _shot(folder / "bright.jpg", 2, 6, second=2)
    for name, content in (("photos", 2), ("shots", 3), ("data", 2), ("hdri", 1)):
        (folder / name).mkdir()
        for index in range(content):
            path = folder / name
            if name == "photos":
                Image.fromarray(codes(scene(10 + index))).save(path / f"{index}.png")
            elif name == "shots":
                _shot(path / f"{index}.jpg", 2.0 * index - 2, 20, second=index)
            elif name == "hdri":
                write_radiance(path / "map.hdr", scene(30, 32, 64))
                write_radiance(path / "other.exr", scene(31, 32, 64))
            else:
                _bracket(path / f"scene{index}", 40 + index)
    listed = [{"file": f"{i}.png", "ev": ev} for i, ev in enumerate((-2, 0, 2))]
    (folder / "data" / "exposures.json").write_text(json.dumps({"scene0": listed}))


def _bracket(folder: Path, seed: int) -> None:
    folder.mkdir()
    for index, ev in enumerate((-2, 0, 2)):
        Image.fromarray(codes(scene(seed), ev)).save(folder / f"{index}.png")
    Image.fromarray(codes(scene(seed))).save(folder / "reference.png")


def _shot(path: Path, ev: float, seed: int, second: int) -> None:
    data = Image.Exif()
    data.get_ifd(_EXIF).update(
        {
            _TIME: 2.0**ev / 64,
            _F_NUMBER: 4.0,
            _ISO: 100,
            _DATE: f"2026:01:02 03:04:{second:02}",
        }
    )
    Image.fromarray(codes(scene(seed), ev)).save(path, exif=data, quality=95)


def _networks(folder: Path) -> None:
    path = folder / "net.py"
    path.write_text(source(), "utf-8")
    network = load_factory(f"{path}:{FACTORY}")
    state: dict[str, Any] = dict(network.state_dict())
    torch.save(state, folder / "net.pth")
    torch.save({"params": state, "params_ema": state, "step": 3}, folder / "nested.pt")
    save_file(state, folder / "net.safetensors")
    program = torch.export.export(network, (torch.zeros(1, 3, 32, 32),))
    torch.export.save(program, folder / "net.pt2")
    for name, file in (("expandnet-mobile", "expand.pt"), ("lrl-mobile", "lrl-mobile.pt")):
        torch.manual_seed(0)
        torch.save(zoo.get(name).build().state_dict(), folder / file)
    weights = zoo.get("lrl").weights
    assert weights is not None
    (folder / "lrl.safetensors").write_bytes(weights.read_bytes())


def _video(path: Path, codec: str) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = _HEIGHT, _WIDTH, "yuv420p"
        sound = container.add_stream("aac", rate=48000)
        for index in range(4):
            frame = av.VideoFrame.from_ndarray(codes(scene(50), 0.2 * index), format="rgb24")
            picture = frame.reformat(format="yuv420p")
            picture.pts, picture.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        wave = np.sin(np.arange(7680) * 0.05).astype(np.float32)[None]
        tone = av.AudioFrame.from_ndarray(np.repeat(wave, 2, axis=0), "fltp", "stereo")
        tone.sample_rate, tone.pts = 48000, 0
        container.mux(sound.encode(tone))
        container.mux(sound.encode(None))
