"""Kills processes, and starts them again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from random import Random

from tests.support.bridge import Bridge
from tools.servers.backends import Conductors
from tools.servers.processes import Child, children_of


def kill_children(process: Child) -> None:
    """kill -9 of each of a process's children, one after the other."""
    for pid in children_of(process.pid):
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.3)


def restart_relay(bridge: Bridge) -> None:
    """kill -9 of the relay."""
    assert bridge.relay is not None
    bridge.relay.kill()
    bridge.start_relay()


def restart_worker(bridge: Bridge) -> None:
    """kill -9 of the worker."""
    assert bridge.worker is not None
    bridge.worker.kill()
    bridge.start_worker()


def restart_conductor(server: Conductors) -> None:
    """kill -9 of Conductor."""
    server.kill()
    server.start(timeout=300)


def kills(bridge: Bridge, server: Conductors) -> list[Callable[[], None]]:
    """kill -9 of the relay, of its children, of the worker (twice) and of Conductor."""
    return [
        lambda: restart_relay(bridge),
        lambda: kill_children(bridge.relay),  # type: ignore[arg-type]
        lambda: restart_worker(bridge),
        lambda: restart_worker(bridge),
        lambda: restart_conductor(server),
    ]


def storm(
    faults: Sequence[Callable[[], None]], seconds: float, random_: Random, pause: float = 2.0
) -> int:
    """Rounds of all faults, in random order, until the time is over: each at least once, up to
    `pause` seconds apart.

    Returns the number of rounds.
    """
    end = time.monotonic() + seconds
    rounds = 0
    while rounds == 0 or time.monotonic() < end:
        for fault in random_.sample(faults, len(faults)):
            time.sleep(random_.uniform(0, pause))
            fault()
        rounds += 1
    return rounds
