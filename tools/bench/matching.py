"""Time and memory of matching with very many tasks or events, beside few: the worker's own code on
a real store."""

from __future__ import annotations

import gc
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, cast

from config.webhooks import load_definitions
from store.clock import ServerClock
from store.records import Decision, Event, NewEvent, Task, Term, Workflow, new_event_id
from store.sqlite import SqliteStore, open_store
from tools.bench.figures import Figure, median
from worker.conductor.client import Conductor
from worker.conductor.server import Server
from worker.decision.callbacks import Callbacks
from worker.decision.decider import Decider, Request
from worker.decision.workflows import Workflows
from worker.discovery.barrier import Barrier
from worker.health import Health
from worker.leader.task_timeouts import TaskTimeouts

FEW = 100
MANY = 100_000
ROUNDS = 150
ME = "bench"
TERM = Term(ME)

Item = TypeVar("Item")


def measure(
    folder: Path, say: Callable[[str], None], few: int = FEW, many: int = MANY, rounds: int = ROUNDS
) -> list[Figure]:
    """Time per event and per new task, memory per waiting task, and the time of loading."""
    say("Measuring: matching\n")
    definitions = folder / "matching.yaml"
    definitions.write_text(
        "webhooks: [{name: bench, verifier: none, receivers: {bench: any}}]\n", encoding="utf-8"
    )
    worlds = {
        number: World(folder / f"matching-{number}.db", definitions, number)
        for number in (few, many)
    }
    figures = []
    for what, step in (
        (f"time per event, {many:,} waiting tasks / {few}", World.event_of_a_task),
        ("time per event that fits none, likewise", World.event_of_no_task),
        (f"time per new task, {many:,} held events / {few}", World.task_of_an_event),
        ("time per new task that fits none, likewise", World.task_of_no_event),
    ):
        times = _in_turn(worlds, step, rounds)
        figures.append(
            Figure(
                "matching",
                what,
                median(times[many]) / median(times[few]),
                "<= 1.5",
                f"{1e6 * median(times[many]):.0f} µs, the commit included",
            )
        )
    large = worlds[many]
    figures.append(
        Figure(
            "matching",
            "bytes a waiting task beyond its own text",
            large.bytes_a_task - large.text_a_task,
            "<= 1024",
        )
    )
    figures.append(
        Figure(
            "start-up",
            f"seconds to load {many:,} tasks and {many:,} events",
            large.loading,
            "<= 10",
        )
    )
    return figures


def _in_turn(
    worlds: dict[int, World], step: Callable[[World, int], None], rounds: int
) -> dict[int, list[float]]:
    times: dict[int, list[float]] = {number: [] for number in worlds}
    for index in range(rounds):
        for number, world in worlds.items():
            began = time.perf_counter()
            step(world, index)
            times[number].append(time.perf_counter() - began)
    return times


class World:
    """A store with so many waiting tasks and as many held events, and a decider that has loaded
    it."""

    def __init__(self, database: Path, definitions: Path, number: int):
        self.now = int(time.time() * 1000)
        self.store: SqliteStore = open_store(f"sqlite:///{database}")
        self.store.leadership.elect(ME, 10**9)
        tasks = [self._task(f"task-{index}", "waits", index) for index in range(number)]
        for page in _pages(tasks, 1000):
            self.store.tasks.adopt(TERM, page, self.now)
        self.text_a_task = (
            sum(len(task.id) + len(task.workflow_id) + len(str(task.matches)) for task in tasks)
            / number
        )
        del tasks
        for arriving in _pages([self._event("held", index) for index in range(number)], 200):
            self.store.deliveries.append(arriving)
        while events := self.store.decisions.agenda(5000).undecided:
            self._decide([Decision(event.id, "pending", "held") for event in events])
        gc.collect()
        self.decider = self._decider(definitions)
        began = time.perf_counter()
        self.decider.load(Health(self.store.leadership))
        self.loading = time.perf_counter() - began
        self._after_a_scan([])
        # Held events are in it too, so tasks alone are loaded into a second one for their memory.
        alone = self._decider(definitions)
        gc.collect()
        before = _resident()
        after = ""
        while page_of_tasks := self.store.queries.waiting_tasks(after, 1000):
            alone.add_tasks(page_of_tasks)
            after = page_of_tasks[-1].id
        alone.held.all_matched()
        gc.collect()
        self.bytes_a_task = (_resident() - before) / number

    def _decider(self, definitions: Path) -> Decider:
        here, pool = cast(Conductor, self), ThreadPoolExecutor(1)
        workflows = Workflows(self.store, here, pool)
        timeouts = TaskTimeouts(Conductor(Server("http://127.0.0.1:1/api"), 1), self.store, ME)
        callbacks = Callbacks(here, pool, self.store)
        decider = Decider(self.store, workflows, ServerClock(), timeouts, callbacks, 2.0)
        decider.set_definitions(load_definitions(definitions))
        return decider

    def within(self, seconds: float) -> World:
        return self

    def workflow_tasks(self, workflow_id: str) -> None:
        """No event here is a callback's."""

    def workflow(self, workflow_id: str) -> Workflow:
        """Conductor's part: what it knows of a workflow."""
        return Workflow(workflow_id, 1, workflow_id, self.now - 3_600_000, None)

    def _decide(self, decisions: list[Decision]) -> None:
        self.store.decisions.decide(TERM, decisions, [], self.now, 0)

    def _task(self, task_id: str, kind: str, user: int, scheduled_at: int | None = None) -> Task:
        return Task(
            id=f"{task_id}-00000000-0000-0000-0000",
            workflow_id=f"workflow-{task_id}-00000000-0000-0000",
            workflow="bench",
            reference_name="wait_ref",
            matches={"$.event.kind": kind, "$.event.user.id": user},
            scheduled_at=self.now - 60_000 if scheduled_at is None else scheduled_at,
        )

    def _event(self, kind: str, user: int) -> NewEvent:
        payload = json.dumps({"event": {"kind": kind, "user": {"id": user}}, "text": "x" * 500})
        return NewEvent(new_event_id(), "bench", self.now, payload, {}, {}, self.now + 3_600_000)

    def _arrive(self, event: NewEvent) -> None:
        self.store.deliveries.append([event])
        events = self.store.decisions.agenda(10).undecided
        self._after_a_scan(events)

    def _come(self, task: Task) -> None:
        self.decider.add_tasks(self.store.tasks.adopt(TERM, [task], self.now))
        self._after_a_scan([])

    def _after_a_scan(self, events: Sequence[Event]) -> None:
        """Decides these events, when every waiting task is known."""
        began = self.now + 1
        barrier = Barrier()
        barrier.drained(began)
        self.decider.decide(TERM, Request(events, [], began, began, 32, barrier))

    def event_of_a_task(self, index: int) -> None:
        """An event that one of the waiting tasks takes."""
        self._arrive(self._event("waits", index % FEW))

    def event_of_no_task(self, index: int) -> None:
        """An event that is held."""
        self._arrive(self._event("nothing", index))

    def task_of_an_event(self, index: int) -> None:
        """A task that takes one of the held events."""
        self._come(self._task(f"new-{index}", "held", index % FEW, self.now + 1))

    def task_of_no_event(self, index: int) -> None:
        """A task that waits."""
        self._come(self._task(f"none-{index}", "other", index, self.now + 1))


def _pages(items: list[Item], size: int) -> Iterator[list[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
