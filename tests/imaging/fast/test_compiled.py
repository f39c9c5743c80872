"""How kernels are compiled."""

from __future__ import annotations

import numba

from edgeexpo.imaging import fast


def test_without_a_folder_to_write_to_kernels_are_compiled_anew(monkeypatch) -> None:
    njit = numba.njit

    def homeless(**options):
        if options.pop("cache", False):
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(fast.numba, "njit", homeless)
    assert fast.compiled(lambda x: x + 1)(2) == 3
