"""Kills processes, and starts them again."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from testkit.backends import Conductors
from testkit.processes import Child
from tests.acceptance.bridge import Bridge


def kill_children(process: Child) -> None:
    """kill -9 of each of a process's children, one after the other."""
    listing = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for pid in listing.read_text().split():
        os.kill(int(pid), signal.SIGKILL)
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
