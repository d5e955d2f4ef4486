"""Polls whose answer is lost, tasks that are slow to read and an index that lags, in random orders, by a clock that is
told to go: each event completes every task that was waiting for it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal
from unittest import mock

import pytest

from store.records import NewEvent
from store.sqlite import open_store
from tests.worker.simulated import SimulatedTask
from tests.worker.test_sick_items import DAY, SECONDS, SEED, TICK, Storm, Unsteady
from worker.conductor.errors import ConductorError

pytestmark = [pytest.mark.slow, pytest.mark.storm]

SLOW = 1000
"""Milliseconds at most for which a task can't be read, so that one of its first three reads returns it."""
LATEST = 20_000


class Late(Unsteady):
    """A poll that is carried out late may be so between a scan's own polls and its search."""

    def _search(self, way: str) -> None:
        self.run_late()
        super()._search(way)


class LostPolls(Storm):
    """Each event is for up to three tasks, which it comes after."""

    server = Late
    fault: Literal["lost", "late"] = "lost"
    lost = 0.0
    """How often a poll's answer is."""

    def __init__(self, *given: object) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self.events: dict[str, list[SimulatedTask]] = {}
        self.well_at: dict[str, int] = {}

    def fan_out(self) -> None:
        """Tasks, of which some are slow to read, and their event."""
        self.number += 1
        tasks = []
        for _ in range(self.random.randint(1, 3)):
            workflow = self.conductor.begin("flow")
            tasks.append(self.conductor.schedule(workflow.id, "wait", {"$.key": self.number}))
            if self.random.random() < 0.2:
                for item in (workflow.id, tasks[-1].id):
                    self.conductor.ailing[item] = "hang"
                    self.well_at[item] = self.ms + self.random.randint(1, SLOW)
        self.ms += 1
        event_id = f"event{self.number:05}"
        event = NewEvent(
            event_id, "any", self.ms, json.dumps({"key": self.number}), {}, {}, self.ms + DAY, f"d{self.number}"
        )
        self.store.deliveries.append([event])
        self.events[event_id] = tasks

    def tick(self, number: int) -> None:
        self.conductor.run_late()
        for item in [item for item, well_at in self.well_at.items() if well_at <= self.ms]:
            del self.conductor.ailing[item], self.well_at[item]
        if self.random.random() < self.lost:
            self.conductor.poll_fault, self.conductor.delay = self.fault, self.random.randint(0, LATEST)
            with suppress(ConductorError):
                self.leader.decide()
        super().tick(number)

    def missing(self) -> dict[str, list[SimulatedTask]]:
        """Event → the tasks that it should have completed."""
        return {
            event_id: open_
            for event_id, tasks in self.events.items()
            if (open_ := [task for task in tasks if task.worker_id != event_id])
        }


@pytest.fixture
def storm(tmp_path: Path) -> Iterator[LostPolls]:
    store = open_store(f"sqlite:///{tmp_path}/bridge.db")
    storm = LostPolls(store, tmp_path, random.Random(SEED))
    with mock.patch.object(store, "now", lambda: storm.ms):
        assert storm.worker.elect()
        yield storm
        storm.worker.end_term()
    storm.worker.close()
    store.close()


@pytest.mark.parametrize("cannot", [{}, {"search-v2": 500}])
@pytest.mark.parametrize(("fault", "lag"), [("lost", 1500), ("late", 0)])
def test_each_event_completes_every_task_that_was_waiting_for_it(
    storm: LostPolls, cannot: dict[str, int], fault: Literal["lost", "late"], lag: int
) -> None:
    storm.conductor.cannot, storm.conductor.index_lag, storm.fault = cannot, lag, fault
    storm.lost = 0.1
    for number in range(int(SECONDS * 1000 / TICK)):
        storm.fan_out()
        storm.tick(number)
    storm.lost = 0.0
    for number in range(400):
        storm.tick(number)
        if not storm.missing():
            break
    assert not storm.missing(), f"seed {SEED}"
