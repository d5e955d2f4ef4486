"""What fails alone while events are decided is set aside, and the rest goes on in order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
from worker.decision.matching import WaitingTask

from store.records import SetAside
from store.sql import decisions
from tests.support.makers import ME
from tests.support.simulated import SimulatedTask
from tests.worker.decision.decider_bench import SECOND, Bench, settle
from tests.worker.decision.decider_bench import bench as bench
from tests.worker.decision.refusals import aside, hold, poison, refusing


def test_an_event_that_fails_is_set_aside_and_the_others_are_decided_in_order(bench: Bench) -> None:
    tasks = [bench.wait() for _ in range(2)]
    bench.define({"name": "w", "receivers": {"flow": "any"}, "pace": "1/s"})
    first, sick, second = (bench.arrive(n=number) for number in range(3))
    with poison(sick):
        bench.decide()
    assert bench.takers(first) == [task.id for task in tasks]
    assert bench.event(second).hold == "held"
    assert (bench.event(sick).decided_at, bench.event(sick).status) == (None, "pending")
    [item] = bench.store.quarantine.items()
    assert (item.kind, item.id, item.webhook, item.reason) == (
        "event",
        sick,
        "w",
        "RuntimeError: poison",
    )


def test_it_is_tried_again_ever_more_rarely_for_ever_and_decided_when_it_can_be(
    bench: Bench,
) -> None:
    sick = bench.arrive(hold=100_000)
    tries = 0
    with poison(sick):
        bench.decide()
        for _ in range(3000):
            bench.ms += SECOND
            bench.decide()
            [item] = bench.store.quarantine.items()
            tries = item.tries
            assert item.due_at <= bench.ms + 301 * SECOND
    assert 15 < tries < 30
    [item] = bench.store.quarantine.items()
    assert item.since < bench.ms - 2999 * SECOND
    bench.ms += 301 * SECOND
    bench.decide()
    assert (bench.event(sick).hold, bench.store.quarantine.items()) == ("held", [])


@pytest.mark.parametrize("number", [1, 7, 40])
def test_a_decision_that_the_store_refuses_is_narrowed_down_and_what_follows_is_decided_anew(
    bench: Bench, number: int
) -> None:
    """The event that was refused gives its task to the next one."""
    events = [bench.arrive(n=place) for place in range(number)]
    task = bench.wait({"$.go": 1})
    sick, next_one = bench.arrive(go=1), bench.arrive(go=1)
    task.scheduled_at = bench.ms
    with refusing(bench, sick) as sizes:
        bench.decide()
        assert bench.decider.unfinished
        bench.decide()
    assert bench.takers(next_one) == [task.id]
    assert aside(bench) == [("event", sick, 1)]
    assert all(bench.event(event).hold == "held" for event in events)
    assert len(sizes) < 20
    assert not bench.decider.unfinished


def test_a_held_event_whose_payload_cannot_be_read_is_passed_over_and_taken_later(
    bench: Bench,
) -> None:
    workflow = bench.conductor.begin("flow").id
    bench.ms += SECOND
    sick, well = hold(bench), hold(bench)
    bench.ms += SECOND
    task = bench.wait(workflow=workflow)
    with poison(sick):
        bench.restart()
        bench.decide()
    assert bench.takers(well) == [task.id]
    assert aside(bench) == [("event", sick, 1)]
    assert bench.event(sick).hold == "aside"
    bench.ms += 2 * SECOND
    late = bench.wait(workflow=workflow)
    bench.decide()
    assert (bench.takers(sick), bench.store.quarantine.items()) == ([late.id], [])


def test_a_freed_event_that_fails_is_set_aside_and_free_again_later(bench: Bench) -> None:
    gone = bench.wait()
    event = bench.arrive()
    [(target, _)] = bench.decide()
    settle(bench, target, "cancelled")
    with poison(event):
        bench.decide()
    assert bench.event(event).hold == "aside"
    assert bench.store.decisions.agenda(9).freed == []
    bench.ms += 2 * SECOND
    task = bench.wait(workflow=gone.workflow_id)
    bench.decide()
    assert bench.takers(event) == [gone.id, task.id]


def test_a_hold_whose_end_is_refused_holds_up_no_others_end(bench: Bench) -> None:
    events = [bench.arrive(hold=5) for _ in range(5)]
    bench.decide()
    bench.ms += 6 * SECOND
    with refusing(bench, events[2]):
        for _ in range(2):
            bench.decide()
    assert [bench.event(event).status for event in events] == [
        "expired",
        "expired",
        "pending",
        "expired",
        "expired",
    ]
    assert aside(bench) == [("event", events[2], 1)]
    bench.ms += 2 * SECOND
    bench.decide()
    assert (bench.event(events[2]).status, bench.store.quarantine.items()) == ("expired", [])


def test_what_another_set_aside_is_left_alone(bench: Bench) -> None:
    """Discovery has suspects of its own."""
    item = SetAside("task", "t9", None, "500", bench.ms, 3, bench.ms - 1)
    bench.store.quarantine.set_aside([item])
    bench.arrive()
    bench.decide()
    assert bench.store.quarantine.items() == [item]


# --- what can't even be set aside, and tasks ---


def test_an_event_with_more_takers_than_the_store_takes_is_set_aside_with_its_reason(
    bench: Bench,
) -> None:
    bench.define(
        {"name": "w", "receivers": {"flow": "any"}}, {"name": "v", "receivers": {"sub": "any"}}
    )
    tasks = [bench.wait() for _ in range(5)]
    other = bench.wait(name="sub")
    sick, well = bench.arrive(), bench.arrive("v")
    with mock.patch.object(decisions, "MOST_TARGETS", 4):
        for _ in range(2):
            bench.decide()
    assert (bench.takers(well), bench.takers(sick), aside(bench)) == (
        [other.id],
        [],
        [("event", sick, 1)],
    )
    [item] = bench.store.quarantine.items()
    assert "it has 5 targets; an event may have 4" in item.reason
    bench.ms += 2 * SECOND
    bench.decide()
    assert (bench.takers(sick), bench.store.quarantine.items()) == ([task.id for task in tasks], [])


@contextmanager
def failing_for(bench: Bench, sick: SimulatedTask) -> Iterator[None]:
    """The look for held events fails for this task."""
    oldest_for = bench.decider.held._oldest_for

    def fail(task: WaitingTask, *more: Any) -> Any:
        if task.id == sick.id:
            raise RuntimeError
        return oldest_for(task, *more)

    with mock.patch.object(bench.decider.held, "_oldest_for", fail):
        yield


def test_a_task_whose_look_for_held_events_fails_takes_one_at_its_next_try(bench: Bench) -> None:
    workflow = bench.conductor.begin("flow").id
    bench.ms += SECOND
    first, second = hold(bench), hold(bench)
    sick, well = bench.wait(workflow=workflow), bench.wait(workflow=workflow)
    with failing_for(bench, sick):
        bench.decide()
    assert (bench.takers(first), aside(bench)) == ([well.id], [("task", sick.id, 1)])
    bench.ms += SECOND
    bench.decide()
    assert (bench.takers(second), bench.store.quarantine.items()) == ([sick.id], [])


def test_a_task_that_was_set_aside_and_has_ended_is_forgotten(bench: Bench) -> None:
    workflow = bench.conductor.begin("flow").id
    hold(bench)
    sick = bench.wait(workflow=workflow)
    with failing_for(bench, sick):
        bench.decide()
    assert aside(bench) == [("task", sick.id, 1)]
    bench.store.tasks.drop(ME, [sick.id], bench.ms)
    bench.decider.drop_tasks([sick.id])
    bench.decide()
    assert bench.store.quarantine.items() == []
    bench.ms += 10 * SECOND
    bench.decide()
    assert sick.id not in bench.decider.tasks
