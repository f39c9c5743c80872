from decimal import Decimal, getcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeexpo.errors import PictureError
from edgeexpo.imaging.pu21 import pu21, pu21_psnr


def exact(luminance: float) -> float:
    """Compute the formula of PU21 with 40 digits."""
    getcontext().prec = 40
    p = [
        Decimal(t)
        for t in (
            "0.353487901",
            "0.3734658629",
            "8.277049286e-05",
            "0.9062562627",
            "0.09150303166",
            "0.9099517204",
            "596.3148142",
        )
    ]
    y = (p[3] * Decimal(luminance).ln()).exp()
    base = (p[0] + p[1] * y) / (1 + p[2] * y)
    return float(p[6] * ((p[4] * base.ln()).exp() - p[5]))


@given(st.floats(0.006, 9999))
def test_equals_the_formula_in_many_digits(luminance: float) -> None:
    assert pu21(luminance) == pytest.approx(max(exact(luminance), 0), abs=1e-9)


def test_anchors() -> None:
    # The white of a common display has the code 256 by construction. The encoding starts at 0.
    assert pu21(100.0) == pytest.approx(256, abs=0.5)
    assert pu21(0.005) == pytest.approx(0, abs=0.1)
    assert 590 < pu21(10_000.0) < 600


@given(st.lists(st.floats(0, 20_000), min_size=2, max_size=20))
def test_rises_and_clips(luminances: list[float]) -> None:
    codes = pu21(np.sort(luminances))
    assert (np.diff(codes) >= 0).all()
    assert codes.min() >= 0
    assert codes.max() <= pu21(10_000.0)


def test_psnr() -> None:
    reference = np.random.default_rng(0).uniform(0.1, 900, (20, 30, 3))
    assert pu21_psnr(reference, reference) == 120
    codes = np.array([exact(v) for v in reference.ravel()])
    other = np.array([exact(v * 1.1) for v in reference.ravel()])
    expected = 10 * np.log10(256**2 / np.mean((codes - other) ** 2))
    assert pu21_psnr(reference, reference * 1.1) == pytest.approx(expected)
    with pytest.raises(PictureError, match="20x30x3, the picture 20x30"):
        pu21_psnr(reference, reference[..., 0])
