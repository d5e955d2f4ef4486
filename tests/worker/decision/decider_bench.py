"""A bench for tests of decisions: a decider on a store and a simulated Conductor."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from worker.decision.callbacks import Callbacks
from worker.decision.workflows import Workflows
from worker.discovery.barrier import Barrier

from config.webhooks import Definitions, Webhook
from store.records import Event, NewEvent, Result, Target
from store.sqlite import SqliteStore, open_store
from tests.support.makers import ME
from tests.support.simulated import SimulatedConductor, SimulatedTask
from tests.worker.play import Later, Now
from worker.decision.decider import Decider, Request
from worker.health import Health
from worker.leader.task_timeouts import TaskTimeouts

SECOND = 1000
EVERY: dict[str, Any] = {}


class Bench:
    """A decider, a store and a simulated Conductor whose clock is `offset` ahead."""

    def __init__(self, folder: Path) -> None:
        self.ms = 1_700_000_000_000
        self.store: SqliteStore = open_store(f"sqlite:///{folder}/bridge.db")
        self.store.leadership.elect("me", 10**9)
        self.conductor = SimulatedConductor(lambda: self.ms)
        self.decider = self.another()
        self.define({"name": "w", "receivers": {"flow": "any", "sub": "any"}, "hold": "10m"})
        self.number = 0

    def another(self) -> Decider:
        conductor: Any = self.conductor
        workflows = Workflows(self.store, conductor, Now(), self)
        timeouts = TaskTimeouts(conductor, self.store, "me", Later(), clock=self)
        callbacks = Callbacks(conductor, Now(), self, clock=self)
        return Decider(
            self.store, workflows, self.conductor.server_clock, timeouts, callbacks, skew=2.0
        )

    def monotonic(self) -> float:
        return self.ms / 1000

    def now(self) -> int:
        return self.ms

    def set_clock(self, seconds: int) -> None:
        """Sets it forward, or back. Conductor has another, which its next answer shows."""
        self.ms += seconds * SECOND
        self.conductor.offset -= seconds * SECOND

    def later(self, seconds: int) -> None:
        """That much later, Conductor answers a poll."""
        self.ms += seconds * SECOND
        self.wait({"$.n": 0})
        self.decide()

    @property
    def looked_up(self) -> list[str]:
        """The workflows that Conductor was asked for."""
        return self.conductor.workflow_lookups

    def define(self, *webhooks: dict[str, Any]) -> None:
        self.definitions = Definitions(tuple(map(Webhook.model_validate, webhooks)))
        self.decider.set_definitions(self.definitions)

    def restart(self) -> None:
        """The next worker begins with what is in the store."""
        self.decider = self.another()
        self.decider.set_definitions(self.definitions)
        self.decider.load(Health(self.store.leadership))

    def wait(
        self, matches: Any = EVERY, workflow: str = "", name: str = "flow", version: int = 1
    ) -> SimulatedTask:
        """A task comes to wait, in a new workflow if in no other."""
        workflow = workflow or self.conductor.begin(name, version).id
        return self.conductor.schedule(workflow, f"wait{len(self.conductor.tasks)}", matches)

    def arrive(self, webhook: str = "w", hold: int = 600, **payload: Any) -> str:
        self.number += 1
        id_ = f"event{self.number}"
        self.store.deliveries.append(
            [NewEvent(id_, webhook, self.ms, json.dumps(payload), {}, {}, self.ms + hold * SECOND)]
        )
        return id_

    def decide(self) -> list[tuple[Target, Event]]:
        """A scan, and the decision after it."""
        began = self.ms
        agenda = self.store.decisions.agenda(100)
        self.decider.set_paused(agenda.paused)
        while tasks := self.conductor.poll("me"):
            self.decider.add_tasks(self.store.tasks.adopt(ME, tasks, self.ms))
        request = Request(
            agenda.undecided, agenda.freed, began, self.ms, 100, self.all_known(began)
        )
        return self.decider.decide(ME, request)

    def all_known(self, began: int) -> Barrier:
        """What is known after a scan that began then, and that left nothing in doubt."""
        barrier = Barrier(self)
        barrier.drained(began)
        return barrier

    def takers(self, event_id: str) -> list[str]:
        return [
            str(t.task_id)
            for t in self.store.queries.targets_of([event_id])
            if t.kind == "complete"
        ]

    def event(self, event_id: str) -> Event:
        found = self.store.queries.event(event_id)
        assert found is not None
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    with mock.patch.object(time, "time", lambda: bench.ms / 1000):
        yield bench


def settle(bench: Bench, target: Target, state: Any) -> None:
    """A call has come to this end."""
    bench.store.claims.record_results("me", [Result(target, state)], bench.ms)


# --- failures ---


def sick(bench: Bench, *tasks: SimulatedTask) -> None:
    """Conductor can't show the workflows of these tasks from now on."""
    bench.conductor.sick = {task.workflow_id for task in tasks}


def starts(bench: Bench, event_id: str) -> list[Target]:
    return [
        target for target in bench.store.queries.targets_of([event_id]) if target.kind == "start"
    ]
