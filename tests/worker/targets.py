"""A bench for tests of the calls: one event with its targets in a store, and a simulated
Conductor."""

from __future__ import annotations

import time
from concurrent.futures import Executor as Pool
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from config.watch import DefinitionsSource
from config.webhooks import Definitions
from store.clock import MonotonicClock
from store.one_target import OneTarget
from store.records import Decision, Event, NewEvent, NewTarget, Result, Target, Task, new_event_id
from store.sql.decisions import Plan
from store.sqlite import SqliteStore, open_store
from tests.support.makers import ME
from tests.support.settings import settings_with
from tests.support.simulated import Fault, SimulatedConductor, SimulatedTask
from worker.context import Context
from worker.delivery.executor import PAYLOAD, Executor
from worker.health import Health

DEFINITIONS = mock.Mock(spec=DefinitionsSource, current=Definitions(()))


class Bench:
    """A store with one event and its target, a simulated Conductor, and an executor that isn't
    started."""

    def __init__(self, folder: Path) -> None:
        self.store: SqliteStore = open_store(f"sqlite:///{folder}/bridge.db")
        self.conductor = SimulatedConductor(
            lambda: int(time.time() * 1000), known=frozenset({"flow"})
        )
        self.executor = self.another("me")
        self.store.leadership.elect("me", 10**9)
        self.event = ""

    def another(
        self,
        name: str,
        pool: Pool | None = None,
        clock: MonotonicClock = time,
        payload: int = PAYLOAD,
    ) -> Executor:
        return Executor(self.context(clock=clock), name, payload=payload, pool=pool)

    def context(self, *, clock: MonotonicClock = time, **settings: object) -> Context:
        made = settings_with(bridge_database="sqlite:////unused.db", **settings)
        conductor: Any = self.conductor
        return Context(
            made, self.store, conductor, DEFINITIONS, Health(self.store.leadership), clock
        )

    def task(self) -> SimulatedTask:
        """A task that waits in Conductor and in the store."""
        workflow = self.conductor.begin("flow")
        task = self.conductor.schedule(workflow.id, "wait", {})
        known = Task(task.id, workflow.id, "flow", "wait", {}, 0)
        self.store.tasks.adopt(ME, [(known, None)], 0, {})
        return task

    def decide(
        self,
        *targets: NewTarget,
        claim: bool = True,
        received_at: int | None = None,
        hold: int = 0,
        only: OneTarget | None = None,
    ) -> list[Target]:
        """The event that has these targets is decided, and they are claimed."""
        now = int(time.time() * 1000)
        received_at = now if received_at is None else received_at
        self.event = new_event_id()
        self.store.deliveries.append(
            [NewEvent(self.event, "w", received_at, '{"a": 1}', {}, {}, now + hold, only=only)]
        )
        decision = Decision(self.event, "pending", "no" if only is None else "held", targets)
        plan = Plan([decision], {self.event: self.stored()})
        return self.store.decisions.decide(ME, plan, now, 10 if claim else 0)

    def completion(self, task: SimulatedTask) -> NewTarget:
        return NewTarget("complete", "flow", task.workflow_id, task.id, task.reference_name)

    def start(self) -> NewTarget:
        return NewTarget("start", "flow", correlation_id="event#1")

    def stored(self) -> Event:
        event = self.store.queries.event(self.event)
        assert event is not None
        return event

    def result(self, target: Target, fault: Fault | None = None) -> Result:
        """What comes of a call under this fault."""
        self.conductor.fault = fault
        return self.executor._calls.outcome(target, self.stored()).result

    def later(self, target: Target, attempts: int = 2) -> Target:
        """The target at a later try, claimed now: an old claim would have to be renewed."""
        return replace(target, attempts=attempts, claimed_at=self.store.now())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
