"""One target: what is called when, what is looked up before, and what is made of each outcome."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest

from store.records import NewTarget, Result
from tests.support.clock import Clock
from tests.support.simulated import Fault, failed, forbidden
from tests.worker.targets import Bench, bench
from worker.conductor.errors import ConductorError, NotThere, OutcomeUnknown, Refused
from worker.delivery.earlier_starts import EarlierStarts
from worker.delivery.outcomes import ClaimLost, TargetCalls, claim_lasts

__all__ = ["bench"]


def test_an_input_that_is_larger_than_conductor_takes_is_refused_without_a_call(
    bench: Bench,
) -> None:
    asked = json.dumps({str(number): "$" for number in range(1000)})
    [target] = bench.decide(replace(bench.start(), input=asked))
    calls = TargetCalls(bench.context(bridge_conductor_payload="1kB"), "me")
    result = calls.outcome(target, bench.stored()).result
    assert (result.state, bench.conductor.workflows) == ("failed", {})
    assert "repeats too much of the payload" in str(result.error)


@pytest.mark.parametrize("kind", ["complete", "start"])
@pytest.mark.parametrize(
    ("fault", "at_least", "only_waits"),
    [
        ("lost_before", 10, False),
        ("lost_after", 10, False),
        ("not_now", 0, False),
        ("unreachable", 0, True),
    ],
)
def test_after_a_call_that_may_take_effect_the_next_look_waits_for_its_time_out(
    bench: Bench, kind: str, fault: Fault, at_least: float, only_waits: bool
) -> None:
    [target] = bench.decide(bench.completion(bench.task()) if kind == "complete" else bench.start())
    before = time.time()
    result = bench.result(target, fault)
    assert result.state == "pending"
    assert result.error
    assert before + at_least <= result.due_at / 1000 + 0.001
    assert result.due_at / 1000 < time.time() + at_least + 2
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
    assert (
        len([w for w in bench.conductor.workflows.values() if w.correlation_id == "event#1"]) == 1
    )


def test_a_start_that_was_only_refused_is_made_again_without_a_search_that_takes_seconds(
    bench: Bench,
) -> None:
    [target] = bench.decide(bench.start())
    for _ in range(12):
        bench.store.claims.record_results("me", [bench.result(target, "not_now")], 0)
        [target] = bench.store.claims.claim("me", 2**50, 0, 1)
    with mock.patch.object(EarlierStarts, "find", side_effect=AssertionError):
        assert bench.result(target).state == "done"


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


def test_a_task_that_conductor_has_forgotten_takes_nothing(bench: Bench) -> None:
    task = bench.task()
    [target] = bench.decide(bench.completion(task))
    del bench.conductor.tasks[task.id]
    assert bench.result(target).state == "cancelled"


@pytest.mark.parametrize("knows", ["nothing", "its workflow", "a task that ended before"])
def test_a_task_is_over_for_a_call_only_if_the_server_that_does_not_know_it_knows_others(
    bench: Bench, knows: str
) -> None:
    """An empty server answers a completion as one does whose task isn't pending."""
    task, before = bench.task(), bench.task()
    bench.store.tasks.forget([before.id], 1)
    [target] = bench.decide(bench.completion(task), hold=60_000)
    workflow, _ = (
        bench.conductor.workflows.pop(task.workflow_id),
        bench.conductor.tasks.pop(task.id),
    )
    if knows == "its workflow":
        bench.conductor.workflows[workflow.id] = workflow
    if knows != "a task that ended before":
        del bench.conductor.tasks[before.id]
    result = bench.result(target)
    if knows != "nothing":
        assert result.state == "cancelled"
        return
    for _ in range(15):
        assert (result.state, result.did_nothing) == ("pending", True)
        bench.store.claims.record_results("me", [result], 0)
        [target] = bench.store.claims.claim("me", 2**50, 0, 1)
        result = bench.result(target)
    bench.conductor.tasks[task.id] = task
    bench.conductor.workflows[workflow.id] = workflow
    assert bench.result(target).state == "done"
    bench.conductor.tasks.clear()
    bench.conductor.workflows.clear()
    with mock.patch.object(bench.store, "now", lambda: bench.stored().hold_until):
        assert bench.result(target).state == "cancelled", (
            "whatever the server knows, at the end of the hold"
        )


@pytest.mark.parametrize(
    ("fault", "ends", "index", "state"),
    [
        ("lost_after", None, "shows it", "done"),
        ("lost_before", "CANCELED", "shows it", "cancelled"),
        ("lost_before", "COMPLETED", "shows it", "cancelled"),
        # Its retry, which has another id, may have the event.
        (
            "lost_before",
            "TIMED_OUT",
            "shows it",
            "unknown",
        ),
        ("lost_after", None, "lags", "unknown"),
        ("lost_after", None, "is denied", "unknown"),
        ("lost_after", None, "fails", "pending"),
        ("unreachable", "CANCELED", "lags", "cancelled"),  # the call was never made
        ("not_now", "CANCELED", "lags", "cancelled"),
    ],
)
def test_what_became_of_a_call_whose_task_is_gone_is_what_the_index_shows(
    bench: Bench, fault: Fault, ends: str | None, index: str, state: str
) -> None:
    task = bench.task()
    [target] = bench.decide(bench.completion(task))
    bench.store.claims.record_results("me", [bench.result(target, fault)], 0)
    [again] = bench.store.claims.claim("me", 2**50, 0, 1)
    if ends is not None:
        bench.conductor.end(task.id, ends)
    bench.conductor.removed.add(task.id)
    bench.conductor.unindexed = {task.id} if index == "lags" else set()
    errors = {"is denied": NotThere("404", 404), "fails": failed(500)}
    if index in errors:
        bench.conductor.end_in_index = mock.Mock(side_effect=errors[index])  # type: ignore[method-assign]
    assert bench.result(again).state == state


@pytest.mark.parametrize("fault", ["unreachable", "lost_before"])
def test_a_task_that_another_server_did_not_know_waits_on_as_the_address_leads_back(
    bench: Bench, fault: Fault
) -> None:
    task = bench.task()
    [target] = bench.decide(bench.completion(task), hold=600_000)
    bench.store.claims.record_results("me", [bench.result(target, fault)], 0)
    [again] = bench.store.claims.claim("me", 2**50, 0, 1)
    status = bench.conductor.messages.status

    def leads_back(workflow_id: str) -> str | None:
        bench.conductor.removed.clear()
        return status(workflow_id)

    bench.conductor.removed.add(task.id)
    bench.conductor.messages.status = leads_back  # type: ignore[method-assign]
    assert bench.result(again).state == "pending"
    assert bench.result(again).state == "done"


def test_a_completion_by_id_is_never_known_by_its_answer(bench: Bench) -> None:
    task = bench.task()
    task.reference_name = "a/b"
    [target] = bench.decide(bench.completion(task))

    def complete(*given: Any) -> None:
        bench.conductor.removed.add(task.id)

    bench.conductor.complete = complete  # type: ignore[method-assign]
    assert bench.result(target).state == "unknown"
    bench.conductor.end(task.id, "COMPLETED")
    task.worker_id = bench.event
    assert bench.result(target).state == "done"


def test_an_event_that_went_to_the_tasks_retry_is_delivered_once(bench: Bench) -> None:
    task = bench.task()
    [target] = bench.decide(bench.completion(task))
    bench.conductor.end(task.id, "TIMED_OUT")
    retry = bench.conductor.schedule(task.workflow_id, "wait", {})
    assert bench.result(target, "lost_after").state == "pending"
    assert retry.worker_id == bench.event
    assert bench.result(bench.later(target)).state == "done", (
        "or it would be free for a second task"
    )


@pytest.mark.parametrize("completed", [None, "t999"])
def test_an_answer_that_does_not_name_this_events_task_proves_nothing(
    bench: Bench, completed: str | None
) -> None:
    [target] = bench.decide(bench.completion(bench.task()))
    bench.conductor.complete = lambda *_: completed  # type: ignore[method-assign]
    assert bench.result(target).state == "pending"


# --- claims ---


def test_a_claim_is_good_for_longer_than_any_call_that_begins_under_it() -> None:
    assert claim_lasts(10) == 13


def test_an_old_claim_is_renewed_before_the_call_and_gives_it_a_time_to_leave_by(
    bench: Bench,
) -> None:
    began = time.monotonic()
    [target] = bench.decide(bench.start())
    limits: list[float] = []
    bench.conductor.start = lambda *given: limits.append(given[-1]) or "w"  # type: ignore[method-assign,func-returns-value]
    assert bench.result(target).state == "done"
    old = replace(target, claimed_at=(target.claimed_at or 0) - 5000)
    assert bench.result(old).state == "done"
    assert all(began + 0.5 < limit <= time.monotonic() + 2 for limit in limits)
    [renewed] = bench.store.queries.targets_of([bench.event])
    assert (renewed.claimed_at or 0) >= (target.claimed_at or 0)


def test_a_thread_that_is_held_up_before_its_call_has_no_more_time_for_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(1000.0)
    bench.executor = bench.another("me", clock=clock)
    [target] = bench.decide(bench.start())
    read = bench.store.now

    def held_up() -> int:
        now = read()
        clock.seconds += 20
        return now

    monkeypatch.setattr(bench.store, "now", held_up)
    limits: list[float] = []
    bench.conductor.start = lambda *given: limits.append(given[-1]) or "w"  # type: ignore[method-assign,func-returns-value]
    bench.result(target)
    assert len(limits) == 1
    assert limits[0] <= 1002


@pytest.mark.parametrize("age", [5000, -3_600_000])
def test_no_call_is_made_under_a_claim_that_another_worker_has_taken_over(
    bench: Bench, age: int
) -> None:
    [target] = bench.decide(bench.start())
    now = int(time.time() * 1000)
    [taken] = bench.store.claims.claim("another", now + 60_000, now + 1, 10)
    assert taken.attempts == 2
    with pytest.raises(ClaimLost):
        bench.result(replace(target, claimed_at=now - age))
    assert bench.conductor.workflows == {}


@pytest.mark.parametrize("kind", ["complete", "start"])
def test_a_claim_is_renewed_before_it_is_waited_until_the_index_cant_lag(
    bench: Bench, kind: str
) -> None:
    task = bench.task()
    [target] = bench.decide(bench.completion(task) if kind == "complete" else bench.start())
    bench.conductor.removed.add(task.id)
    now = int(time.time() * 1000)
    [taken] = bench.store.claims.claim("another", now + 60_000, now + 1, 10)
    look = mock.Mock()
    bench.conductor.end_in_index = bench.conductor.started_in_index = look  # type: ignore[method-assign]
    with pytest.raises(ClaimLost):
        bench.result(replace(target, attempts=taken.attempts, claimed_at=now - 5000))
    look.assert_not_called()


# --- seen to the end ---


@pytest.mark.parametrize("kind", ["complete", "start"])
def test_conductor_is_asked_to_go_on_after_an_effect_whose_answer_was_in_doubt_and_only_then(
    bench: Bench, kind: str
) -> None:
    [target] = bench.decide(bench.completion(bench.task()) if kind == "complete" else bench.start())
    bench.result(target, "lost_after")
    assert bench.conductor.evaluated == []
    assert bench.result(bench.later(target)).state == "done"
    assert bench.conductor.evaluated == ["w0"]
    [sure] = bench.decide(bench.start())
    bench.result(sure)
    assert bench.conductor.evaluated == ["w0"]


def test_a_workflow_that_stands_still_counts_as_started_only_once_it_goes(bench: Bench) -> None:
    [target] = bench.decide(bench.start())
    bench.result(target, "lost_after")
    bench.conductor.standing = {"w0"}
    result = bench.result(bench.later(target))
    assert (result.state, "hasn't scheduled" in str(result.error)) == ("pending", True)
    bench.conductor.standing = set()
    assert bench.result(bench.later(target, 3)).state == "done"
    assert len(bench.conductor.workflows) == 1


@pytest.mark.parametrize("error", [Refused("400"), NotThere("404"), forbidden()])
def test_a_refusal_to_evaluate_takes_nothing_back(bench: Bench, error: ConductorError) -> None:
    [target] = bench.decide(bench.start())
    bench.result(target, "lost_after")

    def refuse(workflow_id: str) -> bool:
        raise error

    bench.conductor.evaluate = refuse  # type: ignore[method-assign]
    assert bench.result(bench.later(target)).state == "done"


# --- what will never be otherwise ---


@pytest.fixture
def clock(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The wall clock, which a test moves."""
    clock = Clock(time.time())
    monkeypatch.setattr(time, "time", clock.monotonic)
    monkeypatch.setattr(bench.store.claims, "renew", lambda *given: True)
    return clock


class Failing:
    """A start that Conductor answers with 503 at each try."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        [self.target] = bench.decide(bench.start())
        self.tries = 1

    def try_again(self) -> Result:
        """One more try; its result."""
        result = self.bench.result(self.bench.later(self.target, self.tries), "500")
        self.tries += 1
        self.target = replace(self.target, failing_since=result.failing_since)
        return result


def others_succeed(bench: Bench, kind: str = "start") -> None:
    """Another target of this kind has its effect, whichever worker calls."""
    [other] = bench.decide(
        NewTarget("start", "flow", correlation_id=f"other#{time.time()}")
        if kind == "start"
        else bench.completion(bench.task())
    )
    assert bench.result(other).state == "done"


@pytest.mark.parametrize(("fault", "since"), [("unreachable", 5), ("lost_before", 5), (None, None)])
def test_since_when_a_target_is_answered_5xx_is_kept_until_it_is_answered_well(
    bench: Bench, fault: Fault | None, since: int | None
) -> None:
    [target] = bench.decide(bench.start())
    assert bench.result(replace(target, failing_since=5), fault).failing_since == since


def test_an_outage_in_which_everything_is_answered_5xx_makes_no_target_fail(
    bench: Bench, clock: Clock
) -> None:
    others_succeed(bench)
    failing = Failing(bench)
    poisoned = bench.event
    for _ in range(100):
        clock.seconds += 900
        assert failing.try_again().state == "pending"
    # It is over, and this one alone gets more of them: from now on an hour counts.
    for _ in range(11):
        others_succeed(bench)
        bench.event = poisoned
        assert failing.try_again().state == "pending"
        clock.seconds += 300
    for _ in range(2):
        others_succeed(bench)
        bench.event = poisoned
        result = failing.try_again()
        clock.seconds += 300
    assert result.state == "failed"


def test_completions_say_nothing_about_starts(bench: Bench, clock: Clock) -> None:
    failing = Failing(bench)
    poisoned = bench.event
    for _ in range(30):
        others_succeed(bench, "complete")
        bench.event = poisoned
        assert failing.try_again().state == "pending"
        clock.seconds += 300
