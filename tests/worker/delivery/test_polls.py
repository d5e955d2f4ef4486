"""What Conductor is asked, and how soon an end is noticed: played against a server that takes its
time, without one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import pytest

from store.answers import AnsweringWorkflow
from tests.support.clock import Clock
from tests.support.simulated import failed, forbidden
from worker.conductor.errors import NotFound, Unreachable
from worker.conductor.responses import End
from worker.delivery.polls import EVERY, Polls


class Serial(Executor):
    """One after the other."""

    def map(self, fn: Callable[..., Any], *iterables: Iterable[Any], **_: Any) -> Iterator[Any]:
        return map(fn, *iterables)


@dataclass
class Server(Clock):
    """Implements what polls need of Conductor; each request moves the clock."""

    read_takes: float = 0.003
    list_takes: float = 0.004
    workflows: set[AnsweringWorkflow] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    wrong: dict[str, Callable[[], Exception]] = field(default_factory=dict)
    """Workflow, or its name for the list → what asking for it raises."""
    listed: Callable[[set[str]], set[str]] = lambda running: running
    """What a list contains instead of the truth."""
    requests: list[str] = field(default_factory=list)
    busy: float = 0.0
    noticed: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.polls = Polls(self, self, Serial())  # type: ignore[arg-type]

    def within(self, _seconds: float) -> Server:
        return self

    def running(self, name: str) -> set[str]:
        self._request(name, self.list_takes)
        return self.listed(
            {one.workflow_id for one in self.workflows if one.workflow == name} - self.ended
        )

    def outcome(self, workflow_id: str) -> End | None:
        self._request(workflow_id, self.read_takes)
        return End("COMPLETED", {}, None) if workflow_id in self.ended else None

    def _request(self, what: str, takes: float) -> None:
        self.requests.append(what)
        self.seconds += takes
        if what not in self.ended:
            self.busy += takes
        if what in self.wrong:
            raise self.wrong[what]()

    def watch(self, *names: str, count: int = 1) -> list[str]:
        """So many workflows of each name; their ids."""
        new = [
            AnsweringWorkflow(name, f"{name}-{number}") for name in names for number in range(count)
        ]
        self.workflows |= set(new)
        self.polls.watch(self.workflows)
        return [one.workflow_id for one in new]

    def run(self, seconds: float) -> None:
        end = self.seconds + seconds
        while self.seconds < end:
            for found in self.polls.turn():
                self.noticed.setdefault(found, self.seconds)
                self.workflows = {one for one in self.workflows if one.workflow_id != found}
                self.polls.watch(self.workflows)
            self.seconds = min(end, max(self.seconds, self.polls.due_at()))

    def lateness(self, *ids: str) -> float:
        """Seconds until all of these, which end now, are known to have ended."""
        began = self.seconds
        self.ended |= set(ids)
        self.run(30)
        return max(self.noticed[one] for one in ids) - began


@pytest.fixture
def server() -> Server:
    return Server()


def names(count: int) -> list[str]:
    return [f"flow{number}" for number in range(count)]


@pytest.mark.parametrize(
    ("count", "of_each", "within"), [(1, 1, 0.07), (1, 200, 0.1), (20, 10, 0.4), (200, 1, 1.3)]
)
def test_an_end_is_noticed_within_a_second_or_so_with_200_waiting(
    server: Server, count: int, of_each: int, within: float
) -> None:
    *_, last = server.watch(*names(count), count=of_each)
    server.run(5)
    assert server.lateness(last) <= within


def test_the_ends_of_200_workflows_at_once_are_noticed_within_a_second(server: Server) -> None:
    ids = server.watch("flow", count=200)
    server.run(1)
    assert server.lateness(*ids) <= 1


@pytest.mark.parametrize("slower", [1, 10, 100])
@pytest.mark.parametrize(("count", "of_each"), [(1, 1000), (300, 1), (10, 50)])
def test_polls_take_at_most_half_of_the_time(
    server: Server, count: int, of_each: int, slower: int
) -> None:
    server.read_takes *= slower
    server.list_takes *= slower
    server.watch(*names(count), count=of_each)
    server.run(1)
    before, began = server.busy, server.seconds
    server.run(60)
    assert server.busy - before <= 0.55 * (server.seconds - began)


@pytest.mark.parametrize("do_end", [False, True])
def test_thousands_of_workflows_of_one_name_dont_delay_another(
    server: Server, do_end: bool
) -> None:
    crowd = server.watch("crowd", count=5000)
    [other] = server.watch("other")
    server.run(3)
    server.ended |= set(crowd) if do_end else set()
    assert server.lateness(other) < 0.3


def test_a_workflow_that_a_list_leaves_out_although_it_runs_has_not_ended(server: Server) -> None:
    ids = server.watch("flow", count=30)
    server.listed = lambda running: set()
    server.run(5)
    assert not server.noticed
    assert server.lateness(ids[7]) < 1


def test_a_workflow_that_a_list_contains_although_it_has_ended_is_noticed_in_the_end(
    server: Server,
) -> None:
    ids = server.watch("flow", count=30)
    server.listed = lambda running: set(ids)
    server.run(1)
    assert server.lateness(ids[7]) < 30 * 2 * EVERY


def test_lists_that_fail_or_cost_more_than_reads_are_asked_for_rarely(server: Server) -> None:
    ids = server.watch("flow", count=3)
    server.list_takes = 0.3
    server.run(60)
    assert 2 < server.requests.count("flow") < 13
    server.wrong["flow"] = forbidden
    assert server.lateness(ids[0]) < 0.7


def test_workflows_that_cant_be_read_hold_up_no_others(server: Server) -> None:
    for id_ in server.watch(*names(50)):
        server.wrong[id_] = lambda: failed(500)
    [other] = server.watch("other")
    server.run(20)
    assert server.lateness(other) < 0.3


def test_a_workflow_is_gone_only_if_conductor_says_so_time_and_again(server: Server) -> None:
    [id_] = server.watch("flow")
    server.wrong[id_] = lambda: NotFound("no", 404)
    server.run(0.2)
    assert not server.noticed
    server.run(3)
    assert server.noticed


def test_while_conductor_is_away_each_workflow_is_read_ever_more_rarely(server: Server) -> None:
    ids = server.watch(*names(20), count=20)
    server.wrong = {what: lambda: Unreachable("away") for what in (*ids, *names(20))}
    server.run(20)
    before = len(server.requests)
    server.run(20)
    assert len(server.requests) - before <= 20 * len(ids) / 3 + 20 * 5
    server.wrong.clear()
    assert server.lateness(ids[5]) < 6
