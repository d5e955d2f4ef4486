"""Decisions that the store refuses, large ones too, and what can't even be set aside: the rest goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest

from store.errors import Unstorable
from store.records import NewTarget, SetAside
from store.sql import rows
from store.sql.event_rows import tasks_of
from store.sqlite.event_rows import SqliteEventRows
from tests.worker.leader.decider_bench import SECOND, Bench, settle
from tests.worker.leader.decider_bench import bench as bench
from tests.worker.leader.refusals import aside, poison, refusing


@contextmanager
def no_target_for(task_id: str) -> Iterator[None]:
    """The store refuses the part of a large decision with this task."""
    add_missing = SqliteEventRows.add_missing

    def refuse(events: SqliteEventRows, transaction: Any, new_rows: Any) -> Any:
        if task_id in tasks_of(new_rows):
            raise Unstorable("too large")
        return add_missing(events, transaction, new_rows)

    with mock.patch.object(SqliteEventRows, "add_missing", refuse):
        yield


@contextmanager
def no_room_aside_for(bench: Bench, *event_ids: str) -> Iterator[list[int]]:
    """The store refuses to set these events aside; the time of each such try."""
    set_aside, tries = bench.store.quarantine.set_aside, list[int]()

    def refuse(items: Sequence[SetAside]) -> None:
        if {item.id for item in items} & set(event_ids):
            tries.append(bench.ms)
            raise Unstorable("too large")
        set_aside(items)

    with mock.patch.object(bench.store.quarantine, "set_aside", refuse):
        yield tries


def test_an_event_that_can_be_neither_decided_nor_set_aside_holds_up_none_that_comes_after_it(bench: Bench) -> None:
    task = bench.wait()
    sick, well = bench.arrive(), bench.arrive()
    with refusing(bench, sick), no_room_aside_for(bench, sick) as tries:
        bench.decide()
        assert bench.decider.unfinished
        bench.decide()
        assert not bench.decider.unfinished
        assert bench.takers(well) == [task.id]
        for _ in range(3000):
            bench.ms += SECOND
            bench.decide()
        assert len(tries) < 30, "it is tried ever more rarely"
        bench.ms += 301 * SECOND
    bench.decide()
    assert bench.event(sick).hold == "no"


@pytest.mark.parametrize("state", ["undecided", "held", "freed"])
def test_an_event_that_fails_and_cannot_be_set_aside_is_tried_again_at_its_times(bench: Bench, state: str) -> None:
    workflow = bench.conductor.begin("flow").id
    bench.ms += SECOND
    if state == "freed":
        bench.wait(workflow=workflow)
    sick = bench.arrive(hold=10_000)
    if state != "undecided":
        for target, _ in bench.decide():
            settle(bench, target, "cancelled")
    with poison(sick), no_room_aside_for(bench, sick) as tries:
        if state == "held":
            bench.restart()
        for _ in range(300):
            bench.ms += SECOND
            bench.decide()
    assert 2 < len(tries) < 20
    bench.ms += 301 * SECOND
    bench.decide()
    assert bench.event(sick).hold == "held"
    bench.conductor.schedule(workflow, "again", {})
    bench.decide()
    assert len(bench.takers(sick)) == (2 if state == "freed" else 1)


def test_a_decision_in_parts_that_can_be_neither_written_nor_set_aside_is_tried_again_at_its_times(
    bench: Bench,
) -> None:
    tasks = [bench.wait() for _ in range(5)]
    sick = bench.arrive()
    with no_target_for(tasks[1].id), no_room_aside_for(bench, sick) as tries:
        with mock.patch("worker.leader.plan.STEP", 3):
            bench.decide()
        for _ in range(300):
            bench.ms += SECOND
            bench.decide()
        assert 2 < len(tries) < 20
    bench.ms += 301 * SECOND
    for _ in range(3):
        bench.decide()
    assert bench.takers(sick) == [task.id for task in tasks]


def test_a_decision_with_very_many_targets_may_be_refused_too(bench: Bench) -> None:
    bench.define({"name": "w", "receivers": {"flow": "any"}}, {"name": "v", "receivers": {"sub": "any"}})
    for _ in range(5):
        bench.wait()
    other = bench.wait(name="sub")
    sick, well = bench.arrive(), bench.arrive("v")
    refuse = mock.patch.object(bench.store.large_decisions, "record", side_effect=Unstorable("too large"))
    with mock.patch("worker.leader.plan.STEP", 3), refuse:
        for _ in range(2):
            bench.decide()
    assert (bench.takers(well), aside(bench)) == ([other.id], [("event", sick, 1)])
    bench.ms += 2 * SECOND
    bench.decide()
    assert (len(bench.takers(sick)), bench.store.quarantine.items()) == (5, [])


def test_a_decision_whose_targets_cannot_be_written_holds_up_no_other_with_very_many(bench: Bench) -> None:
    bench.define({"name": "w", "receivers": {"flow": "any"}}, {"name": "v", "receivers": {"sub": "any"}})
    tasks = [bench.wait() for _ in range(5)]
    others = [bench.wait(name="sub") for _ in range(5)]
    sick, well = bench.arrive(), bench.arrive("v")
    targets_in = rows.targets_in

    def garbled(part: str) -> list[NewTarget]:
        if tasks[0].id in part:
            raise ValueError("garbled")
        return targets_in(part)

    with mock.patch("worker.leader.plan.STEP", 3), mock.patch.object(rows, "targets_in", garbled):
        for _ in range(3):
            bench.decide()
        assert (len(bench.takers(well)), bench.takers(sick)) == (len(others), [])
        assert aside(bench) == [("event", sick, 1)]
        assert not bench.decider.unfinished, "it isn't tried again at once"
        bench.restart()
        assert bench.event(sick).hold == "writing"
        bench.ms += 60 * SECOND
        bench.decide()
        assert aside(bench) == [("event", sick, 3)]
    bench.ms += 60 * SECOND
    for _ in range(3):
        bench.decide()
    assert (bench.takers(sick), bench.store.quarantine.items()) == ([task.id for task in tasks], [])
    assert bench.event(sick).hold == "no"


def test_tasks_of_a_decision_that_cannot_be_written_go_to_no_other_event_under_the_next_worker(bench: Bench) -> None:
    tasks = [bench.wait() for _ in range(5)]
    sick = bench.arrive()
    with no_target_for(tasks[1].id):
        with mock.patch("worker.leader.plan.STEP", 3), mock.patch.object(rows, "PART", 2):
            for _ in range(3):
                bench.decide()
        assert (aside(bench), bench.takers(sick)) == ([("event", sick, 1)], [])
        bench.restart()
        bench.ms += SECOND
        other = bench.arrive()
        bench.decide()
        assert (bench.takers(other), bench.event(other).hold) == ([], "held")
    bench.ms += 60 * SECOND
    for _ in range(4):
        bench.decide()
    assert bench.takers(sick) == [task.id for task in tasks]
    assert (bench.event(sick).hold, bench.event(other).hold, bench.store.quarantine.items()) == ("no", "held", [])
