"""What all parts of a worker work with."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from config.process import WakeUp
from config.settings import Settings
from config.watch import DefinitionsSource
from store.clock import MonotonicClock
from store.sql.store import Store
from worker.conductor.client import Conductor
from worker.health import Health


@dataclass(frozen=True, slots=True)
class Context:
    """The same objects for all parts of one worker."""

    settings: Settings
    store: Store
    conductor: Conductor
    definitions: DefinitionsSource
    health: Health
    clock: MonotonicClock = time
    stop: WakeUp = field(default_factory=WakeUp)
    """Rung when the worker should end: it cuts every pause short."""
