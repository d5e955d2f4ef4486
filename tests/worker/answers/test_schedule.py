"""Which workflow is polled next: played against a server that takes its time, without one."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from worker.answers.schedule import POLLS, READS, Poll, Schedule

FOREVER = 1e9


@dataclass
class Server:
    """Answers polls after some time, by a clock of its own."""

    schedule: Schedule = field(default_factory=Schedule)
    now: float = 0.0
    ended: set[str] = field(default_factory=set)
    read_takes: float = 0.003
    list_takes: Callable[[str], float] = lambda flow: 0.003
    running: Callable[[str, set[str]], set[str] | None] | None = None
    """What a list contains instead of the truth, given that; None if it can't be had."""
    sick: dict[str, str] = field(default_factory=dict)
    """Workflow → `failed`, `gone` or `unreachable`."""
    away: bool = False
    polls: list[Poll] = field(default_factory=list)
    answered: dict[str, float] = field(default_factory=dict)
    """Event → when it was known that its workflow had ended."""
    _going: list[tuple[float, int, Poll]] = field(default_factory=list)
    _workflows: dict[str, set[str]] = field(default_factory=dict)

    def watch(self, workflow: str, workflow_id: str, event: str | None = None, until: float = FOREVER) -> None:
        self._workflows.setdefault(workflow, set()).add(workflow_id)
        self.schedule.add(workflow, workflow_id, event or workflow_id, until, self.now)

    def run(self, seconds: float) -> None:
        """Lets time pass."""
        end = self.now + seconds
        while True:
            self.schedule.expire(self.now)
            while (poll := self.schedule.next(self.now)) is not None:
                self.polls.append(poll)
                takes = self.list_takes(poll.flow) if poll.read is None else self.read_takes
                heapq.heappush(self._going, (self.now + takes, len(self.polls), poll))
            assert len(self._going) <= POLLS + READS
            ends = self._going[0][0] if self._going else float("inf")
            at = min(self.now + self.schedule.due_in(self.now), ends)
            if at >= end:
                self.now = end
                return
            assert at > self.now or ends <= self.now, "it must not spin"
            self.now = at
            while self._going and self._going[0][0] <= self.now:
                self._answer(heapq.heappop(self._going)[2])

    def _answer(self, poll: Poll) -> None:
        if self.away:
            self.schedule.unreachable(poll, self.now)
        elif poll.read is None:
            running = self._workflows[poll.flow] - self.ended
            self.schedule.listed(poll, self.running(poll.flow, running) if self.running else running, self.now)
        else:
            id_ = poll.read.id
            found = self.sick.get(id_) or ("ended" if id_ in self.ended else "running")
            for event in self.schedule.was_read(poll, found, self.now):  # type: ignore[arg-type]
                self.answered[event] = self.now

    def busy(self, since: int = 0, urgent: bool = False) -> float:
        """Seconds that the polls took together."""
        return sum(
            self.list_takes(poll.flow) if poll.read is None else self.read_takes
            for poll in self.polls[since:]
            if urgent or poll.kind == "regular"
        )

    def delay(self, *ids: str) -> float:
        """The longest time from now until it's known that these, which end now, have ended."""
        began = self.now
        self.ended |= set(ids)
        self.run(30)
        return max(self.answered[id_] - began for id_ in ids)


@pytest.fixture
def server() -> Server:
    return Server()


def ids(count: int, name: str = "w") -> list[str]:
    return [f"{name}{number}" for number in range(count)]


# --- how soon


@pytest.mark.parametrize("age", [0.0, 0.5, 5.0, 15.0])
def test_the_end_of_a_single_workflow_is_noticed_within_25_ms(server: Server, age: float) -> None:
    server.watch("flow", "w")
    server.run(age)
    assert server.delay("w") <= 0.025


@pytest.mark.parametrize("age", [0.1, 5.0, 50.0])
def test_the_ends_of_a_hundred_workflows_are_noticed_one_by_one_within_40_ms(server: Server, age: float) -> None:
    for id_ in ids(110):
        server.watch("flow", id_)
    server.run(age)
    delays = []
    for id_ in ids(100):
        server.ended.add(id_)
        began = server.now
        server.run(0.05)
        delays.append(server.answered[id_] - began)
    assert max(delays) <= 0.04


def test_the_ends_of_a_hundred_workflows_at_once_are_noticed_within_a_tenth_of_a_second(server: Server) -> None:
    for id_ in ids(100):
        server.watch("flow", id_)
    server.run(1)
    assert server.delay(*ids(100)) <= 0.1


def test_a_workflow_that_has_ended_before_it_is_watched_is_read_at_once(server: Server) -> None:
    server.ended.add("w")
    server.watch("flow", "w")
    assert server.delay("w") <= 0.004
    assert len(server.polls) == 1


# --- what it costs


def test_a_hundred_workflows_of_one_name_take_one_request_every_20_ms(server: Server) -> None:
    for id_ in ids(100):
        server.watch("flow", id_)
    server.run(10)
    lists = Counter(poll.read is None for poll in server.polls)
    assert 400 <= lists[True] <= 500
    assert lists[False] <= 250, "read all the same, rarely"


@pytest.mark.parametrize("count", [1, 3, 300])
@pytest.mark.parametrize("slower", [1, 10, 100])
def test_looks_take_at_most_half_of_the_time(server: Server, count: int, slower: int) -> None:
    server.read_takes *= slower
    server.list_takes = lambda flow: 0.003 * slower
    for id_ in ids(count):
        server.watch("flow", id_)
    server.run(30)
    assert server.busy() <= 0.52 * 30
    other = Server(read_takes=0.003 * slower, list_takes=server.list_takes)
    for number in range(20):
        for id_ in ids(count, f"{number}."):
            other.watch(f"flow{number}", id_)
    other.run(30)
    assert other.busy() <= 0.52 * 30


def test_where_very_many_run_a_few_are_read_instead_of_listed(server: Server) -> None:
    server.list_takes = lambda flow: 0.5
    for id_ in ids(4):
        server.watch("flow", id_)
    server.run(2)
    before = len(server.polls)
    server.run(10)
    kinds = Counter(poll.read is None for poll in server.polls[before:])
    assert kinds[True] <= 3, "tried again now and then"
    assert kinds[False] >= 200


# --- fairness


def test_thousands_of_slow_workflows_of_one_name_dont_delay_another_names(server: Server) -> None:
    server.running = lambda flow, running: None  # not even with reads alone
    for id_ in ids(3000, "slow"):
        server.watch("slow", id_)
    server.run(20)
    server.watch("fast", "f")
    server.run(0.1)
    assert server.delay("f") <= 0.05


def test_thousands_of_slow_workflows_dont_delay_young_ones_of_the_same_name_for_long(server: Server) -> None:
    server.running = lambda flow, running: None
    for id_ in ids(3000, "slow"):
        server.watch("flow", id_)
    server.run(40)
    server.watch("flow", "young")
    server.run(0.2)
    assert server.delay("young") <= 0.5


def test_a_hundred_names_with_slow_workflows_dont_delay_a_young_one_for_long(server: Server) -> None:
    for number in range(100):
        server.watch(f"slow{number}", f"w{number}")
    server.run(20)
    server.watch("fast", "f")
    server.run(0.1)
    assert server.delay("f") <= 0.1


def test_thousands_of_workflows_that_end_at_once_dont_delay_another_name(server: Server) -> None:
    for id_ in ids(3000, "many"):
        server.watch("many", id_)
    for id_ in ids(2, "few"):
        server.watch("few", id_)
    server.run(1)
    server.ended |= set(ids(3000, "many"))
    server.run(0.1)
    assert server.delay(*ids(2, "few")) <= 0.1


# --- what lists say is no proof


def test_a_workflow_that_a_list_leaves_out_although_it_runs_isnt_answered(server: Server) -> None:
    server.running = lambda flow, running: set()
    for id_ in ids(10):
        server.watch("flow", id_)
    server.run(10)
    assert not server.answered
    kinds = Counter(poll.read is None for poll in server.polls)
    assert kinds[True] <= 3, "such lists aren't used for a while"
    assert server.delay("w3") <= 0.3


def test_a_workflow_that_a_list_contains_although_it_has_ended_is_noticed_in_the_end(server: Server) -> None:
    server.running = lambda flow, running: set(ids(10))
    for id_ in ids(10):
        server.watch("flow", id_)
    server.run(1)
    assert server.delay("w3") <= 6


def test_a_workflow_that_began_to_be_watched_while_a_list_was_read_isnt_taken_for_ended(server: Server) -> None:
    for id_ in ids(5):
        server.watch("flow", id_)
    server.run(1)
    server.list_takes = lambda flow: 0.1
    before = len(server.polls)
    while all(poll.read is not None for poll in server.polls[before:]):
        server.run(0.005)
    server.running = lambda flow, running: running - {"late"}
    server.watch("flow", "late")
    began = len(server.polls)
    server.run(0.11)
    assert not [poll for poll in server.polls[began:] if poll.kind == "urgent"]


# --- what fails


def test_a_single_list_that_fails_delays_little(server: Server) -> None:
    for id_ in ids(100):
        server.watch("flow", id_)
    server.run(3)
    failures = iter([None])
    server.running = lambda flow, running: next(failures, running)
    server.run(0.03)
    assert server.delay("w77") <= 0.35


def test_lists_that_always_fail_are_tried_ever_more_rarely(server: Server) -> None:
    server.running = lambda flow, running: None
    for id_ in ids(100):
        server.watch("flow", id_)
    server.run(60)
    assert sum(poll.read is None for poll in server.polls) <= 20


def test_workflows_that_cant_be_read_hold_up_no_others(server: Server) -> None:
    server.running = lambda flow, running: None
    server.sick = dict.fromkeys(ids(20, "sick"), "failed")
    for id_ in [*server.sick, *ids(5)]:
        server.watch("flow", id_)
    server.run(5)
    before = len(server.polls)
    assert server.delay(*ids(5)) <= 0.3
    assert sum(poll.kind == "suspect" for poll in server.polls[before:]) <= 20 * 12, "ever more rarely"
    server.sick.clear()
    assert server.delay(*ids(20, "sick")) <= 12


def test_a_workflow_is_gone_only_if_conductor_says_so_time_and_again(server: Server) -> None:
    for id_ in ("w", "v"):
        server.watch("flow", id_)
    server.run(1)
    server.sick = {"w": "gone"}
    server.ended = {"w"}
    server.run(0.3)
    assert "w" not in server.answered
    server.run(5)
    assert list(server.answered) == ["w"]


def test_while_conductor_is_away_one_look_at_a_time_checks_whether_it_is_back(server: Server) -> None:
    for number in range(50):
        for id_ in ids(10, f"{number}."):
            server.watch(f"flow{number}", id_)
    server.run(1)
    server.away = True
    server.run(1)
    before = len(server.polls)
    server.run(60)
    assert len(server.polls) - before <= 40
    server.away = False
    assert server.delay("7.3") <= 3


# --- events


def test_a_workflows_end_answers_all_events_that_wait_for_it(server: Server) -> None:
    for event in ids(20, "e"):
        server.watch("flow", "w", event)
    server.ended.add("w")
    server.run(1)
    assert set(server.answered) == set(ids(20, "e"))
    assert len(server.schedule) == 0
    assert len(server.polls) == 1


def test_nothing_is_looked_at_any_more_once_nobody_waits(server: Server) -> None:
    for id_ in ids(1000):
        server.watch("flow", id_, until=5)
    server.schedule.extend("w7", 8)
    server.run(5.1)
    assert len(server.schedule) == 1
    server.run(3)
    assert len(server.schedule) == 0
    before = len(server.polls)
    server.run(60)
    assert len(server.polls) == before
    assert server.schedule.due_in(server.now) == float("inf")


def test_ten_thousand_waiting_events_cost_no_more_than_their_share(server: Server) -> None:
    server.list_takes = lambda flow: 0.04
    for id_ in ids(10_000):
        server.watch("flow", id_)
    server.run(10)
    assert server.busy() <= 0.52 * 10
    assert server.delay("w77") <= 0.6
