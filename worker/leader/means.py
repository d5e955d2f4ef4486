"""What a worker's terms have in common."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from config.settings import Settings
from config.wakeup import WakeUp
from config.watch import DefinitionsWatcher
from store.protocols import Store
from worker.conductor.client import Conductor
from worker.delivery.executor import Executor
from worker.health import Health
from worker.leader.task_timeouts import TaskTimeouts

LOOK_UPS = 32
"""Workflows that are looked up at a time, of which some may hang for BRIDGE_CALL_TIMEOUT."""


@dataclass(frozen=True)
class Means:
    """What every term of a worker uses, and none owns."""

    worker_id: str
    settings: Settings
    store: Store
    conductor: Conductor
    watcher: DefinitionsWatcher
    executor: Executor
    timeouts: TaskTimeouts
    look_ups: ThreadPoolExecutor | None
    """Where tasks and workflows are looked for several at once; None for one after the other."""
    workflows: ThreadPoolExecutor | None
    """Where the `LOOK_UPS` run that decisions depend on: whatever hangs elsewhere, there is room for these."""
    health: Health
    stop: WakeUp
    """Rung when the worker is to end: no pause is longer."""

    def alive(self) -> None:
        """The loop gets on."""
        self.health.beat("the loop")
