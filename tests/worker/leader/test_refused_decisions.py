"""Decisions that the store refuses, and what can't even be set aside: the rest goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest

from store.errors import RowsUnavailable, Unstorable
from store.records import SetAside
from store.sql import decisions
from tests.worker.leader.decider_bench import SECOND, Bench, settle
from tests.worker.leader.decider_bench import bench as bench
from tests.worker.leader.refusals import aside, poison, refusing


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


def test_what_was_locked_is_set_aside_though_what_comes_before_it_is_locked_for_a_moment_too(bench: Bench) -> None:
    events = [bench.arrive() for _ in range(3)]
    write, failures = bench.store.decisions.decide, [RowsUnavailable("locked"), RowsUnavailable("locked, too")]

    def decide(*given: Any) -> Any:
        if failures:
            raise failures.pop()
        return write(*given)

    with (
        mock.patch.object(bench.store.decisions, "decide", decide),
        mock.patch.object(bench.store.quarantine, "locked", mock.Mock(side_effect=[{events[2]}, set()])),
    ):
        bench.decide()
    assert bench.event(events[0]).hold == "held"
    assert (bench.event(events[2]).hold, aside(bench)) == ("no", [("event", events[2], 1)])
    bench.ms += SECOND
    bench.decide()
    assert {bench.event(event).hold for event in events} == {"held"}
    assert aside(bench) == []


def test_an_event_with_more_takers_than_the_store_takes_is_set_aside_with_its_reason(bench: Bench) -> None:
    bench.define({"name": "w", "receivers": {"flow": "any"}}, {"name": "v", "receivers": {"sub": "any"}})
    tasks = [bench.wait() for _ in range(5)]
    other = bench.wait(name="sub")
    sick, well = bench.arrive(), bench.arrive("v")
    with mock.patch.object(decisions, "MOST_TARGETS", 4):
        for _ in range(2):
            bench.decide()
    assert (bench.takers(well), bench.takers(sick), aside(bench)) == ([other.id], [], [("event", sick, 1)])
    [item] = bench.store.quarantine.items()
    assert "it has 5 targets; an event may have 4" in item.reason
    bench.ms += 2 * SECOND
    bench.decide()
    assert (bench.takers(sick), bench.store.quarantine.items()) == ([task.id for task in tasks], [])
