"""Whatever a reader raises becomes one line of the wanted class; typed errors pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeexpo.errors import PictureError, WeightsError
from edgeexpo.failures import reading

PATH = Path("net.pth")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyError("storages"), "KeyError: 'storages'"),
        (AttributeError(), "AttributeError"),
        (ValueError("two\nlines"), "ValueError: two"),
        (MemoryError(), "MemoryError"),
        (FileNotFoundError(2, "No such file or directory", "net.pth"), "No such file or directory"),
        (OSError(), "OSError"),
    ],
)
def test_an_exception_becomes_one_line_about_the_file(error, reason):
    with pytest.raises(WeightsError) as found, reading(PATH, WeightsError, "is torn", "copy it"):
        raise error
    assert str(found.value) == f"net.pth is torn ({reason}); copy it"
    assert found.value.__cause__ is error


def test_typed_errors_and_interruptions_pass():
    for error in (PictureError("dark"), KeyboardInterrupt()):
        with pytest.raises(type(error)), reading(PATH, WeightsError, "is torn", "copy it"):
            raise error
