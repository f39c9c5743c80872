"""The processor's name and features, as ``/proc/cpuinfo`` tells them."""

from __future__ import annotations

import pytest

from edgeexpo import processor

X86 = """processor : 0
model name\t: Some Xeon
flags\t\t: fpu avx2 avx512_vnni amx_int8 avx2_not_this

processor : 1
model name\t: Some Xeon
flags\t\t: fpu avx2 avx512_vnni amx_int8
"""
ARM = """processor : 0
Features : fp asimd asimddp i8mm
"""


@pytest.mark.parametrize(
    ("text", "features"),
    [(X86, ("avx2", "avx512_vnni", "amx_int8")), (ARM, ("asimddp", "i8mm")), ("", ())],
)
def test_features_are_those_that_engines_have_kernels_for(monkeypatch, text, features):
    monkeypatch.setattr(processor, "_text", lambda: text)
    assert processor.cpu_features() == features


def test_the_name_is_the_models(monkeypatch):
    monkeypatch.setattr(processor, "_text", lambda: X86)
    assert processor.processor_name() == "Some Xeon"


def test_a_host_without_cpuinfo_has_a_name(monkeypatch):
    monkeypatch.setattr(processor, "_text", lambda: "")
    assert processor.processor_name()
