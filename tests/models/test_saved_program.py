"""Programs that ``torch.export.save`` wrote elsewhere, as networks."""

from __future__ import annotations

import json
import zipfile

import pytest
import torch
from torch import nn
from torch.export import Dim

from edgeexpo.errors import ModuleError, UsageError
from edgeexpo.models.names import file_stem, is_foreign
from edgeexpo.models.saved_program import Side, default_shapes, open_program
from edgeexpo.workflows.networks import open_network


class Net(nn.Module):
    """A convolution on a photo, with a buffer and a batch normalisation."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.last = nn.Conv2d(4, 3, 1)
        self.register_buffer("gain", torch.tensor(0.3))

    def forward(self, photo: torch.Tensor) -> torch.Tensor:
        return (photo + self.gain * self.last(self.inner(photo))).clamp(0, 1)


class Wrapped(nn.Module):
    """A network that takes or gives something else than one picture each."""

    def __init__(self, call) -> None:
        super().__init__()
        self.net, self.call = Net(), call

    def forward(self, *given, **named):
        return self.call(self.net, *given, **named)


PHOTO = torch.rand(1, 3, 48, 64)
H, W = Dim("h", min=4, max=300), Dim("w", min=4, max=300)


def saved(folder, module=None, given=(PHOTO,), **axes):
    path = folder / "net.pt2"
    shapes = ({int(k[1:]): v for k, v in axes.items()},) if axes else None
    program = torch.export.export((module or Net()).eval(), given, dynamic_shapes=shapes)
    torch.export.save(program, path)
    return path


def test_a_program_gives_what_its_network_gave(tmp_path):
    module, (only,) = open_program(saved(tmp_path, _2=Dim.DYNAMIC, _3=Dim.DYNAMIC))
    assert (only.name, only.channels) == ("photo", 3)
    picture = torch.rand(1, 3, 37, 50)
    with torch.no_grad():
        torch.testing.assert_close(module(picture), Net().eval()(picture))
    assert not module.training
    assert "inner.0.weight" in module.state_dict()


@pytest.mark.parametrize(
    ("axes", "shape", "takes", "refuses"),
    [
        ({}, (48, 64), (48, 64), (64, 48)),
        ({"_2": Dim.DYNAMIC, "_3": Dim.DYNAMIC}, (512, 512), (17, 33), None),
        ({"_2": 4 * H, "_3": 4 * W}, (512, 512), (36, 64), (36, 62)),
        ({"_2": 4 * Dim("h", max=50), "_3": 4 * W}, (200, 512), (36, 64), (37, 64)),
        ({"_3": Dim("w", min=40, max=90)}, (48, 90), (48, 41), (48, 39)),
        ({"_0": Dim.DYNAMIC, "_2": Dim.DYNAMIC}, (512, 64), (31, 64), (31, 63)),
    ],
)
def test_sizes_are_those_of_the_program(axes, shape, takes, refuses, tmp_path):
    given = PHOTO.expand(2, -1, -1, -1) if "_0" in axes else PHOTO
    module, inputs = open_program(saved(tmp_path, given=(given,), **axes))
    assert default_shapes(inputs) == [("photo", (1, 3, *shape))]
    assert module(torch.rand(1, 3, *takes)).shape == (1, 3, *takes)
    if refuses is not None:
        with pytest.raises(ModuleError, match="the saved program takes sides of"):
            module(torch.rand(1, 3, *refuses))


def test_square_programs_take_squares(tmp_path):
    side = Dim("side", min=8, max=300)
    path = saved(tmp_path, given=(torch.rand(1, 3, 48, 48),), _2=side, _3=side)
    module, _ = open_program(path)
    assert module(torch.rand(1, 3, 30, 30)).shape == (1, 3, 30, 30)
    with pytest.raises(ModuleError, match="equal heights and widths only"):
        module(torch.rand(1, 3, 30, 32))


def test_lists_and_names_become_inputs_in_order(tmp_path):
    module = Wrapped(lambda net, frames, last: {"out": net((frames[0] + frames[1] + last) / 3)})
    program = torch.export.export(module.eval(), ([PHOTO, PHOTO / 2],), {"last": PHOTO / 4})
    torch.export.save(program, tmp_path / "net.pt2")
    opened, inputs = open_program(tmp_path / "net.pt2")
    assert len({i.name for i in inputs}) == 3
    with torch.no_grad():
        found = opened(PHOTO, PHOTO / 2, PHOTO / 4)
        torch.testing.assert_close(found, Net().eval()(PHOTO * 1.75 / 3))


def test_a_number_is_part_of_the_program(tmp_path):
    path = saved(tmp_path, Wrapped(lambda net, x, n: net(x / n)), (PHOTO, 2))
    module, inputs = open_program(path)
    with torch.no_grad():
        torch.testing.assert_close(module(PHOTO), Net().eval()(PHOTO / 2))
    assert len(inputs) == 1


def test_a_network_is_opened_with_the_sizes_of_its_program(tmp_path):
    path = str(saved(tmp_path, _2=4 * H, _3=4 * W))
    network = open_network(path)
    assert (network.size, network.spec.name, network.spec.multiple) == ((512, 512), "net", 4)
    assert network.capture().dynamic
    assert open_network(path, inputs="photo=1x3x64x96").size == (64, 96)
    with pytest.raises(UsageError, match=r"side of 62; .* takes 16 and up to 1200, in multiples"):
        open_network(path, inputs="photo=1x3x62x64")
    with pytest.raises(UsageError, match=r"has its own weights; leave out `weights`"):
        open_network(path, weights="net.pth")
    with pytest.raises(UsageError, match="`size` is for models of the zoo"):
        open_network(path, (64, 64))


def test_a_program_of_one_size_is_exported_at_it(tmp_path):
    network = open_network(str(saved(tmp_path)))
    program = network.capture()
    assert (network.size, program.dynamic) == ((48, 64), False)


@pytest.mark.parametrize(
    ("module", "given", "message"),
    [
        (None, (PHOTO.expand(2, -1, -1, -1),), "has a batch of 2; expected 1"),
        (
            Wrapped(lambda net, x, t: net(x * t)),
            (PHOTO, torch.ones(1)),
            "input 'given_1' of .* is 1 float32; expected pictures, NCHW",
        ),
        (
            Wrapped(lambda net, x: net(x.float())),
            (PHOTO.half(),),
            "is 1x3x48x64 float16; expected float32",
        ),
        (Wrapped(lambda net, x: (net(x), x)), (PHOTO,), "gives 2 results; expected one picture"),
    ],
)
def test_a_program_of_something_else_is_refused(module, given, message, tmp_path):
    with pytest.raises(ModuleError, match=message):
        open_program(saved(tmp_path, module, given))


def test_files_that_are_no_programs_are_one_line(tmp_path):
    path = tmp_path / "net.pt2"
    with pytest.raises(ModuleError, match="no file at"):
        open_program(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ModuleError, match=r"is not a program \(it is no zip archive\)"):
        open_program(path)
    torch.save(Net().state_dict(), path)
    with pytest.raises(ModuleError, match="is not a program") as raised:
        open_program(path)
    assert len(str(raised.value).splitlines()) == 1


def test_a_program_of_another_torch_names_both_versions(tmp_path):
    path, other = saved(tmp_path), tmp_path / "other.pt2"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("models/model.json"):
                document = json.loads(content)
                document["schema_version"]["major"] += 1
                document["torch_version"] = "9.1.0"
                content = json.dumps(document).encode()
            new.writestr(name, content)
    with pytest.raises(ModuleError, match=r"was saved by torch 9.1.0 \(schema .*cannot read it"):
        open_program(other)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: {**d, "graph_module": None},
        lambda d: {**d, "schema_version": 3},
        lambda d: [d],
        lambda d: None,
    ],
)
def test_a_damaged_program_of_this_torch_is_called_so(tmp_path, change):
    path = saved(tmp_path)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    name = next(n for n in members if n.endswith("models/model.json"))
    members[name] = json.dumps(change(json.loads(members[name]))).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    with pytest.raises(ModuleError, match=r"is (a damaged|not a) program "):
        open_program(path)


def test_names_of_files():
    assert is_foreign("nets/my.net.pt2")
    assert file_stem("nets/my.net.pt2") == "my.net"
    assert file_stem("nets/net.py:factory") == "net"
    assert not is_foreign("lrl")


@pytest.mark.parametrize(
    ("side", "default"),
    [
        (Side(48, 48), 48),
        (Side(2, None, symbol="s"), 512),
        (Side(6, 900, 6, "s"), 510),
        (Side(600, 900, symbol="s"), 600),
    ],
)
def test_the_default_side_is_the_largest_up_to_512(side, default):
    assert side.default == default
    assert side.takes(default)
