"""Facts that another machine tells about itself. NumPy and engines may be missing there."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from edgeexpo.engine_versions import installed_version
from edgeexpo.host import host
from edgeexpo.targets import runners


def facts(folder: Path) -> dict[str, Any]:
    """Return what decides whether and how engines run on this machine.

    Args:
        folder: The cache folder of :mod:`edgeexpo.remote`.

    Returns:
        The keys of :func:`edgeexpo.host.host`, and ``name``, ``system``, ``machine``, ``clock``
        (seconds since 1970), ``free_bytes`` of the disk, ``numpy`` and ``packages``. The last two
        are installed versions. ``packages`` has them by the package of every engine.
    """
    packages = dict.fromkeys(r.versions.package for r in runners() if r.versions.package)
    return {
        **host(),
        "name": platform.node(),
        "system": sys.platform,
        "machine": platform.machine(),
        "executable": sys.executable,
        "pid": os.getpid(),
        "clock": time.time(),
        "free_bytes": shutil.disk_usage(folder).free,
        "numpy": installed_version("numpy"),
        "packages": {name: installed_version(name) for name in packages},
    }
