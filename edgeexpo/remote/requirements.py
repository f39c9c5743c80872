"""Packages that another machine needs, in the versions that edgeexpo is tested with."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Sequence

from edgeexpo.errors import HostError
from edgeexpo.remote.host import ANSWER_LIMIT, RemoteHost
from edgeexpo.remote.installing import LIMIT
from edgeexpo.remote.transport import SshTransport
from edgeexpo.targets import Runner


def install_there(host: RemoteHost, runners: Sequence[Runner]) -> str:
    """Install NumPy and engines on another machine, and return the Python that has them.

    They are installed into the Python that the machine's address names. Without one, edgeexpo
    makes an environment of its own in its cache folder there, which later connections use.

    Args:
        host: The machine.
        runners: The engines.

    Raises:
        HostError: The machine cannot be reached, its clock is too wrong for certificates, or pip
            refuses.
    """
    ahead = host.facts["clock_ahead_s"]
    if abs(ahead) > 86400:
        raise HostError(
            f"the clock of {host.name} is {abs(ahead) / 86400:.0f} days "
            f"{'ahead' if ahead > 0 else 'behind'}; an installation there would refuse "
            "certificates: set it first"
        )
    packages = [requirement(name) for name in ("numpy", *(r.versions.package for r in runners))]
    named = isinstance(host.transport, SshTransport) and host.transport.address.python is not None
    request = {"verb": "install", "packages": packages, "own": not named}
    answer, _ = host.ask(request, 2 * LIMIT + ANSWER_LIMIT)
    host.forget()
    return str(answer["python"])


def requirement(package: str) -> str:
    """Return the requirement of edgeexpo's metadata for a package, as pip takes it.

    Without metadata, as in a folder that is only importable, it is the package's plain name.
    """
    try:
        declared = importlib.metadata.requires("edgeexpo") or []
    except importlib.metadata.PackageNotFoundError:
        declared = []
    for line in declared:
        match = re.match(r"([\w.-]+)\s*([^;]*)", line)
        if match and match[1] == package:
            return f"{package}{match[2].strip()}"
    return package
