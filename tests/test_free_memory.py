"""Free memory is what the kernel tells, within the limit of the container."""

from __future__ import annotations

import sys

import pytest

from edgeexpo import free_memory
from edgeexpo.free_memory import free_memory as free


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_linux_tells_less_than_the_machine_has():
    import os

    found = free()
    assert found is not None
    assert 0 < found <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"memory.max": "1000\n", "memory.current": "400\n"}, 600),
        ({"memory.max": "1000\n", "memory.current": "1400\n"}, 0),
        ({"memory.max": "max\n", "memory.current": "400\n"}, None),
        ({"memory.limit_in_bytes": "900\n", "memory.usage_in_bytes": "100\n"}, 800),
        ({}, None),
    ],
)
def test_a_container_has_its_own_limit(tmp_path, monkeypatch, files, expected):
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    monkeypatch.setattr(free_memory, "_CGROUP", tmp_path)
    monkeypatch.setattr(free_memory, "_of_linux", lambda: None)
    assert free_memory._of_container() == expected
    if expected is not None:
        assert free() == expected
