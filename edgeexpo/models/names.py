"""What a user's text for a network means: a name of the zoo, a file with a factory, or a program.

Nothing here imports torch, so that a wrong name is refused at once.
"""

from __future__ import annotations

from pathlib import Path

from edgeexpo.errors import ModuleError
from edgeexpo.models.zoo import preset_of

PROGRAM_SUFFIX = ".pt2"
"""Suffix of the files of ``torch.export.save``."""


def is_foreign(model: str) -> bool:
    """Return True for ``file.py:factory`` and ``net.pt2``, and False for a name of the zoo."""
    return ".py" in model or is_program(model)


def is_program(model: str) -> bool:
    """Return true for the file of a saved program."""
    return model.endswith(PROGRAM_SUFFIX)


def file_stem(model: str) -> str:
    """Return the name of the file of ``path/to/net.py:factory`` or ``path/to/net.pt2``: ``net``."""
    return Path(model if is_program(model) else model.rpartition(":")[0]).stem


def check_name(model: str) -> None:
    """Refuse a text that names no network.

    Raises:
        UsageError: The zoo has no such network.
        ModuleError: The file is missing, or the factory's name is.
    """
    if is_program(model):
        program_file(model)
    elif is_foreign(model):
        factory_file(model)
    else:
        preset_of(model)


def program_file(model: str) -> Path:
    """Return the file of a saved program.

    Raises:
        ModuleError: There is no such file.
    """
    if not Path(model).is_file():
        raise ModuleError(f"no file at {model}; expected a program of torch.export.save")
    return Path(model)


def factory_file(model: str) -> tuple[Path, str]:
    """Return the file and the factory's name of ``path/to/net.py:factory``.

    Raises:
        ModuleError: One of them is not given, or there is no such file.
    """
    name, _, factory = model.rpartition(":")
    if not name or not factory:
        raise ModuleError(f"model is {model!r}; expected path/to/net.py:factory")
    if not Path(name).is_file():
        raise ModuleError(f"no file at {Path(name)}; expected path/to/net.py:factory")
    return Path(name), factory
