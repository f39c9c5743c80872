"""What the HTP of a chip takes of an ONNX file, as ``inspect`` shows it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from edgeexpo.errors import EngineError, MissingDependencyError, UsageError
from edgeexpo.runtime.engines.qnn import chip_of, htp_assignment


def htp_graph(path: Path) -> dict[str, Any]:
    """Return ``chip`` and ``assignment``: the operators on the HTP and those it does not take.

    ONNX Runtime is asked, as it would assign them on a device. The counts are of its own graph,
    in which some operators are already fused. If it cannot be asked, ``assignment`` holds
    ``error``.

    Args:
        path: A ``.qnn.onnx`` file.
    """
    model = path.read_bytes()
    try:
        chip = chip_of(model)
        found = htp_assignment(model, chip)
    except (EngineError, MissingDependencyError, UsageError) as error:
        return {"assignment": {"error": str(error)}}
    return {
        "chip": str(chip),
        "assignment": {
            "htp": dict(Counter(found.htp.values()).most_common()),
            "elsewhere": dict(Counter(found.elsewhere.values()).most_common()),
        },
    }
