"""Random ends of connections and processes while an engine runs on another machine."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.errors import EdgeexpoError, LostConnectionError
from edgeexpo.remote.engine import RemoteEngine
from edgeexpo.remote.host import RemoteHost
from edgeexpo.runtime.engines.base import open_engine
from edgeexpo.targets import target_named
from edgeexpo.testing.loopback_sshd import LoopbackSshd


@dataclass
class KillCount:
    """What became of the runs.

    Attributes:
        right: Runs whose output is that of the engine on this machine, bit for bit.
        lost: Runs that ended with the typed error for a lost connection.
        wrong: Runs with another output, or with an error that blames the artefact.
        retried: Connections that were made again.
        longest: Longest run in seconds.
        left: Processes that were left behind after the connection was closed.
        errors: The errors of the wrong runs.
    """

    right: int = 0
    lost: int = 0
    wrong: int = 0
    retried: int = 0
    longest: float = 0.0
    left: int = 0
    errors: list[str] = field(default_factory=list)


def random_kills(
    server: LoopbackSshd,
    bundle: Bundle,
    target: str,
    kills: int,
    seed: int = 0,
    limit: float = 60.0,
) -> KillCount:
    """Run an artefact again and again while a process that takes part in it is killed.

    The killed process is the client of ``ssh``, the program behind it, or the engine's process, at
    a random moment of the run.

    Args:
        server: The server. Its ``search_path`` must be this process's ``PATH``.
        bundle: The bundle.
        target: Target of the artefact.
        kills: Number of kills.
        seed: Seed of the moments and the processes.
        limit: Seconds that a load or a run may take there.
    """
    artifact = bundle.select(target)
    path, spec = bundle.file(artifact.file), bundle.manifest.model
    side = artifact.sizes.largest
    draw, count = random.Random(seed), KillCount()
    generator = np.random.default_rng(seed)
    inputs = {
        t.name: generator.random((1, t.channels, *(t.size or side)), np.float32)
        for t in spec.inputs
    }
    here = open_engine(target, path, spec)
    expected = here.run(inputs)
    here.close()
    with RemoteHost(server.address) as host:
        engine = RemoteEngine(host, host.runner(target_named(target)), spec, limit=limit)
        engine.load(path)
        started = time.monotonic()
        engine.run(inputs)
        usual = time.monotonic() - started
        before = host.connections
        for _ in range(kills):
            killer = threading.Timer(
                draw.uniform(0, 1.5 * usual), _kill_one, (server, host, draw.random())
            )
            killer.start()
            started = time.monotonic()
            _count(engine, inputs, expected, count)
            count.longest = max(count.longest, time.monotonic() - started)
            killer.join()
        count.retried = host.connections - before
        engine.close()
    count.left = len(server.left_over())
    return count


def _count(
    engine: RemoteEngine,
    inputs: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    count: KillCount,
) -> None:
    try:
        found = engine.run(inputs)
    except LostConnectionError:
        count.lost += 1
    except EdgeexpoError as error:
        count.wrong += 1
        count.errors.append(f"{type(error).__name__}: {error}")
    else:
        same = found.keys() == expected.keys()
        same = same and all(np.array_equal(found[name], expected[name]) for name in found)
        count.right += same
        count.wrong += not same


def _kill_one(server: LoopbackSshd, host: RemoteHost, share: float) -> None:
    client = host.client_pid
    candidates = [*([client] if client is not None else []), *server.processes()]
    if candidates:
        with contextlib.suppress(OSError):
            os.kill(candidates[int(share * len(candidates))], signal.SIGKILL)
