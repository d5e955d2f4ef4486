"""Waiting tasks are found by the queue and by the index, and ended ones are noticed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from events.event import Task
from worker.clock import ServerClock
from worker.conductor import ConductorError, OutcomeUnknown, TaskStatus, Unreachable
from worker.sweep import Discovery, Sweeper


def task(task_id: str, found_by: Any = "queue") -> Task:
    return Task(task_id, "workflow", "flow", "ref", {}, 0, found_by=found_by)


class Server:
    """Answers as it is told, and counts what it is asked."""

    def __init__(self) -> None:
        self.clock = ServerClock()
        self.queues: dict[str | None, list[list[Task] | ConductorError]] = {}
        self.index: list[Task] = []
        self.index_error: ConductorError | None = None
        self.searches: list[int] = []
        self.ended: set[str] = set()
        self.statuses: dict[str, TaskStatus | None] = {}
        self.asked: list[str] = []

    def poll(self, worker_id: str, domain: str | None = None) -> list[Task]:
        answers = self.queues.get(domain) or [[]]
        answer = answers.pop(0)
        if isinstance(answer, ConductorError):
            raise answer
        return answer

    def waiting_since(self, start: int) -> Iterator[list[Task]]:
        self.searches.append(start)
        if self.index_error is not None:
            raise self.index_error
        yield self.index

    def ended_since(self, end: int) -> set[str]:
        if self.index_error is not None:
            raise self.index_error
        return self.ended

    def task(self, task_id: str) -> TaskStatus | None:
        self.asked.append(task_id)
        return self.statuses.get(task_id, TaskStatus(False, None))


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def found() -> list[str]:
    return []


@pytest.fixture
def sweeper(server: Server, found: list[str]) -> Sweeper:
    return Sweeper(server, "worker", ("eu",), lambda page: found.extend(one.id for one in page))  # type: ignore[arg-type]


def test_a_sweep_polls_every_queue_until_it_is_empty(server: Server, sweeper: Sweeper, found: list[str]) -> None:
    server.queues = {None: [[task("a")], [task("b")], []], "eu": [[task("c")], []]}
    sweeper.sweep()
    assert found == ["a", "b", "c"]
    assert server.queues == {None: [], "eu": []}


def test_the_first_sweep_reads_the_whole_index_and_the_next_ones_do_without(server: Server, sweeper: Sweeper) -> None:
    sweeper.sweep()
    sweeper.sweep()
    assert server.searches == [0]


def test_once_the_index_alone_knew_a_task_every_sweep_searches_what_is_new(server: Server, sweeper: Sweeper) -> None:
    sweeper.sweep()
    sweeper.by_index_alone = True
    sweeper.sweep()
    assert len(server.searches) == 2
    assert server.searches[1] > 0


def test_overlapping_searches_bring_a_task_once(server: Server, sweeper: Sweeper, found: list[str]) -> None:
    sweeper.by_index_alone = True
    server.index = [task("a", "index")]
    sweeper.sweep()
    server.index = [task("a", "index"), task("b", "index")]
    sweeper.sweep()
    assert found == ["a", "b"]


def test_after_a_poll_whose_answer_is_lost_the_index_is_searched(server: Server, sweeper: Sweeper) -> None:
    sweeper.sweep()
    server.queues = {None: [OutcomeUnknown("broke off")]}
    with pytest.raises(OutcomeUnknown):
        sweeper.sweep()
    sweeper.sweep()
    assert len(server.searches) == 2


def test_a_poll_that_was_never_sent_loses_nothing(server: Server, sweeper: Sweeper) -> None:
    sweeper.sweep()
    server.queues = {None: [Unreachable("no connection")]}
    with pytest.raises(Unreachable):
        sweeper.sweep()
    sweeper.sweep()
    assert len(server.searches) == 1


def test_without_an_index_the_queue_must_do_after_a_few_chances(server: Server, sweeper: Sweeper) -> None:
    server.index_error = OutcomeUnknown("500")
    for _ in range(2):
        with pytest.raises(ConductorError):
            sweeper.sweep()
    sweeper.sweep()


def test_where_the_index_is_needed_no_sweep_is_complete_without_it(server: Server, sweeper: Sweeper) -> None:
    sweeper.by_index_alone = True
    server.index_error = OutcomeUnknown("500")
    for _ in range(10):
        with pytest.raises(ConductorError):
            sweeper.sweep()


@pytest.fixture
def gone() -> list[str]:
    return []


@pytest.fixture
def discovery(server: Server, found: list[str], gone: list[str]) -> Discovery:
    return Discovery(server, lambda page: found.extend(one.id for one in page), gone.extend)  # type: ignore[arg-type]


def test_discovery_finds_tasks_and_drops_those_that_the_index_knows_as_ended(
    server: Server, discovery: Discovery, found: list[str], gone: list[str]
) -> None:
    server.index = [task("new", "index")]
    server.ended = {"over", "of somebody else"}
    discovery.run(1, ["over", "waits"])
    assert found == ["new"]
    assert gone == ["over"]
    assert server.asked == ["waits"]


def test_discovery_asks_for_every_waiting_task_in_turn(server: Server, discovery: Discovery, gone: list[str]) -> None:
    waiting = [f"task-{number:03}" for number in range(120)]
    server.statuses = {"task-007": TaskStatus(True, "x"), "task-110": None}
    for _ in range(3):
        discovery.run(1, waiting)
    assert sorted(set(server.asked)) == waiting
    assert gone == ["task-007", "task-110"]


def test_discovery_asks_one_by_one_even_while_the_index_is_broken(
    server: Server, discovery: Discovery, gone: list[str]
) -> None:
    server.index_error = OutcomeUnknown("500")
    server.statuses = {"over": TaskStatus(True, None)}
    with pytest.raises(ConductorError):
        discovery.run(1, ["over", "waits"])
    assert gone == ["over"]
