"""Modules that make torch or their own code raise: one line with the cause and the way out each."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from torch import nn

from edgeexpo.cli import main
from edgeexpo.errors import ModuleError
from edgeexpo.workflows.networks import open_network

INPUTS = {"x": (1, 3, 32, 32)}

FILE = """
import sys, threading
import numpy, torch
from torch import nn

class Base(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.change = lambda x: torch.clamp(x, 0, 1)

    def body(self, x):
        return self.change(self.conv(x))

    def forward(self, x):
        return self.body(x)

class OddError(Exception): pass
class Fatal(BaseException): pass

class Branch(Base):
    def forward(self, x): return self.body(x) if x.mean() > 0.5 else x
class Loop(Base):
    def forward(self, x):
        for _ in range(int(3 * x.mean())): x = self.body(x)
        return x
class Checked(Base):
    def forward(self, x):
        if torch.isnan(self.body(x)).any(): raise ValueError("nan")
        return self.body(x)
class Asserted(Base):
    def forward(self, x):
        assert x.max() <= 1
        return self.body(x)
class Numpy(Base):
    def forward(self, x): return torch.from_numpy(numpy.clip(self.body(x).numpy(), 0, 1))
class Gpu(Base):
    def forward(self, x): return self.body(x.to("cuda:99"))
class Pair(Base):
    def forward(self, x): return self.body(x), x
class Nothing(Base):
    def forward(self, x): self.body(x)
class Flat(Base):
    def forward(self, x): return self.body(x)[0]
class Complex(Base):
    def forward(self, x): return torch.fft.fft2(self.body(x))
class Sparse(Base):
    def forward(self, x): return self.body(x).to_sparse()
class Star(Base):
    def forward(self, *x): return self.body(x[0])
class Keywords(Base):
    def forward(self, x, **more): return self.body(x)
class ByKeyword(Base):
    def forward(self, x, *, level): return self.body(x) * level
class Two(Base):
    def forward(self, x, level): return self.body(x) * level
class Raises(Base):
    def forward(self, x): raise OddError("first line\\nsecond line")
class Exits(Base):
    def forward(self, x): sys.exit(3)
class Deep(Base):
    def forward(self, x): return self.forward(x)
class Lost(Base):
    def forward(self, x): return self.nowhere(x)
class Dies(Base):
    def forward(self, x): raise Fatal("first line\\nsecond line")
class Halved(Base):
    def forward(self, x): return self.body(x.half()).float()
def halved(): return Halved().half()
class Locked(Base):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()
def meta(): return Base().to("meta")
def factory_raises(): raise OddError("first line\\nsecond line")
def factory_exits(): sys.exit(0)
def factory_needs(width): return Base()
"""
"""A user's file with modules and factories that go wrong."""


@pytest.fixture(scope="module")
def user_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("user") / "odd.py"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("Branch", ["depends on the values", "odd.py:23", "torch.where"]),
        ("Loop", ["depends on the values", "odd.py:26", "torch.where"]),
        ("Checked", ["depends on the values", "odd.py:30", "torch.where"]),
        ("Asserted", ["depends on the values", "odd.py:34", "torch.where"]),
        ("Numpy", [".numpy()", "odd.py:37", "expected a forward of torch operations"]),
        ("Gpu", ["CUDA", "odd.py:39", "on the device of its input"]),
        ("Pair", ["returns 0 (1x3x32x32), 1 (1x3x32x32)", "--output-name"]),
        ("Nothing", ["returned a NoneType", "wrap the module"]),
        ("Flat", ["returned shape (3, 32, 32)", "wrap the module"]),
        ("Complex", ["returned a complex tensor", "real part"]),
        ("Sparse", ["returned a sparse tensor", "dense form"]),
        ("Star", ["forward takes *x", "wrap the module"]),
        ("Keywords", ["forward takes **more", "wrap the module"]),
        ("ByKeyword", ["level by keyword alone", "wrap the module"]),
        ("Two", ["forward takes 2 input(s) (x, level), found 1", "--input"]),
        ("Raises", ["OddError: first line at odd.py:"]),
        ("Exits", ["SystemExit: 3 at odd.py:"]),
        ("Deep", ["RecursionError", "odd.py:"]),
        ("Lost", ["AttributeError: 'Lost' object has no attribute 'nowhere' at odd.py:"]),
        ("Dies", ["Fatal: first line in odd.py:", "attach it to a report"]),
        ("halved", ["Half", "odd.py:", "NCHW float32 pictures"]),
        ("Locked", ["cannot be copied", "'_thread.lock'", "leave out locks"]),
        ("meta", ["'conv.weight' has no values", "expected a module with weights on the CPU"]),
        ("factory_raises", ["OddError: first line at odd.py:", "a factory without arguments"]),
        ("factory_exits", ["SystemExit: 0 at odd.py:"]),
        ("factory_needs", ["missing 1 required positional argument", "without arguments"]),
    ],
)
def test_a_module_that_cannot_be_exported_is_one_line(
    user_file, tmp_path, capfd, monkeypatch, factory, words
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    command = ["export", f"{user_file}:{factory}", "--input", "x=1x3x32x32", "--target", "onnx"]
    code = main([*command, "--precision", "fp32", "-o", str(tmp_path / "bundle")])
    assert code == (1 if factory == "Dies" else 2)
    out, err = capfd.readouterr()
    lines = [line for line in err.splitlines() if "symbolic_shapes.py" not in line]  # torch's log
    assert out == ""
    assert len(lines) == 1
    assert all(text in lines[0] for text in words), lines[0]
    assert "second line" not in lines[0]
    assert not (tmp_path / "bundle").exists()


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.clamp(self.conv(x), 0, 1)


class Keeping(Plain):
    """A module that keeps a result of its weights, as the hooks of weight normalisation do."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = self.conv.weight.mean() * 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * self.kept


def normalised() -> nn.Module:
    module = Plain()
    module.conv = nn.utils.weight_norm(module.conv)
    module.unused = nn.utils.weight_norm(nn.Conv2d(3, 3, 1))
    return module


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    ("make", "tolerance"),
    [
        (lambda: nn.DataParallel(Plain()), 1e-6),
        (lambda: torch.compile(Plain()), 1e-6),
        (lambda: torch.compile(nn.DataParallel(Plain())), 1e-6),
        (lambda: torch.jit.script(Plain().eval()), 1e-6),
        (Keeping, 1e-6),
        (normalised, 1e-6),
        (lambda: Plain().half(), 1e-3),
        (lambda: Plain().double(), 1e-6),
    ],
)
def test_a_module_in_an_unusual_form_is_captured(make, tolerance):
    module = make()
    program = open_network(module, inputs=INPUTS).capture()
    picture = torch.from_numpy(np.random.default_rng(0).random((1, 3, 20, 28), np.float32))
    plain = normalised() if make is normalised else Keeping() if make is Keeping else Plain()
    with torch.no_grad():
        found = program.exported.module()(picture)
        expected = plain.eval()(picture)
    assert found.dtype == torch.float32
    assert (found - expected).abs().max() <= tolerance


def test_a_user_module_keeps_its_tensors_and_its_type():
    module = Keeping().half()
    before = module.kept
    open_network(module, inputs=INPUTS)
    assert module.kept is before
    assert module.kept.grad_fn is not None
    assert module.conv.weight.dtype == torch.float16


def test_a_module_with_a_lock_is_refused_in_memory_as_well():
    module = Plain()
    module.lock = threading.Lock()
    with pytest.raises(ModuleError, match="leave out locks"):
        open_network(module, inputs=INPUTS)
