"""Response time-outs: put off in time, and never beside a completion of the same task."""

from __future__ import annotations

import threading
from collections.abc import Container, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from worker.decision.matching import TaskIndex, WaitingTask

from store.records import Target, Task, Term
from tests.support.clock import Clock
from tests.worker.play import Later
from tools.servers import PATIENCE, eventually
from worker.conductor.errors import ConductorError, OutcomeUnknown, Unreachable
from worker.leader import task_timeouts
from worker.leader.heartbeat import Heartbeat
from worker.leader.task_timeouts import TaskTimeouts


def task(name: str, response_timeout: int = 30) -> WaitingTask:
    return WaitingTask(record(name, response_timeout), None)


def record(name: str, response_timeout: int = 30) -> Task:
    return Task(name, f"workflow of {name}", "flow", "wait", {}, 0, response_timeout)


class Server:
    """Remembers what was extended; can be slow, and away."""

    timeout = 10.0

    def __init__(self) -> None:
        self.extended: list[str] = []
        self.patience: list[float] = []
        self.begun = threading.Event()
        self.hangs: dict[str, threading.Event] = {}
        self.error: ConductorError | None = None

    def within(self, seconds: float) -> Server:
        self.patience.append(seconds)
        return self

    def extend_lease(self, task_id: str, workflow_id: str, not_after: float) -> None:
        self.begun.set()
        if task_id in self.hangs:
            self.hangs[task_id].wait(60)
        if self.error:
            raise self.error
        self.extended.append(task_id)


HEARTBEAT = Heartbeat(None, Term("me"))  # type: ignore[arg-type]

TARGET = Target(
    id=7,
    event_id="event",
    kind="complete",
    workflow="flow",
    workflow_id="w",
    task_id="t",
    reference_name="wait",
    version=None,
    correlation_id=None,
    state="pending",
    attempts=1,
    error=None,
    claimed_by="other",
    claimed_at=5,
    due_at=111,
    created_at=0,
    settled_at=None,
)


class Store:
    """Completions that others may be making."""

    def __init__(self) -> None:
        self.clock = 1_000_000
        self.taken: dict[str, Task] = {}
        self.claimed: set[str] = set()
        self.given_back: list[tuple[str | None, int]] = []
        self.free_before: list[int] = []
        self.tasks = self.claims = self

    def now(self) -> int:
        return self.clock

    def taken_in_time(self, after: str, limit: int) -> list[Task]:
        return [found for name, found in sorted(self.taken.items()) if name > after][:1]

    def claim_completion(
        self, worker: str, task_id: str, now: int, free_before: int
    ) -> Target | str:
        assert worker != "me", "the executor may give a claim of its own back twice"
        self.free_before.append(free_before)
        if task_id not in self.taken:
            return "over"
        if task_id in self.claimed:
            return "in flight"
        self.claimed.add(task_id)
        return replace(TARGET, task_id=task_id)

    def give_back(self, worker: str, targets: list[Target], due_at: int) -> None:
        [target] = targets
        assert target.task_id is not None
        self.claimed.discard(target.task_id)
        self.given_back.append((target.task_id, due_at))


def extend(
    timeouts: TaskTimeouts,
    new: Iterable[WaitingTask],
    waiting: Container[str],
    receivers: Container[str] = ("flow",),
    heartbeat: Heartbeat = HEARTBEAT,
) -> None:
    for one in new:
        timeouts.add(one)
    timeouts.extend(waiting, receivers, heartbeat)


class Bench:
    """Time-outs whose threads the test runs, or real ones."""

    def __init__(self) -> None:
        self.server: Any = Server()
        self.store: Any = Store()
        self.pool = Later()
        self.clock = Clock(1000.0)
        self.timeouts = self.another()

    def another(self, patience: float = task_timeouts.PATIENCE) -> TaskTimeouts:
        return TaskTimeouts(self.server, self.store, "me", self.pool, patience, self.clock)

    def extend(self, *tasks: WaitingTask) -> list[str]:
        """One look; what was extended."""
        extend(self.timeouts, tasks, {one.id for one in tasks})
        self.pool.run_all()
        extended, self.server.extended = self.server.extended, []
        return list(extended)


@pytest.fixture
def bench() -> Bench:
    return Bench()


# --- waiting tasks ---


def test_a_workflow_that_becomes_a_receiver_has_its_tasks_extended_at_once(bench: Bench) -> None:
    """However its definition was added, or has come back, a moment before their time is over."""
    extend(bench.timeouts, [task("t")], {"t"}, ())
    bench.clock.seconds += 19
    extend(bench.timeouts, [], {"t"}, ())
    bench.clock.seconds += 9
    extend(bench.timeouts, [], {"t"})
    bench.pool.run_all()
    assert bench.server.extended == ["t"]


@pytest.mark.parametrize("response_timeout", [2, 5, 30, 300])
def test_four_short_absences_of_conductor_end_no_wait(bench: Bench, response_timeout: int) -> None:
    """Each begins as the time-out is to be put off, and lasts 0.9 s: the next try after it is in
    time."""
    last, ticks = 1000.0, int(response_timeout / 0.2) * 6
    away_until, absences, begun = 0.0, 0, 0.0
    for tick in range(ticks):
        bench.clock.seconds = at = 1000.0 + 0.2 * tick
        due = at >= last + response_timeout / 3
        if due and absences < 4 and begun != last:
            absences, away_until, begun = absences + 1, at + 0.9, last
        bench.server.error = Unreachable("no connection") if at < away_until else None
        if bench.extend(task("t", response_timeout)):
            last = at
        assert at - last < response_timeout, "Conductor has timed the task out"
    assert absences == 4


def test_what_does_not_wait_any_more_is_not_extended(bench: Bench) -> None:
    extend(bench.timeouts, [task("gone"), task("waits")], {"waits"})
    bench.pool.run_all()
    assert bench.server.extended == ["waits"]


def test_a_look_that_a_term_has_left_over_forgets_no_task_of_the_next_one(bench: Bench) -> None:
    over = Heartbeat(None, Term("me"))  # type: ignore[arg-type]
    over.over = True
    extend(bench.timeouts, [task("t")], {"t"}, heartbeat=over)
    extend(bench.timeouts, [], {"t"})
    bench.pool.run_all()
    assert bench.server.extended == ["t"]


def test_short_time_outs_wait_for_none_of_many_long_ones(bench: Bench) -> None:
    many = [task(f"t{number:03}", 3600) for number in range(300)]
    extended = bench.extend(*many, task("short", 5))
    assert "short" in extended[:2]
    assert len(extended) == 128


def test_extensions_that_hang_hold_up_no_other() -> None:
    server: Any = Server()
    go_on = threading.Event()
    sick = [task(f"sick{number}") for number in range(40)]
    well = [task(f"well{number}") for number in range(20)]
    waiting = {one.id for one in (*sick, *well)}
    server.hangs = dict.fromkeys((one.id for one in sick), go_on)
    server.error = OutcomeUnknown("timed out")
    pool = ThreadPoolExecutor(16)
    clock = Clock(1000.0)
    timeouts = TaskTimeouts(server, Store(), "me", pool, clock=clock)  # type: ignore[arg-type]
    go_on.set()
    extend(timeouts, sick, waiting)
    eventually(lambda: not timeouts._running)
    go_on.clear()  # from now on it is known that they fail, and they hang
    server.error = None
    clock.seconds = 1010.0
    extend(timeouts, sick, waiting)
    extend(timeouts, [*sick, *well], waiting)
    eventually(lambda: len([name for name in server.extended if name.startswith("well")]) == 20)
    go_on.set()
    pool.shutdown()


def test_the_request_leaves_while_this_worker_decides_for_certain(bench: Bench) -> None:
    limits: list[float] = []
    bench.server.extend_lease = lambda task_id, workflow_id, not_after: limits.append(not_after)
    extend(
        bench.timeouts,
        [task("t")],
        {"t"},
        heartbeat=Heartbeat(bench.store, Term("me"), Clock(71.0)),
    )
    bench.pool.run_all()
    assert limits == [77.0]


# --- decisions ---


def test_a_task_is_given_to_an_event_only_after_its_extension_has_ended(bench: Bench) -> None:
    bench.timeouts = bench.another(patience=60)
    bench.server.hangs["t"] = threading.Event()
    extend(bench.timeouts, [task("t")], {"t"})
    extender = threading.Thread(target=bench.pool.run_all)
    extender.start()
    assert bench.server.begun.wait(PATIENCE)
    with bench.timeouts.suspended([task("another")]) as not_before:
        assert not_before == {}, "others needn't wait"
    release = threading.Timer(0.05, bench.server.hangs["t"].set)
    release.start()
    with bench.timeouts.suspended([task("t")]) as not_before:
        assert bench.server.extended == ["t"]
        assert not_before == {}
    extender.join()


def test_the_completion_of_a_task_whose_extension_hangs_waits_until_that_has_no_effect(
    bench: Bench,
) -> None:
    bench.server.hangs["t"] = threading.Event()
    extend(bench.timeouts, [task("t")], {"t"})
    extender = threading.Thread(target=bench.pool.run_all)
    extender.start()
    assert bench.server.begun.wait(PATIENCE)
    with bench.timeouts.suspended([task("t"), task("u")]) as not_before:
        assert list(not_before) == ["t"], "the decision doesn't wait for it"
    assert not_before["t"] > bench.store.now() + 10_000
    bench.server.error = OutcomeUnknown("timed out")
    bench.server.hangs["t"].set()
    extender.join()
    with bench.timeouts.suspended([task("t")]) as not_before:
        assert not_before["t"] > bench.store.now() + 5_000, (
            "what was lost on its way may still take effect"
        )


def test_a_completion_waits_for_a_hanging_extension_only_as_long_as_a_call_may_take(
    bench: Bench,
) -> None:
    bench.server.hangs["t"] = threading.Event()
    extend(bench.timeouts, [task("t", response_timeout=3600)], {"t"})
    extender = threading.Thread(target=bench.pool.run_all)
    extender.start()
    assert bench.server.begun.wait(PATIENCE)
    with bench.timeouts.suspended([task("t", response_timeout=3600)]) as not_before:
        assert bench.store.now() + 19_000 < not_before["t"] <= bench.store.now() + 21_000
    bench.server.hangs["t"].set()
    extender.join()


def test_a_task_that_is_being_given_to_an_event_is_not_extended(bench: Bench) -> None:
    with bench.timeouts.suspended([task("t")]):
        assert bench.extend(task("t"), task("u")) == ["u"]


# --- taken tasks ---


def test_a_taken_task_is_put_off_until_its_completion_is_recorded(bench: Bench) -> None:
    with bench.timeouts.suspended([task("t")]):
        bench.store.taken["t"] = record("t")
    times = []
    for second in range(40):
        bench.clock.seconds = 1000.0 + second
        if bench.extend():
            times.append(second)
    assert times == [10, 20, 30]
    assert set(bench.store.given_back) == {("t", 111)}, "it is due when it was"
    assert bench.store.free_before[0] == bench.store.now() - 13_000
    del bench.store.taken["t"]
    for second in range(40, 80):
        bench.clock.seconds = 1000.0 + second
        assert bench.extend() == []
    assert bench.timeouts._timers == {}


def test_a_task_that_waits_again_is_no_taken_one_any_more(bench: Bench) -> None:
    with bench.timeouts.suspended([task("t"), task("u")]):
        bench.store.taken["t"] = record("t")
    bench.clock.seconds = 1010.0
    extend(bench.timeouts, [], {"u"}, set())  # of no receiver's workflow now
    bench.pool.run_all()
    assert bench.server.extended == ["t"]
    assert [name for name, timer in bench.timeouts._timers.items() if timer.taken] == ["t"]


def test_a_task_whose_completion_is_being_made_is_not_put_off(bench: Bench) -> None:
    with bench.timeouts.suspended([task("t")]):
        bench.store.taken["t"] = record("t")
    bench.store.claimed.add("t")
    bench.clock.seconds = 1010.0
    assert bench.extend() == []
    bench.store.claimed.clear()  # it is to be tried again
    bench.clock.seconds = 1012.0
    assert bench.extend() == ["t"]


def test_a_completion_waits_until_a_lost_extension_has_no_effect_any_more(bench: Bench) -> None:
    with bench.timeouts.suspended([task("t")]):
        bench.store.taken["t"] = record("t")
    bench.server.error = OutcomeUnknown("timed out")
    bench.clock.seconds = 1010.0
    bench.extend()
    assert bench.store.given_back == [("t", bench.store.now() + 10_000)]


def test_a_thread_that_is_held_up_before_it_locks_a_completion_has_no_more_time_for_its_request(
    bench: Bench,
) -> None:
    bench.store.taken["t"] = record("t")
    bench.timeouts.load()
    limits: list[float] = []
    bench.server.extend_lease = lambda task_id, workflow_id, not_after: limits.append(not_after)

    def held_up() -> int:
        bench.clock.seconds += 20
        return 1_000_000

    bench.store.now = held_up
    bench.extend()
    assert limits == [1002.0]


def test_tasks_that_were_taken_before_this_worker_decides_are_put_off(bench: Bench) -> None:
    bench.store.taken |= {name: record(name) for name in ("a", "b", "c")}
    bench.timeouts.load()
    assert sorted(bench.extend()) == ["a", "b", "c"]
    assert bench.timeouts.finish()
    assert bench.extend() == []


def test_a_decision_that_was_not_written_takes_nothing(bench: Bench) -> None:
    with pytest.raises(ZeroDivisionError), bench.timeouts.suspended([task("t")]):
        raise ZeroDivisionError
    assert bench.extend() == []
    assert bench.extend(task("t")) == ["t"]


@pytest.mark.parametrize("seed", range(5))
def test_no_time_out_runs_out_whatever_is_found_taken_dropped_and_returned(
    bench: Bench, seed: int
) -> None:
    random, index = Random(seed), TaskIndex()
    known: dict[str, WaitingTask] = {}
    extended_at: dict[str, float] = {}

    def take(name: str) -> None:
        with suppress(ZeroDivisionError), bench.timeouts.suspended([known[name]]):
            if random.random() < 0.2:
                raise ZeroDivisionError
            index.remove(name)
            bench.store.taken[name] = record(name, known[name].response_timeout)

    for _ in range(300):
        bench.clock.seconds = now = bench.clock.seconds + 0.2
        new: list[WaitingTask] = []
        if random.random() < 0.2:
            found = task(f"t{len(known)}", random.choice([2, 5, 12, 60]))
            known[found.id], extended_at[found.id] = found, now
            new.append(found)
            index.add(found)
        if len(index) and random.random() < 0.1:
            take(random.choice(sorted(index.ids())))
        if len(index) and random.random() < 0.05:
            index.remove(random.choice(sorted(index.ids())))
        if bench.store.taken and random.random() < 0.08:
            over = random.choice(sorted(bench.store.taken))
            del bench.store.taken[over]
            if random.random() < 0.4:
                new.append(known[over])
                index.add(known[over])
        extend(bench.timeouts, new, index)
        bench.pool.run_all()
        extended_at |= dict.fromkeys(bench.server.extended, now)
        for name in (*index.ids(), *bench.store.taken):
            assert now - extended_at[name] <= known[name].response_timeout / 2
