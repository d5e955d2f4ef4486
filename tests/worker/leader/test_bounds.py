"""No transaction, no read and no memory of the decider grows with what has piled up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from store.errors import StoreUnavailable
from store.records import Decision, Event
from tests.worker.leader.decider_bench import SECOND, Bench, sick
from worker.leader import held_events, plan_writer


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    with mock.patch("time.time", lambda: bench.ms / 1000):
        yield bench


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


def test_holds_that_ended_while_nobody_decided_are_ended_in_parts(bench: Bench, sizes: list[tuple[int, int]]) -> None:
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


def test_what_a_part_wrote_is_known_though_the_next_failed(bench: Bench, sizes: list[tuple[int, int]]) -> None:
    for number in range(12):
        bench.wait({"$.n": number})
        bench.arrive(n=number)
    write = bench.store.decisions.decide

    def fail_at_the_second(*given: Any) -> Any:
        if sizes:
            raise StoreUnavailable
        return write(*given)

    with mock.patch.object(bench.store.decisions, "decide", fail_at_the_second), pytest.raises(StoreUnavailable):
        bench.decide()
    assert sorted(bench.decider.tasks.ids()) == sorted(task.id for task in bench.store.queries.waiting_tasks())
    bench.decide()
    assert len(bench.decider.tasks) == 0
    assert bench.store.queries.waiting_tasks() == []


def test_a_new_kind_of_task_has_its_own_webhooks_held_events_read_and_no_others(bench: Bench) -> None:
    bench.define(
        {"name": "w", "receivers": {"flow": "any"}, "hold": "10m"},
        {"name": "v", "receivers": {"other": "any"}, "hold": "10m"},
    )
    for _ in range(5):
        bench.arrive("v")
    mine = bench.arrive("w", n=1)
    bench.decide()
    read: list[str] = []
    held = bench.store.decisions.held

    def seen(*given: Any) -> list[Event]:
        found = held(*given)
        read.extend(event.webhook for event in found)
        return found

    with mock.patch.object(bench.store.decisions, "held", seen):
        # Of a workflow that was running before the event arrived.
        workflow = bench.conductor.begin("flow").id
        bench.wait({"$.n": 1}, workflow)
        bench.decide()
    assert bench.takers(mine) == ["t000"]
    assert read == ["w"]


def test_payloads_of_held_events_that_are_taken_are_not_read_as_they_are_decided(bench: Bench) -> None:
    """Many tasks may take large events at once: whichever worker has room claims their targets."""
    workflow = bench.conductor.begin("flow").id
    events = [bench.arrive() for _ in range(4)]
    bench.decide()
    for _ in events:
        bench.wait(workflow=workflow)
    with mock.patch.object(bench.store.queries, "events_of", wraps=bench.store.queries.events_of) as read:
        assert bench.decide() == []
    assert read.mock_calls == []
    assert [target.state for target in bench.store.queries.targets_of(events)] == ["pending"] * 4


def test_few_events_whose_hold_ends_are_read_at_a_time_for_a_task_in_doubt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it may take them depends on their payloads."""
    monkeypatch.setattr(held_events, "_ENDED_AT_ONCE", 10)
    workflow = bench.conductor.begin("flow").id
    events = [bench.arrive(hold=5, n=number) for number in range(40)]
    bench.decide()
    bench.ms += SECOND
    sick(bench, bench.wait({"$.n": 39}, workflow=workflow))
    bench.ms += 10 * SECOND
    for ended in (10, 20, 30, 39, 39):
        assert not ended or bench.decider.unfinished == (ended > 10)
        with mock.patch.object(bench.store.queries, "events_of", wraps=bench.store.queries.events_of) as read:
            bench.decide()
        assert [len(one.args[0]) for one in read.mock_calls] == [1] * (10 if len(read.mock_calls) else 0)
        assert [bench.event(event).status for event in events[:39]].count("expired") == ended
    assert bench.event(events[39]).hold == "held"
