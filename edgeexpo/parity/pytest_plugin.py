"""The old name of :mod:`edgeexpo.testing.pytest_plugin`, for projects that load it by name."""

from __future__ import annotations

import importlib
import sys

sys.modules[__name__] = importlib.import_module("edgeexpo.testing.pytest_plugin")
