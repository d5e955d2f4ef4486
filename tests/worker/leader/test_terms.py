"""Who leads, for how long that is certain, and what a leader that is gone leaves to the next one."""

from __future__ import annotations

import time
from typing import Any
from unittest import mock

import pytest
from structlog.testing import capture_logs

from store.errors import StoreUnavailable
from store.records import Task, Term
from tests.support.clock import Clock
from tests.support.worker_bench import Bench, leader_of
from tests.support.worker_bench import bench as bench
from tools.servers import eventually
from worker.conductor.errors import NotNow, Unreachable
from worker.decision.decider import Decider
from worker.leader.heartbeat import TERM_SECONDS
from worker.leader.worker import Worker

# --- who decides ---


def test_the_password_in_conductors_address_is_not_logged(bench: Bench) -> None:
    bench.conductor_url = "http://user:hidden@conductor:8080/api"
    worker = bench.deciding()
    with (
        capture_logs() as logs,
        mock.patch.object(bench.conductor, "poll", side_effect=Unreachable("away")),
    ):
        worker.step()
        worker.stop()
        worker.run()
    said = [line for line in logs if "http://conductor:8080/api" in str(line)]
    assert [line["event"] for line in said] == [
        "Conductor can't be used; trying again",
        "worker started",
    ]
    assert "hidden" not in str(logs)


def test_the_leader_too_reads_what_it_is_told_of_targets(bench: Bench) -> None:
    """PostgreSQL would keep all of it for as long as one worker stays leader, until nothing more
    can be told."""
    worker = bench.deciding()
    for _ in range(3):
        worker._heard_at = float("-inf")
        bench.store.signals.notify("targets")
        worker.step()
        assert not worker._listener.wait(0), "it has been read"


def test_what_a_worker_polled_as_it_died_is_found_before_anything_is_decided(bench: Bench) -> None:
    dead = bench.deciding()
    first, second = bench.wait(), bench.wait()
    bench.arrive()
    # The poll is on its way as the worker is killed, and Conductor carries it out only after the
    # next one has swept.
    polled = bench.conductor.tasks.pop(second)
    bench.store.leadership._unlock(dead.id)
    successor = bench.deciding()

    def is_decided() -> bool:
        successor.step()
        return bool(bench.store.queries.targets_of(["event"]))

    assert not is_decided()
    polled.status, polled.started_at = "IN_PROGRESS", int(time.time() * 1000)
    bench.conductor.tasks[second] = polled
    eventually(is_decided)
    assert sorted(
        target.task_id or "" for target in bench.store.queries.targets_of(["event"])
    ) == sorted([first, second])


def settled_at_once(worker: Worker) -> bool:
    """Whether an event may be decided after the worker's first scan."""
    leader, arrival = leader_of(worker), int(time.time() * 1000) - 1
    leader.decide()
    return leader.barrier.knows(arrival, ["flow"], has_taker=False)


def test_who_follows_a_worker_that_said_goodbye_or_ended_long_ago_decides_at_once(
    bench: Bench,
) -> None:
    first, second = bench.deciding(), bench.worker()
    assert settled_at_once(first)
    first.end_term()
    assert second.elect()
    assert settled_at_once(second)
    bench.store.leadership._unlock(second.id)
    third = bench.worker()
    with mock.patch.object(time, "time", return_value=time.time() + 3600):
        assert third.elect()
    assert settled_at_once(third)


def test_a_worker_waits_after_a_dead_one_though_the_answer_to_its_election_was_lost(
    bench: Bench,
) -> None:
    dead, successor = bench.deciding(), bench.worker()
    bench.store.leadership._unlock(dead.id)
    elect = bench.store.leadership.elect

    def lost(worker_id: str, seconds: float) -> Term | None:
        elect(worker_id, seconds)
        raise StoreUnavailable("the answer was lost")

    with mock.patch.object(bench.store.leadership, "elect", lost):
        successor.step()
    assert successor.leader is None
    assert successor.elect()
    assert not settled_at_once(successor)


def test_a_worker_that_must_still_wait_after_a_dead_one_does_not_resign(bench: Bench) -> None:
    dead, successor, third = bench.deciding(), bench.worker(), bench.worker()
    bench.store.leadership._unlock(dead.id)
    assert successor.elect()
    successor.end_term()
    assert not third.elect()
    assert successor.elect()
    assert not settled_at_once(successor)
    bench.store.leadership._unlock(successor.id)
    assert third.elect()
    assert not settled_at_once(third)


def test_a_worker_resigns_only_if_the_index_was_searched_after_a_poll_whose_answer_was_lost(
    bench: Bench,
) -> None:
    first, second = bench.deciding(), bench.worker()
    bench.conductor.poll_fault = "lost"
    first.step()
    first.end_term()
    assert not second.elect(), "the poll may still take effect"
    assert first.elect()
    first.step()
    bench.conductor.poll_fault = "lost"
    first.step()
    assert not leader_of(first).barrier.settled

    def settles() -> bool:
        first.step()
        return leader_of(first).barrier.settled

    eventually(settles)
    first.end_term()
    assert second.elect()


def test_a_heartbeat_keeps_leadership_also_while_the_store_is_being_read(bench: Bench) -> None:
    worker, other = bench.worker(), bench.worker()
    load = Decider.load

    def slow(decider: Any, *arguments: Any) -> list[Task]:
        with mock.patch.object(time, "time", return_value=time.time() + TERM_SECONDS - 1):
            leader_of(worker).renew()
        return load(decider, *arguments)

    with mock.patch.object(Decider, "load", slow):
        assert worker.elect()
    with mock.patch.object(time, "time", return_value=time.time() + TERM_SECONDS + 1):
        assert not other.elect()


# --- heartbeats ---


@pytest.mark.parametrize("lost", [True, False])
def test_a_worker_that_was_frozen_sees_whether_it_still_has_leadership_before_it_polls(
    bench: Bench, lost: bool
) -> None:
    worker, other = bench.deciding(), bench.worker()
    if lost:
        bench.store.leadership.resign(Term(worker.id))
        assert other.elect()
    leader_of(worker).heartbeat._renewed_at -= TERM_SECONDS + 1  # no heartbeat all that time
    polls = bench.conductor.poll = mock.Mock(return_value=[])  # type: ignore[method-assign]
    worker.step()
    assert (worker.leader is None, polls.called) == (lost, not lost)


def test_a_worker_that_is_frozen_just_before_its_poll_leaves_takes_no_task(bench: Bench) -> None:
    bench.clock = clock = Clock()
    worker, other = bench.deciding(), bench.worker()
    task_id, poll = bench.wait(), bench.conductor.poll

    def freeze(
        worker_id: str, domain: Any, unreadable: Any, count: int, not_after: float
    ) -> list[Task]:
        clock.seconds += TERM_SECONDS + 1
        bench.store.leadership.resign(Term(worker.id))
        assert other.elect()
        if clock.monotonic() > not_after:
            raise NotNow("it is too late to send the request")
        return poll(worker_id, domain, unreadable, count)

    with mock.patch.object(bench.conductor, "poll", freeze):
        worker.step()
    assert worker.leader is None
    assert bench.conductor.tasks[task_id].status == "SCHEDULED", "it is left to the other one"
    assert bench.store.reports.read().conductor is None, "Conductor isn't to blame"


def test_a_term_is_certain_from_when_it_was_asked_for_and_not_from_when_that_was_answered(
    bench: Bench,
) -> None:
    bench.clock = Clock()
    worker, other = bench.worker(), bench.worker()
    elect = bench.store.leadership.elect

    def slow(worker_id: str, seconds: float) -> Term | None:
        term = elect(worker_id, seconds)
        bench.clock.seconds += TERM_SECONDS + 1  # frozen, until the term has run out
        return term

    with mock.patch.object(bench.store.leadership, "elect", slow):
        assert worker.elect()
    bench.store.leadership.resign(Term(worker.id))
    assert other.elect()
    polls = bench.conductor.poll = mock.Mock()  # type: ignore[method-assign]
    worker.step()
    assert worker.leader is None
    polls.assert_not_called()
