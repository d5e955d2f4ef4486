"""Claim → call → record: what is called when, what is looked up before, and what is made of each outcome."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from events.records import Decision, Event, NewEvent, NewTarget, Result, Target, Task
from events.sqlite import SqliteStore, open_store
from events.store import StoreUnavailable
from tests.worker.simulated import Fault, SimulatedConductor, SimulatedTask
from worker.calls import Deliverer, _TakenOver, claim_lease, wait_before
from worker.conductor import OutcomeUnknown


class Bench:
    """A store with one event and its target, a simulated Conductor, and a deliverer that isn't started."""

    def __init__(self, folder: Path) -> None:
        self.store: SqliteStore = open_store(f"sqlite:///{folder}/bridge.db")
        self.conductor = SimulatedConductor(lambda: int(time.time() * 1000), known=frozenset({"flow"}))
        self.asked: list[str] = []
        self.woken = 0
        self.deliverer = self.another("me")
        self.store.acquire_lease("me", 0, 2**60)
        self.event = ""

    def another(self, name: str) -> Deliverer:
        return Deliverer(
            self.store,
            self.conductor,  # type: ignore[arg-type]
            name,
            lambda event: event.document(),
            self.wake,
        )

    def wake(self) -> None:
        self.woken += 1

    def task(self) -> SimulatedTask:
        """A task that waits in Conductor and in the store."""
        workflow = self.conductor.begin("flow")
        task = self.conductor.schedule(workflow.id, "wait", {})
        self.store.adopt("me", [Task(task.id, workflow.id, "flow", "wait", {}, 0)], 0)
        return task

    def decide(self, *targets: NewTarget, claim: bool = True, received_at: int | None = None) -> list[Target]:
        """The event that has these targets is decided, and they are claimed."""
        now = int(time.time() * 1000)
        received_at = now if received_at is None else received_at
        self.event = f"event{received_at}.{len(self.store.event_counts())}"
        self.store.append([NewEvent(self.event, "w", received_at, '{"a": 1}', {}, {}, now)])
        decision = Decision(self.event, "pending", 0, targets)
        return self.store.decide("me", [decision], [], now, "me", 10 if claim else 0)

    def completion(self, task: SimulatedTask) -> NewTarget:
        return NewTarget("complete", "flow", task.workflow_id, task.id, task.reference_name)

    def start(self) -> NewTarget:
        return NewTarget("start", "flow", correlation_id="event#1")

    def stored(self) -> Event:
        event = self.store.event(self.event)
        assert event is not None
        return event

    def result(self, target: Target, fault: Fault | None = None) -> Result:
        """What comes of a call under this fault."""
        self.conductor.fault = fault
        return self.deliverer._result(target, self.stored())

    def later(self, target: Target, attempts: int = 2) -> Target:
        """The target at a later try."""
        return replace(target, attempts=attempts)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.store._connections.close()


# --- one call ---


def test_a_completion_is_done(bench: Bench) -> None:
    task = bench.task()
    [target] = bench.decide(bench.completion(task))
    assert bench.result(target).state == "done"
    assert (task.status, task.worker_id, task.output["a"]) == ("COMPLETED", bench.event, 1)


def test_a_start_is_done_and_names_the_workflow(bench: Bench) -> None:
    [target] = bench.decide(bench.start())
    result = bench.result(target)
    assert (result.state, result.workflow_id) == ("done", "w0")
    assert bench.conductor.workflows["w0"].correlation_id == "event#1"


@pytest.mark.parametrize("kind", ["complete", "start"])
@pytest.mark.parametrize(
    ("fault", "at_least", "only_waits"),
    [("lost_before", 10, False), ("lost_after", 10, False), ("not_now", 0, False), ("unreachable", 0, True)],
)
def test_after_a_call_that_may_take_effect_the_next_look_waits_for_its_time_out(
    bench: Bench, kind: str, fault: Fault, at_least: float, only_waits: bool
) -> None:
    [target] = bench.decide(bench.completion(bench.task()) if kind == "complete" else bench.start())
    before = time.time()
    result = bench.result(target, fault)
    assert result.state == "pending"
    assert result.error
    assert at_least <= result.due_at / 1000 - before + 0.001
    assert result.due_at / 1000 - before < at_least + 2
    assert result.not_sent == only_waits


@pytest.mark.parametrize("fault", ["lost_before", "lost_after"])
def test_what_became_of_a_lost_call_is_looked_up_and_only_what_had_no_effect_is_done_again(
    bench: Bench, fault: Fault
) -> None:
    task = bench.task()
    completion, start = bench.decide(bench.completion(task), bench.start())
    for target in (completion, start):
        assert bench.result(target, fault).state == "pending"
        assert bench.result(bench.later(target)).state == "done"
    assert task.worker_id == bench.event
    assert len([w for w in bench.conductor.workflows.values() if w.correlation_id == "event#1"]) == 1


def test_a_look_up_that_fails_changes_nothing_and_is_repeated_soon(bench: Bench) -> None:
    [target] = bench.decide(bench.start())
    bench.result(target, "lost_after")

    def fail(*_: Any) -> None:
        raise OutcomeUnknown("500")

    bench.conductor.started = fail  # type: ignore[method-assign,assignment]
    result = bench.result(bench.later(target))
    assert (result.state, result.not_sent) == ("pending", False)
    assert result.due_at / 1000 - time.time() < 2
    assert len(bench.conductor.workflows) == 1


@pytest.mark.parametrize("how", ["CANCELED", "TIMED_OUT", "COMPLETED"])
@pytest.mark.parametrize("attempts", [1, 2])
def test_a_task_that_ended_otherwise_takes_nothing(bench: Bench, how: str, attempts: int) -> None:
    task = bench.task()
    [target] = bench.decide(bench.completion(task))
    bench.conductor.end(task.id, how)
    assert bench.result(bench.later(target, attempts)).state == "cancelled"
    assert task.worker_id is None


def test_a_task_that_conductor_has_forgotten_takes_nothing(bench: Bench) -> None:
    task = bench.task()
    [target] = bench.decide(bench.completion(task))
    del bench.conductor.tasks[task.id]
    assert bench.result(target).state == "cancelled"


def test_an_event_that_went_to_the_tasks_retry_is_delivered_once(bench: Bench) -> None:
    task = bench.task()
    [target] = bench.decide(bench.completion(task))
    bench.conductor.end(task.id, "TIMED_OUT")
    retry = bench.conductor.schedule(task.workflow_id, "wait", {})
    assert bench.result(target, "lost_after").state == "pending"
    assert retry.worker_id == bench.event
    assert bench.result(bench.later(target)).state == "done", "or it would be free for a second task"


def test_what_is_refused_for_good_has_failed_with_the_reason(bench: Bench) -> None:
    [start] = bench.decide(NewTarget("start", "unknown", correlation_id="event"))
    result = bench.result(start)
    assert result.state == "failed"
    assert "No such workflow" in str(result.error)


def test_what_conductor_calls_pending_and_does_not_complete_is_tried_again(bench: Bench) -> None:
    task = bench.task()
    [target] = bench.decide(bench.completion(task))
    bench.conductor.complete = lambda *_: None  # type: ignore[method-assign]
    assert bench.result(target).state == "pending"


def test_an_answer_that_names_a_task_that_is_not_this_events_proves_nothing(bench: Bench) -> None:
    task = bench.task()
    [target] = bench.decide(bench.completion(task))
    bench.conductor.complete = lambda *_: "t999"  # type: ignore[method-assign]
    assert bench.result(target).state == "pending"


# --- claims ---


def test_a_claim_is_good_for_longer_than_any_call_that_begins_under_it() -> None:
    assert claim_lease(13) == 16


def test_an_old_claim_is_renewed_before_the_call_and_gives_it_a_time_to_leave_by(bench: Bench) -> None:
    [target] = bench.decide(bench.start())
    limits: list[float] = []
    bench.conductor.start = lambda *given: limits.append(given[-1]) or "w"  # type: ignore[method-assign,func-returns-value]
    assert bench.result(target).state == "done"
    old = replace(target, claimed_at=(target.claimed_at or 0) - 5000)
    assert bench.result(old).state == "done"
    assert all(0.5 < limit - time.monotonic() <= 2 for limit in limits)
    [renewed] = bench.store.targets_of([bench.event])
    assert (renewed.claimed_at or 0) >= (target.claimed_at or 0)


@pytest.mark.parametrize("age", [5000, -3_600_000])
def test_no_call_is_made_under_a_claim_that_another_worker_has_taken_over(bench: Bench, age: int) -> None:
    [target] = bench.decide(bench.start())
    now = int(time.time() * 1000)
    [taken] = bench.store.claim("another", now + 60_000, now + 1, 10)
    assert taken.attempts == 2
    with pytest.raises(_TakenOver):
        bench.result(replace(target, claimed_at=now - age))
    assert bench.conductor.workflows == {}


# --- the threads ---


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_targets_are_claimed_called_and_recorded(bench: Bench) -> None:
    task = bench.task()
    bench.decide(bench.completion(task), bench.start(), claim=False)
    bench.deliverer.start()
    bench.deliverer.look()
    eventually(lambda: bench.stored().status == "delivered")
    bench.deliverer.stop()
    targets = bench.store.targets_of([bench.event])
    assert [(target.state, target.attempts, target.claimed_by) for target in targets] == [("done", 1, "me")] * 2
    assert bench.store.task(task.id).state == "completed"  # type: ignore[union-attr]


def test_the_decider_hears_of_an_event_that_is_free_again(bench: Bench) -> None:
    task = bench.task()
    bench.decide(bench.completion(task), claim=False)
    bench.conductor.end(task.id, "CANCELED")
    bench.deliverer.start()
    eventually(lambda: bench.woken > 0)
    bench.deliverer.stop()
    assert [event.id for event in bench.store.freed(10)] == [bench.event]


def test_while_conductor_is_away_one_call_at_a_time_tries_and_all_go_on_when_it_is_back(bench: Bench) -> None:
    bench.decide(*(NewTarget("start", "flow", correlation_id=f"event#{n}") for n in range(1, 6)), claim=False)
    start, away, tried = bench.conductor.start, True, []

    def call(*given: Any) -> Any:
        tried.append(given)
        bench.conductor.fault = "unreachable" if away else None
        return start(*given)

    bench.conductor.start = call  # type: ignore[method-assign,assignment]
    bench.deliverer.start()
    eventually(lambda: len(tried) >= 5 and bench.deliverer._in_hand == 0)
    assert bench.deliverer.free() == 0
    away = False
    bench.deliverer.conductor_is_up()
    eventually(lambda: bench.stored().status == "delivered")
    bench.deliverer.stop()
    assert len(bench.conductor.workflows) == 5


def test_a_bug_in_a_call_loses_no_target(bench: Bench) -> None:
    [target] = bench.decide(bench.start())
    bench.conductor.start = lambda *_: 1 / 0  # type: ignore[method-assign]
    bench.deliverer._in_hand = 1
    bench.deliverer._deliver(target, bench.stored())
    [result] = bench.deliverer._results
    assert result.state == "pending"
    assert "ZeroDivisionError" in str(result.error)


def test_the_thread_that_claims_survives_whatever_the_store_says(bench: Bench) -> None:
    bench.decide(bench.start(), claim=False)
    claim, errors = bench.store.claim, [StoreUnavailable("locked"), ZeroDivisionError()]

    def failing(*given: Any) -> Any:
        if errors:
            raise errors.pop()
        return claim(*given)

    bench.store.claim = failing  # type: ignore[method-assign,assignment]
    bench.deliverer.start()
    eventually(lambda: bench.stored().status == "delivered")
    bench.deliverer.stop()


def test_stopping_finishes_the_calls_in_hand_and_gives_back_what_was_not_begun(bench: Bench) -> None:
    bench.decide(*(NewTarget("start", "flow", correlation_id=f"event#{n}") for n in range(1, 31)), claim=False)
    begun, go_on = threading.Semaphore(0), threading.Event()
    start = bench.conductor.start

    def slow(*given: Any) -> Any:
        begun.release()
        go_on.wait(10)
        return start(*given)

    bench.conductor.start = slow  # type: ignore[method-assign,assignment]
    targets = bench.store.claim("me", int(time.time() * 1000), 0, 30)
    bench.deliverer.start()
    bench.deliverer.submit([(target, bench.stored()) for target in targets])
    for _ in range(16):
        assert begun.acquire(timeout=10)
    stopping = threading.Thread(target=bench.deliverer.stop)
    stopping.start()
    eventually(lambda: bench.deliverer._stopping)
    go_on.set()
    stopping.join(10)
    assert not stopping.is_alive()
    states = [target.state for target in bench.store.targets_of([bench.event])]
    assert sorted(set(states)) == ["done", "pending"]
    assert states.count("done") == len(bench.conductor.workflows) >= 16
    again = bench.store.claim("another", int(time.time() * 1000) + 1, 0, 30)
    assert len(again) == states.count("pending"), "another worker can have them at once"


def test_stopping_does_not_wait_forever_for_a_store_that_cannot_be_used(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.calls._LAST_WORDS", 0.1)
    [target] = bench.decide(bench.start())

    def unavailable(*_: Any) -> bool:
        raise StoreUnavailable("the disk is full")

    bench.store.settle = unavailable  # type: ignore[method-assign,assignment]
    bench.deliverer.start()
    bench.deliverer.submit([(target, bench.stored())])
    stopping = threading.Thread(target=bench.deliverer.stop)
    stopping.start()
    stopping.join(10)
    assert not stopping.is_alive()


def test_the_wait_grows_with_the_tries_and_is_never_the_same(bench: Bench) -> None:
    assert 0.25 <= wait_before(1) <= 0.5
    assert 15 <= wait_before(10) <= 15.25
    assert 15 <= wait_before(10_000) <= 15.25
    assert len({wait_before(3) for _ in range(10)}) > 1
