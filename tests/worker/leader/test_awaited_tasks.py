"""An event waits for tasks that Conductor has shown but couldn't return yet: for a while, and only
for those."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from worker.discovery.barrier import LAG, LATE, LONG_WAIT, LOOK_GAP

from config.webhooks import Definitions, Webhook
from tests.support.worker_bench import leader_of
from tests.worker.discovery.test_index_fails import Bench as IndexBench
from worker.conductor.errors import ConductorError
from worker.discovery.suspects import SHOWN_AFTER
from worker.leader.leader import Leader

ELSEWHERE = {"name": "elsewhere", "receivers": {"another": "any"}}
WAYS: list[dict[str, int]] = [{}, {"search": 500}]


class Bench(IndexBench):
    """One worker, and tasks of which some can't be read."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        webhooks = [*self.source.current.webhooks, Webhook.model_validate(ELSEWHERE)]
        self.source.current = Definitions(tuple(webhooks))

    def begin_by_queue(self) -> Leader:
        """A leader for whom the queue has handed out all tasks so far."""
        leader = leader_of(self.deciding())
        leader.decide()
        return leader

    def unread(self, key: str) -> str:
        """A task that only the index knows, and that can't be read by its id, nor by its
        workflow's."""
        task = self.foreign(key)
        self.ail(task, self.conductor.tasks[task].workflow_id)
        return task

    def ail(self, *items: str) -> None:
        self.conductor.ailing.update(dict.fromkeys(items, "hang"))

    def recover(self, leader: Leader) -> None:
        """From now on everything can be read, and a second later it is."""
        self.conductor.ailing.clear()
        self.clock.seconds += 1
        leader.read_suspects()

    def tries(self, leader: Leader, number: int) -> None:
        """So many more reads fail."""
        for _ in range(number):
            self.clock.seconds += 5
            leader.read_suspects()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.mark.parametrize("cannot", WAYS)
def test_an_event_waits_for_a_task_that_cannot_be_read_yet_though_another_takes_it(
    bench: Bench, cannot: dict[str, int]
) -> None:
    bench.conductor.cannot = cannot
    leader = bench.begin()
    known, unread = bench.task("both"), bench.unread("both")
    event, other = bench.event("w", "both"), bench.event("starts")
    bench.clock.seconds += 2  # so that running workflows may be read again
    leader.decide()
    assert bench.decided(event, other) == [False, True]
    leader.decide()
    leader.decide()
    assert bench.decided(event) == [False]
    bench.recover(leader)
    leader.decide()
    assert sorted(map(str, bench.takers(event))) == sorted([known, unread])


@pytest.mark.parametrize("cannot", WAYS)
def test_events_for_other_workflows_do_not_wait_for_it(
    bench: Bench, cannot: dict[str, int]
) -> None:
    bench.conductor.cannot = cannot
    leader = bench.begin()
    bench.unread("key")
    event, other = bench.event("w", "key"), bench.event("elsewhere", "key")
    bench.clock.seconds += 2  # so that running workflows may be read again
    leader.decide()
    assert bench.decided(event, other) == [False, True]


def test_events_for_other_workflows_do_not_wait_for_a_polled_task_that_cannot_be_read(
    bench: Bench,
) -> None:
    leader = bench.begin_by_queue()
    bench.task("nobody")
    polled = bench.task("key")
    bench.ail(polled)
    event, other = bench.event("w", "key"), bench.event("elsewhere", "key")
    leader.decide()
    assert bench.decided(event, other) == [False, True]
    bench.recover(leader)
    leader.decide()
    assert bench.takers(event) == [polled]


def test_if_its_workflow_is_unknown_all_events_with_receivers_wait(bench: Bench) -> None:
    leader = bench.begin_by_queue()
    bench.ail(bench.task("key"))  # of every other task that ails a poll says nothing
    event, other, starts = bench.event("w"), bench.event("elsewhere"), bench.event("starts")
    leader.decide()
    assert bench.decided(event, other, starts) == [False, False, True]


def test_it_waits_only_until_three_reads_have_failed(bench: Bench) -> None:
    leader = bench.begin()
    bench.unread("key")
    known, event = bench.task("key"), bench.event("w", "key")
    leader.decide()
    bench.tries(leader, SHOWN_AFTER - 2)
    leader.decide()
    assert bench.decided(event) == [False]
    bench.tries(leader, 1)
    leader.decide()
    assert bench.takers(event) == [known]


def test_a_hold_ends_an_hour_after_all_reads_of_a_task_have_failed_but_not_others_holds(
    bench: Bench,
) -> None:
    leader = bench.begin_by_queue()
    bench.unread("key")
    event, other = bench.event("w", "key"), bench.event("elsewhere", "key")
    leader.decide()
    bench.clock.seconds += LOOK_GAP
    leader.decide()
    bench.tries(leader, SHOWN_AFTER)
    [suspect] = bench.store.quarantine.items("task")
    assert suspect.tries > SHOWN_AFTER
    later = time.time() + 700
    with mock.patch.object(time, "time", lambda: later):
        leader.decide()
        assert [bench.hold(event), bench.hold(other)] == ["held", "no"]
        bench.clock.seconds += LONG_WAIT
        leader.decide()
    assert bench.hold(event) == "no"


def test_a_poll_that_is_carried_out_late_hides_no_task_from_an_event(bench: Bench) -> None:
    leader = bench.begin_by_queue()
    bench.conductor.poll_fault = "late"
    with pytest.raises(ConductorError):
        leader.decide()
    bench.clock.seconds += LATE - 1
    leader.decide()
    hidden = bench.task("both")
    bench.conductor.run_late()
    known, event = bench.task("both"), bench.event("w", "both")
    leader.decide()
    bench.clock.seconds += LAG
    leader.decide()
    assert sorted(map(str, bench.takers(event))) == sorted([known, hidden])


def test_a_task_that_an_index_shows_soon_after_a_lost_poll_is_waited_for(bench: Bench) -> None:
    leader = bench.begin_by_queue()
    hidden = bench.task("both")
    bench.conductor.poll_fault = "lost"
    with pytest.raises(ConductorError):
        leader.decide()
    known, event = bench.task("both"), bench.event("w", "both")
    bench.conductor.unindexed = {hidden}
    leader.decide()
    assert bench.decided(event) == [False]
    bench.conductor.unindexed.clear()
    bench.clock.seconds += LAG
    leader.decide()
    assert sorted(map(str, bench.takers(event))) == sorted([known, hidden])
