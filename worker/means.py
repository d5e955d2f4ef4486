"""What a worker's reigns have in common."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from config.bell import Bell
from config.settings import Settings
from config.watch import DefinitionsWatcher
from events.store import Store
from worker.calls import Caller
from worker.conductor import Conductor
from worker.health import Health
from worker.task_timeouts import TaskTimeouts

LOOK_UPS = 32
"""Workflows that are looked up at a time, of which some may hang for BRIDGE_CALL_TIMEOUT."""


@dataclass(frozen=True)
class Means:
    """What every reign of a worker uses, and none owns."""

    worker_id: str
    settings: Settings
    store: Store
    conductor: Conductor
    watcher: DefinitionsWatcher
    caller: Caller
    timeouts: TaskTimeouts
    look_ups: ThreadPoolExecutor | None
    """Where tasks and workflows are looked for several at once; None for one after the other."""
    workflows: ThreadPoolExecutor | None
    """Where the `LOOK_UPS` run that decisions depend on: whatever hangs elsewhere, there is room for these."""
    health: Health
    stop: Bell
    """Rung when the worker is to end: no pause is longer."""

    def alive(self) -> None:
        """The loop gets on."""
        self.health.beat("the loop")
