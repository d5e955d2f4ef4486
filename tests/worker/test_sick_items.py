"""A storm of items by a clock that is told to go: whatever ails, all others have their effects
within eight seconds."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args
from unittest import mock

import pytest

from config.webhooks import Definitions, Webhook
from store.records import Event, NewEvent, Target, Task
from store.sql.store import Store
from tests.support.backends import BACKENDS, Backend
from tests.support.chance import SEED
from tests.support.settings import settings_with
from tests.support.simulated import Ailment, SimulatedConductor
from tests.support.storms import lasting
from tests.worker.play import Now
from worker.conductor.errors import ConductorError, OutcomeUnknown
from worker.context import Context
from worker.delivery.outcomes import ClaimLost, claim_lasts
from worker.health import Health
from worker.leader.leader import Leader, Tuning
from worker.leader.worker import Worker
from worker.retries import RARELY

pytestmark = [pytest.mark.slow, pytest.mark.storm]

SECONDS = lasting(30)
TICK = 250
"""Milliseconds between two scans."""
DAY = 86_400_000
AILMENTS: tuple[Ailment, ...] = get_args(Ailment)
WEBHOOKS = [
    {"name": "any", "receivers": {"flow": "any"}},
    {"name": "versioned", "receivers": {"versioned": 1}},
    {"name": "starts", "starts": [{"workflow": "started"}]},
]


@dataclass
class Scenario:
    """What one event is to do."""

    event_id: str
    task_id: str | None
    """The task that it completes; None if it starts a workflow."""
    ails: bool
    due: int
    """When it must have its effect, by the clock of the test, if it doesn't ail."""


class Unsteady(SimulatedConductor):
    """Any call may end without an answer, the polls among them."""

    random_: random.Random
    fails = 0.0
    """How often."""

    def _lose(self) -> None:
        if self.random_.random() < self.fails:
            raise OutcomeUnknown("no answer in time")

    def _see(self, item: str) -> None:
        self._lose()
        super()._see(item)

    def _search(self, way: str) -> None:
        self._lose()
        super()._search(way)

    def poll(self, *given: Any) -> list[Task]:
        self.poll_fault = "lost" if self.random_.random() < self.fails else None
        return super().poll(*given)


TUNING = Tuning(scan_gap=0, inbox=float("inf"))


class Storm:
    """One worker, played step by step."""

    def __init__(self, store: Store, folder: Path, random_: random.Random):
        self.ms = 1_800_000_000_000
        self.store = store
        self.random = random_
        self.conductor = Unsteady(lambda: self.ms, known=frozenset({"started"}))
        self.conductor.random_ = random_
        self.open: list[Scenario] = []
        self.done: list[Scenario] = []
        self.patience = 8000
        """Milliseconds within which an effect must come."""
        self.number = 0
        self.hands: list[tuple[Target, Event]] = []
        source: Any = mock.Mock(check=lambda: False)
        source.current = Definitions(tuple(map(Webhook.model_validate, WEBHOOKS)))
        settings = settings_with(
            bridge_database=f"sqlite:///{folder}/unused.db", bridge_worker_metrics="off"
        )
        conductor: Any = self.conductor
        context = Context(settings, store, conductor, source, Health(store.leadership), self)
        self.worker = Worker(context, "me", TUNING)
        self.worker._pools.index = Now()
        self.worker._executor.submit = self.hands.extend  # type: ignore[method-assign]

    def monotonic(self) -> float:
        return self.ms / 1000

    @property
    def leader(self) -> Leader:
        assert self.worker.leader is not None
        return self.worker.leader

    # --- what happens ---

    def begin(self, share: float) -> None:
        """A scenario: an event that starts a workflow, or a task and its event, in either order,
        polled by whomever."""
        self.number += 1
        event_id = f"event{self.number:05}"
        ails = self.random.random() < share
        ailment = self.random.choice(AILMENTS)
        kind = self.random.choice(["any", "versioned", "starts"])
        due = self.ms + self.patience
        event = NewEvent(
            event_id,
            kind,
            self.ms,
            json.dumps({"key": self.number}),
            {},
            {},
            self.ms + DAY,
            f"d{self.number}",
        )
        if kind == "starts":
            self.store.deliveries.append([event])
            if ails:
                self.conductor.ailing[event_id] = ailment
            self.open.append(Scenario(event_id, None, ails, due))
            return
        workflow = self.conductor.begin("flow" if kind == "any" else "versioned")
        task_first = self.random.random() < 0.5
        if not task_first:
            self.store.deliveries.append([event])
        task = self.conductor.schedule(workflow.id, "wait", {"$.key": self.number})
        if task_first:
            self.store.deliveries.append([event])
        if self.random.random() < 0.3:  # somebody else has polled it
            task.status, task.started_at = "IN_PROGRESS", self.conductor.server_time
        if ails:
            self.conductor.ailing[self.random.choice([event_id, workflow.id, task.id])] = ailment
        self.open.append(Scenario(event_id, task.id, ails, due))

    # --- the worker ---

    def tick(self, number: int) -> None:
        """A quarter of a second, with all that the worker's threads do in it."""
        self.ms += TICK
        for every, job in ((4, self.leader.read_suspects), (12, self.leader.discover)):
            if number % every == 0:
                with suppress(ConductorError):
                    job()
        with suppress(ConductorError):
            self.leader.decide()
        lease = int(claim_lasts(self.conductor.timeout) * 1000)
        claimed = self.store.claims.claim("me", self.ms, self.ms - lease, 32)
        events = self.store.queries.events_of([target.event_id for target in claimed])
        self.hands += [(target, events[target.event_id]) for target in claimed]
        results = []
        for target, event in self.hands:
            try:
                results.append(self.worker._executor._calls.outcome(target, event).result)
            except (ClaimLost, ConductorError):
                continue
        self.hands.clear()
        self.store.claims.record_results("me", results, self.ms)

    # --- what came of it ---

    def look(self) -> None:
        """Fails if a scenario that doesn't ail is late."""
        for scenario in [one for one in self.open if self.has_its_effect(one)]:
            self.open.remove(scenario)
            self.done.append(scenario)
        late = [one for one in self.open if not one.ails and self.ms > one.due]
        assert not late, (
            f"seed {SEED}: without their effect in time: {late[:3]}, {self.seen(late[0])}"
        )

    def has_its_effect(self, scenario: Scenario) -> bool:
        if scenario.task_id is not None:
            task = self.conductor.tasks[scenario.task_id]
            assert task.worker_id in (None, scenario.event_id), (
                f"seed {SEED}: {task} for {scenario}"
            )
            return task.status == "COMPLETED"
        started = [
            w for w in self.conductor.workflows.values() if w.correlation_id == scenario.event_id
        ]
        assert len(started) <= 1, f"seed {SEED}: {scenario} started {len(started)} workflows"
        return bool(started)

    def seen(self, scenario: Scenario) -> str:
        task = self.conductor.tasks.get(scenario.task_id or "")
        targets = self.store.queries.targets_of([scenario.event_id])
        return f"{task}, {self.store.queries.event(scenario.event_id)}, {targets}"


BACKENDS_AND_WAYS = pytest.mark.parametrize(
    ("storm", "cannot"),
    [("sqlite", {}), ("sqlite", {"search": 500}), ("postgres", {})],
    indirect=["storm"],
)
"""How tasks are found doesn't depend on the store."""


@pytest.fixture
def storm(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storm]:
    backend: Backend = BACKENDS[request.param](request, tmp_path)
    store = backend.open()
    random.seed(SEED)  # of the pauses before tries
    storm = Storm(store, tmp_path, random.Random(SEED))
    patches = [
        mock.patch.object(store, "now", lambda: storm.ms),
    ]
    for patch in patches:
        patch.start()
    try:
        assert storm.worker.elect()
        yield storm
        storm.worker.end_term()
    finally:
        for patch in reversed(patches):
            patch.stop()
        storm.worker.close()
        backend.close()


@BACKENDS_AND_WAYS
def test_what_ails_delays_nothing_else_and_has_its_effect_once_it_is_well(
    storm: Storm, cannot: dict[str, int]
) -> None:
    storm.conductor.cannot = cannot
    play(storm)


@BACKENDS_AND_WAYS
def test_where_any_answer_may_be_lost_meanwhile_all_have_their_effects_all_the_same(
    storm: Storm, cannot: dict[str, int]
) -> None:
    storm.conductor.cannot = cannot
    storm.conductor.fails = 0.1
    storm.patience = 120_000
    play(storm)


def play(storm: Storm) -> None:
    """A storm, and then its end."""
    print(f"seed {SEED}")
    ticks = int(SECONDS * 1000 / TICK)
    for number in range(ticks):
        storm.begin(share=0.1)
        storm.tick(number)
        storm.look()
    for number in range(storm.patience // TICK + 4):  # what began last
        storm.tick(number)
        storm.look()
        if all(one.ails for one in storm.open):
            break
    assert all(one.ails for one in storm.open)
    assert storm.conductor.ailing
    storm.conductor.ailing.clear()
    storm.conductor.fails = 0.0
    for number in range(400):
        storm.tick(number)
        storm.look()
        if not storm.open:
            break
    assert not storm.open, f"seed {SEED}: {storm.open[:3]}, {storm.seen(storm.open[0])}"
    # Nothing stays set aside once it has been tried again, and no try comes later than this.
    for number in range(int(RARELY * 1.25 * 1000) // TICK + 12):
        if not storm.store.quarantine.items():
            break
        storm.tick(number)
    storm.look()
    assert not storm.store.quarantine.items(), f"seed {SEED}"
