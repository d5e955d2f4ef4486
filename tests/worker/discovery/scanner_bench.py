"""A bench for tests of discovery: a scanner and a simulated Conductor."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from store.records import Task
from tests.support.clock import Ticking
from tests.support.simulated import SimulatedConductor
from tests.worker.discovery.known import Known
from worker.conductor.errors import NotNow
from worker.discovery.discovery import Discovery, Ended, Reconciled
from worker.discovery.index import Index
from worker.discovery.scanner import Scanner
from worker.discovery.watermark import Known as Watermarks
from worker.discovery.watermark import Watermark


class Bench:
    """A scanner and what it finds."""

    def __init__(self) -> None:
        self.ms = 1_700_000_000_000
        self.clock = Ticking(1000.0)
        self.conductor = SimulatedConductor(lambda: self.ms)
        self.found: list[Task] = []
        self.gone: list[str] = []
        self.completed: list[bool] = []
        """Of each reconciliation whether it was complete."""
        self.known = Known()
        self.settled: list[str] = []
        """Tasks that settled long ago."""
        self.pool = ThreadPoolExecutor(2)
        self.watermark = Watermark(Watermarks(), lambda known: None)
        self.index = Index(self.conductor, self.pool, self.known.among, self.clock)  # type: ignore[arg-type]
        self.index.receivers = ["flow"]
        self.scanner = self.another()
        self.searches: list[int] = []
        search = self.conductor.waiting_ids_since

        def counted(start: int, workflow: str = "") -> Any:
            if not workflow:
                self.searches.append(start)
            return search(start, workflow)

        self.conductor.waiting_ids_since = counted  # type: ignore[method-assign]

    def another(self, *domains: str) -> Scanner:
        return Scanner(self.conductor, self.index, self.watermark, "me", domains)  # type: ignore[arg-type]

    def scan(self) -> None:
        """One scan, to its end."""
        for tasks in self.scanner.scan():
            self.found += tasks

    def task_of(self, task_id: str) -> Task:
        """The task as the server shows it."""
        return self.conductor._task(self.conductor.tasks[task_id])

    def discovery(self, step: int = 500) -> Discovery:
        return Discovery(self.conductor, self.index, self.known, lambda *_: self.settled, step)  # type: ignore[arg-type]

    def discover(self, discovery: Discovery, *waiting: str) -> None:
        """One discovery while these tasks are known to wait."""
        self.known.add(*waiting)
        self.clock.seconds += 1  # it comes a while after the one before
        for found in discovery.run(self.ms):
            if isinstance(found, Ended):
                self.gone += found.task_ids
                for task_id in found.task_ids:
                    self.known.pop(task_id, None)
            elif isinstance(found, Reconciled):
                self.completed.append(found.complete)
            else:
                self.found += found

    def schedule(self, number: int = 1) -> list[str]:
        workflow = self.conductor.begin("flow")
        return [self.conductor.schedule(workflow.id, f"wait{n}", {}).id for n in range(number)]

    def knows(self) -> bool:
        """Whether everything that waited at the last scan is known."""
        return self.watermark.known_until(["flow"], self.ms) >= self.scanner.began

    def pass_(self, seconds: float) -> None:
        """Time passes, by either clock."""
        self.clock.seconds += seconds
        self.ms += round(seconds * 1000)

    def ids(self) -> list[str]:
        found, self.found[:] = [task.id for task in self.found], []
        return found


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.pool.shutdown()


def fail(*_: Any) -> Any:
    raise NotNow("the index is down")


def foreign(bench: Bench, count: int) -> list[str]:
    """Tasks that somebody else has polled, one each ten milliseconds."""
    ids = []
    for _ in range(count):
        bench.ms += 10
        [task] = bench.schedule()
        bench.conductor.tasks[task].status = "IN_PROGRESS"
        bench.conductor.tasks[task].started_at = bench.ms
        ids.append(task)
    return ids
