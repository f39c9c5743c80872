"""Sources of networks that cannot be used, or that do more than a network should."""

from __future__ import annotations

from pathlib import Path

from edgeexpo.testing.mutated.damage import DAMAGES, Random, damaged, pick

FACTORY = "make"
"""Name of the function of every source that makes the network."""

_HEAD = """\
import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 3, 3, padding=1)
        self.register_buffer("seen", torch.zeros(()))
"""


PLAIN = "return torch.clamp(x + 0.1 * self.second(torch.relu(self.first(x))), 0, 1)"
"""Body of the forward of the plain network."""

FORWARDS = {
    "plain": PLAIN,
    "a mapping": f'y = self.first(x)\n{PLAIN.replace("return", "z =")}\nreturn {{"y": y, "z": z}}',
    "several outputs": "y = self.first(x)\nreturn y, torch.sigmoid(self.second(y)), None",
    "nested outputs": "return [[self.second(self.first(x))], {'a': (x,)}]",
    "nothing": "self.first(x)",
    "a number": "return float(self.first(x).mean())",
    "an array": "return self.second(self.first(x)).detach().numpy()",
    "a vector": "return self.first(x).mean(dim=(1, 2, 3))",
    "an empty picture": "return x[:, :, :0]",
    "five axes": "return self.second(self.first(x))[None]",
    "thirty channels": "return torch.cat([x] * 10, 1)",
    "the input": "return x",
    "a constant": "return torch.zeros_like(x)",
    "not a number": "return x / 0 * 0",
    "huge values": "return self.second(self.first(x)) * 1e30",
    "whole numbers": "return (x * 255).to(torch.uint8)",
    "booleans": "return x > 0.5",
    "complex numbers": "return torch.fft.fft2(x)",
    "double precision": "return x.double() * 0.5",
    "a branch on values": f"if x.mean() > 0.5:\n    return x\n{PLAIN}",
    "a branch on sizes": f"if x.shape[-1] != 32:\n    raise ValueError('32 only')\n{PLAIN}",
    "a loop on values": "while x.max() > 0.1:\n    x = x / 2\nreturn x",
    "a failure": "raise RuntimeError('no\\nforward')",
    "an exit": "raise SystemExit(3)",
    "an interrupt by a library": "raise KeyboardInterrupt",
    "a failure without words": "raise Exception",
    "an assertion": "assert x.shape[1] == 4\nreturn x",
    "a recursion": "return self.forward(x)",
    "a division by zero": "return x / (1 // 0)",
    "a missing name": "return self.third(x)",
    "another device": "return self.first(x.cuda())",
    "numpy": "import numpy as np\nreturn torch.from_numpy(np.sqrt(x.numpy()))",
    "values as numbers": "return x * x.mean().item()",
    "a selection by values": "return x[x > 0.5]",
    "random values": "return x + torch.rand_like(x)",
    "a changed buffer": f"self.seen += 1\n{PLAIN}",
    "a changed input": "x.mul_(0.5)\nreturn x",
    "a changed weight": f"self.first.weight.data.mul_(0.5)\n{PLAIN}",
    "a print": f"print('forward', x.shape)\n{PLAIN}",
    "a memory bomb": "return x.repeat(1, 1, 20000, 20000)",
    "a batch": "return torch.cat([x, x])",
    "a smaller picture": "return F.avg_pool2d(x, 2)",
    "a larger picture": "return F.interpolate(x, scale_factor=3)",
    "odd sizes": "return F.avg_pool2d(F.pad(x, (1, 0, 0, 0)), 2)",
    "a lambda": "self.act = lambda y: y * 0.5\nreturn self.act(x)",
    "a sort": "return x.flatten(2).sort(-1)[0].view(x.shape)",
    "strings": "return 'picture'",
    "a generator": "yield x",
    "a warning": f"import warnings\nwarnings.warn('careful')\n{PLAIN}",
    "a file": f"open('written_by_forward.txt', 'w').close()\n{PLAIN}",
    "a thread": "import threading\nself.lock = threading.Lock()\nreturn x * 0.5",
    "a gradient": "y = x.clone().requires_grad_()\nreturn torch.autograd.grad(y.sum(), y)[0]",
    "a custom function": "return torch.linalg.svd(x)[0]",
    "a long division": "return torch.trunc(x) + torch.special.bessel_j0(x)",
}
"""Bodies of forward, by what they do or give."""

SIGNATURES = {
    "arguments": "self, *args",
    "keywords": "self, **kwargs",
    "keyword alone": "self, *, x",
    "no input": "self",
    "two inputs": "self, x, y",
    "a flag": "self, x, flag",
    "a default": "self, x, flag=True",
    "an annotated list": "self, x: list[torch.Tensor]",
}
"""Parameters of forward, by what they are."""

FACTORIES = {
    "nothing": "return None",
    "a class": "return Net",
    "a function": "return lambda x: x",
    "a failure": "raise ValueError('no network\\nhere')",
    "a failure without words": "raise Exception",
    "an exit": "raise SystemExit('bye')",
    "an exit with success": "import sys\nsys.exit(0)",
    "an assertion": "assert False",
    "a missing file": "open('missing.json')",
    "a missing package": "import no_such_package",
    "prints": "print('hello')\nimport sys\nprint('there', file=sys.stderr)\nreturn Net()",
    "training mode": "return Net().train()",
    "half precision": "return Net().half()",
    "double precision": "return Net().double()",
    "no values": "return Net().to('meta')",
    "a compiled network": "return torch.compile(Net())",
    "a scripted network": "return torch.jit.script(Net())",
    "a traced network": "return torch.jit.trace(Net(), torch.zeros(1, 3, 32, 32))",
    "parallel data": "return nn.DataParallel(Net())",
    "an empty chain": "return nn.Sequential()",
    "the identity": "return nn.Identity()",
    "a bare module": "return nn.Module()",
    "a list of modules": "return nn.ModuleList([Net()])",
    "not a number": "n = Net()\nn.first.weight.data.fill_(float('nan'))\nreturn n",
    "zeros": "n = Net()\nn.second.weight.data.zero_()\nn.second.bias.data.zero_()\nreturn n",
    "huge weights": "n = Net()\nn.first.weight.data.mul_(1e20)\nreturn n",
    "a hook that fails": "n = Net()\nn.register_forward_hook(lambda *a: 1 / 0)\nreturn n",
    "a lock": "import threading\nn = Net()\nn.lock = threading.Lock()\nreturn n",
    "a lambda": "n = Net()\nn.act = lambda x: x\nreturn n",
    "a network without weights": "return nn.Tanh()",
    "lazy layers": "return nn.Sequential(nn.LazyConv2d(3, 1))",
    "a frozen network": "return Net().requires_grad_(False)",
    "a shared layer": "n = Net()\nn.third = n.first\nreturn n",
    "spectral norm": "n = Net()\nnn.utils.parametrizations.spectral_norm(n.first)\nreturn n",
}
"""Bodies of the factory, by what they do or give."""

FILES = {
    "a syntax error": "def make(:\n    pass\n",
    "a wrong indentation": "def make():\n  x = 1\n   return x\n",
    "a tab": "def make():\n\tif 1:\n        return 2\n",
    "no factory": "def made():\n    return None\n",
    "a factory that is no function": "make = 3\n",
    "a factory with arguments": "def make(channels):\n    return channels\n",
    "an async factory": "async def make():\n    return None\n",
    "a generator": "def make():\n    yield 1\n",
    "a failing import": "import no_such_package\n",
    "a relative import": "from . import other\n",
    "an import of itself": "import net\nmake = net.make\n",
    "an exit": "raise SystemExit(0)\n",
    "an interrupt": "raise KeyboardInterrupt\n",
    "another encoding": "# -*- coding: utf-7 -*-\nmake = None\n",
    "an unknown encoding": "# -*- coding: no-such -*-\nmake = None\n",
    "a null": "make = '\0'\n",
    "a recursion": "def make():\n    return make()\n",
    "deep brackets": "make = " + "(" * 3000 + ")" * 3000 + "\n",
    "an exception group": "raise ExceptionGroup('two', [ValueError('a'), TypeError('b')])\n",
    "a base exception": "class Odd(BaseException):\n    pass\nraise Odd('odd')\n",
    "an exception that cannot be shown": "class Odd(Exception):\n    def __str__(self):\n"
    "        raise ValueError\nraise Odd\n",
    "a long message": "raise ValueError('long ' * 5000)\n",
    "lines": "raise ValueError('one\\n\\x1b[31mtwo\\r\\nthree\\u2028four')\n",
}
"""Whole files, by what they are."""


def source(
    forward: str = PLAIN, parameters: str = "self, x", factory: str = "return Net().eval()"
) -> str:
    """Return the file of a network with this forward and this factory."""
    body = _indented(forward, 8)
    return (
        f"{_HEAD}\n    def forward({parameters}):\n{body}\n\n\n"
        f"def {FACTORY}():\n{_indented(factory, 4)}\n"
    )


def _indented(lines: str, spaces: int) -> str:
    return "\n".join(" " * spaces + line for line in lines.splitlines())


def mutate_source(path: Path, random: Random) -> str:
    """Replace or damage a network's source, and return the change in words."""
    act = random.random()
    if act < 0.45:
        kind = pick(random, list(FORWARDS))
        text, words = source(FORWARDS[kind]), f"forward: {kind}"
    elif act < 0.7:
        kind = pick(random, list(FACTORIES))
        text, words = source(factory=FACTORIES[kind]), f"factory: {kind}"
    elif act < 0.8:
        kind = pick(random, list(SIGNATURES))
        text, words = source(parameters=SIGNATURES[kind]), f"parameters: {kind}"
    elif act < 0.93:
        kind = pick(random, list(FILES))
        text, words = FILES[kind], f"file: {kind}"
    else:
        damage = pick(random, DAMAGES)
        path.write_bytes(damaged(path.read_bytes(), damage, random))
        return f"bytes: {damage.__name__}"
    path.write_text(text, "utf-8")
    return words
