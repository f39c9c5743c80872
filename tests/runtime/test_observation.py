import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeexpo.runtime import Summary
from edgeexpo.runtime.observation import COUNT, DROPPED, DURATION


@given(st.lists(st.floats(1e-4, 50), min_size=1, max_size=60), st.floats(0.01, 1))
def test_percentiles_are_numpys_within_a_bucket(values, share):
    summary = Summary()
    for value in values:
        summary(DURATION, value, {"stage": "total"})
    expected = np.quantile(values, share, method="inverted_cdf")
    assert expected * 0.9999 <= summary.percentile(share) <= expected * 1.06


def test_totals_are_by_reason_and_nothing_is_nothing():
    summary = Summary()
    for reason in ("oldest", "oldest", "deadline"):
        summary(DROPPED, 1, {"reason": reason})
    summary(COUNT, 1, {})
    assert summary.total(DROPPED, "oldest") == 2
    assert summary.total(DROPPED, "deadline") == 1
    assert summary.total(COUNT) == 1
    assert summary.percentile(0.5) is None


def test_what_takes_for_ever_is_infinite():
    summary = Summary()
    summary(DURATION, 1e6, {"stage": "back"})
    assert summary.percentile(0.5, "back") == pytest.approx(float("inf"))
