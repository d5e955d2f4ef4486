"""No transaction, no read and no memory of the decider grows with what has piled up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest import mock

import pytest

from store.errors import StoreUnavailable
from store.records import Decision
from tests.worker.decision.decider_bench import SECOND, Bench, settle
from tests.worker.decision.decider_bench import bench as bench
from worker.decision import held_events, matching, plan_writer


@pytest.fixture
def sizes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """How many targets and how many ended holds each transaction writes, of ten at most."""
    monkeypatch.setattr(plan_writer, "STEP", 10)
    monkeypatch.setattr(held_events, "_ENDED_AT_ONCE", 20)
    sizes: list[tuple[int, int]] = []
    write = bench.store.decisions.decide

    def seen(holder: str, decisions: Sequence[Decision], expired: Sequence[str], *more: Any) -> Any:
        sizes.append((sum(len(decision.targets) for decision in decisions), len(expired)))
        return write(holder, decisions, expired, *more)

    monkeypatch.setattr(bench.store.decisions, "decide", seen)
    return sizes


def test_holds_that_ended_while_nobody_decided_are_ended_in_parts(
    bench: Bench, sizes: list[tuple[int, int]]
) -> None:
    events = [bench.arrive(hold=1) for _ in range(45)]
    bench.decide()
    bench.restart()
    sizes.clear()
    bench.ms += 2 * SECOND
    bench.decide()
    assert sizes == [(0, 10), (0, 10)]
    assert bench.decider.unfinished
    new = bench.arrive()
    bench.decide()
    assert bench.event(new).hold == "held", "what is new needn't wait for all of them"
    bench.decide()
    assert {bench.event(event).status for event in events} == {"expired"}
    assert not bench.decider.unfinished
    assert max(ended for _, ended in sizes) <= 10


def test_many_decisions_are_written_in_parts_that_are_whole_decisions(
    bench: Bench, sizes: list[tuple[int, int]]
) -> None:
    tasks = [bench.wait({"$.n": number % 10}) for number in range(30)]
    events = [bench.arrive(n=number) for number in range(10)]
    bench.decide()
    assert max(targets for targets, _ in sizes) <= 10
    assert sum(targets for targets, _ in sizes) == 30
    assert [bench.takers(event) for event in events] == [
        [task.id for task in tasks if task.matches == {"$.n": number}] for number in range(10)
    ]


def test_what_a_part_wrote_is_known_though_the_next_failed(
    bench: Bench, sizes: list[tuple[int, int]]
) -> None:
    for number in range(12):
        bench.wait({"$.n": number})
        bench.arrive(n=number)
    write = bench.store.decisions.decide

    def fail_at_the_second(*given: Any) -> Any:
        if sizes:
            raise StoreUnavailable
        return write(*given)

    with (
        mock.patch.object(bench.store.decisions, "decide", fail_at_the_second),
        pytest.raises(StoreUnavailable),
    ):
        bench.decide()
    assert sorted(bench.decider.tasks.ids()) == sorted(
        task.id for task in bench.store.queries.waiting_tasks()
    )
    bench.decide()
    assert len(bench.decider.tasks) == 0
    assert bench.store.queries.waiting_tasks() == []


def test_freed_events_have_a_turn_too_and_none_is_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "TURN", 20_000)
    items = [{"id": number} for number in range(2000)]
    tasks = [bench.wait({"$..name": str(number)}) for number in range(6)]
    events = [bench.arrive(name=str(number), items=items) for number in range(6)]
    rounds = 0
    while not all(map(bench.takers, events)):
        bench.decide()
        rounds += 1
        assert rounds < 7
    assert rounds > 1
    for event in events:
        [target] = bench.store.queries.targets_of([event])
        settle(bench, target, "cancelled")
    for task in tasks:
        bench.wait(task.matches, workflow=task.workflow_id)
    rounds = 0
    while not all(len(bench.takers(event)) == 2 for event in events):
        bench.decide()
        rounds += 1
        assert rounds < 14
    assert rounds > 1
