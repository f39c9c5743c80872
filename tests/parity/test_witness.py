"""Comparison with a witness: what agrees, and what is refused before any work."""

from __future__ import annotations

import pytest

from edgeexpo import targets
from edgeexpo.bundle.bundle import Bundle
from edgeexpo.errors import UsageError
from edgeexpo.parity.witness import Comparison, agree, compare_with_witness
from tests.support.tiny_bundle import write_bundle


@pytest.mark.parametrize(
    ("precision", "max_abs", "psnr", "expected"),
    [
        ("fp32", 9e-5, 90.0, True),
        ("fp32", 2e-4, 90.0, False),
        ("fp16", 2e-2, 55.0, True),
        ("fp16", 2e-5, 54.9, False),
    ],
)
def test_each_precision_has_a_bound_of_its_own(precision, max_abs, psnr, expected):
    assert agree(precision, max_abs, psnr) is expected


@pytest.mark.parametrize(("agrees", "word"), [(True, " agree: "), (False, " DIFFER: ")])
def test_a_line_says_that_it_is_another_conversion_of_the_same_program(agrees, word):
    found = Comparison("a.x", "0", "e", "w", "1", "fp32", "p", 1e-6, 99.0, 7, agrees)
    assert "w's conversion of the same captured program" in found.line
    assert word in found.line


def test_witnesses_are_targets_that_stand_beside_others():
    for witness in targets.witness_names():
        assert witness in targets.target_names()
        assert witness not in targets.witnessed_targets(witness)
        assert targets.witnessed_targets(witness)


def test_a_bundle_without_a_witnessed_artefact_is_refused(tmp_path):
    bundle = Bundle.open(write_bundle(tmp_path / "bundle"))
    with pytest.raises(UsageError, match="nothing for the witness coreai"):
        compare_with_witness(bundle, "coreai")
