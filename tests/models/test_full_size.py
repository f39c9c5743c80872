"""Forms in which a small result is applied at full size, and networks that take another."""

from __future__ import annotations

import pytest

from edgeexpo.errors import UsageError
from edgeexpo.models.full_size import FULL_SIZE_FORMS, full_size_stage, with_form
from edgeexpo.models.zoo import get
from edgeexpo.runtime.stages import BACK, ENLARGING


def test_forms_are_stages_that_enlarge() -> None:
    assert {"render", "guided"} <= set(ENLARGING) <= set(BACK)
    assert set(FULL_SIZE_FORMS) == {"render", "guided", "fusion"}


def test_an_interpolating_network_fuses_copies_or_whole_frames() -> None:
    spec = get("lrl").spec
    assert spec.back.kind == "rendered-fusion"
    whole = with_form(spec, "fusion")
    assert whole.back.kind == "exposure-fusion"
    assert with_form(whole, "render") == spec
    with pytest.raises(UsageError, match="unknown form 'guided' of a fusion"):
        with_form(spec, "guided")


@pytest.mark.parametrize("form", ["render", "guided"])
@pytest.mark.parametrize("name", ["exponet", "exponet-lab", "kdfusion", "twophase"])
def test_a_network_takes_another_form_in_its_own_colours(name, form) -> None:
    spec = get(name).spec
    assert spec.back.kind == "render"
    made = with_form(spec, form)
    assert made.back.kind == form
    assert made.back.parameters["color"] == spec.back.parameters["color"]
    assert made.back.parameters["method"] == spec.back.parameters["method"]
    assert with_form(made, "render") == spec


@pytest.mark.parametrize("name", ["expandnet", "kdfusion-baseline"])
def test_networks_without_a_small_result_have_no_form(name) -> None:
    with pytest.raises(UsageError, match="no small result that is applied at full size"):
        with_form(get(name).spec, "render")


def test_an_unknown_form_is_named() -> None:
    with pytest.raises(UsageError, match="unknown form 'fuse'; expected render or guided"):
        full_size_stage("fuse", 2)
