"""The HTP emulator for tests, which skip with the reason where it cannot be had."""

from __future__ import annotations

import pytest

from edgeexpo.chips import chip_named
from edgeexpo.errors import MissingDependencyError
from edgeexpo.runtime.engines.qnn import htp_options


def need_htp() -> None:
    """Skip the test where onnxruntime-qnn is not installed or does not load."""
    try:
        htp_options(chip_named(None), {})
    except MissingDependencyError as error:
        pytest.skip(str(error))
