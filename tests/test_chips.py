"""Chips are those that another table of Qualcomm's numbers has, and unknown names are refused."""

from __future__ import annotations

import pytest
from executorch.backends.qualcomm.serialization import qc_schema

from edgeexpo.chips import CHIPS, DEFAULT_CHIP, chip_named
from edgeexpo.errors import UsageError


def test_the_numbers_are_those_of_executorch():
    theirs = {
        chip.name.lower(): (int(info.soc_model), int(info.htp_info.htp_arch))
        for chip, info in qc_schema._soc_info_table.items()
    }
    assert {name: (c.soc_model, c.htp_arch) for name, c in CHIPS.items()} == theirs


def test_a_name_in_upper_case_and_no_name_are_taken():
    assert chip_named("SM8650").soc_model == 57
    assert chip_named(None).name == DEFAULT_CHIP


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="unknown chip 'sm8560'; the nearest names are sm8") as e:
        chip_named("sm8560")
    assert "sm8650" in str(e.value)
