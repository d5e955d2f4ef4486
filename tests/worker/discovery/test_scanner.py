"""A scan is whole or nothing, and the index is asked whenever the queue may not know."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from store.records import Task
from tests.support.simulated import SimulatedConductor, failed
from tests.worker.discovery.scanner_bench import Bench, fail, foreign
from tests.worker.discovery.scanner_bench import bench as bench
from worker.conductor.errors import OutcomeUnknown, Unreachable
from worker.conductor.responses import Unreadable
from worker.discovery.watermark import LAG, WAIT


def test_a_scan_ends_though_tasks_go_on_coming(bench: Bench) -> None:
    tasks = bench.schedule(10)
    polls = 0
    poll = bench.conductor.poll

    def slow(*given: Any) -> list[Task]:
        nonlocal polls
        polls += 1
        assert polls < 50, "the scan doesn't end"
        bench.ms += 1001
        bench.schedule()
        return poll(*given)

    bench.conductor.poll = slow  # type: ignore[method-assign,assignment]
    bench.scan()
    assert set(tasks) <= set(bench.ids())


def test_a_queue_that_hands_out_whole_batches_of_new_tasks_may_hold_older_ones(
    bench: Bench,
) -> None:
    bench.scan()
    old = bench.schedule(1)
    bench.conductor.tasks[old[0]].status = "later"

    def poll(
        worker_id: str, domain: Any, unreadable: list[Any], count: int, _: float
    ) -> list[Task]:
        if bench.conductor.tasks[old[0]].status == "later":
            bench.conductor.tasks[old[0]].status = "SCHEDULED"
            bench.ms += 5000
            return [
                replace(bench.task_of(new), scheduled_at=bench.ms) for new in bench.schedule(count)
            ]
        return SimulatedConductor.poll(bench.conductor, worker_id, domain, unreadable, count)

    bench.conductor.poll = poll  # type: ignore[method-assign,assignment]
    bench.scan()
    assert old[0] in bench.ids()


class Sick:
    """A queue that fails over one of its tasks whenever that is among what it is to hand out."""

    def __init__(self, bench: Bench, sick: str | None) -> None:
        """With no `sick` task it fails over each."""
        self.bench = bench
        self.sick = sick
        self.polls: list[int] = []

    def poll(
        self, worker_id: str, domain: Any, unreadable: list[Any], count: int, _: float
    ) -> list[Task]:
        """A poll of the worker's."""
        self.polls.append(count)
        conductor = self.bench.conductor
        first = [task for task in conductor.tasks.values() if task.status == "SCHEDULED"][:count]
        if self.sick is None or any(task.id == self.sick for task in first):
            if count == 1 and self.sick is not None:  # it is handed out, and its answer gets lost
                SimulatedConductor.poll(conductor, worker_id, domain, unreadable, 1)
            raise failed(500)
        return SimulatedConductor.poll(conductor, worker_id, domain, unreadable, count)


def test_a_poll_that_fails_over_one_task_is_narrowed_down_to_it(bench: Bench) -> None:
    bench.scan()
    tasks = bench.schedule(10)
    sick = Sick(bench, tasks[6])
    bench.conductor.poll = sick.poll  # type: ignore[method-assign,assignment]
    bench.scan()
    bench.pass_(LAG / 1000)
    bench.scan()
    assert sorted(set(bench.ids())) == tasks  # the index knows the one whose poll failed
    assert len(sick.polls) < 20


def test_if_polls_for_single_tasks_go_on_failing_it_is_conductor_that_is_away(bench: Bench) -> None:
    bench.scan()
    sick = Sick(bench, None)
    bench.conductor.poll = sick.poll  # type: ignore[method-assign,assignment]
    with pytest.raises(OutcomeUnknown):
        bench.scan()
    assert sick.polls == [100, 1, 1, 1, 1, 1]


def test_later_scans_search_once_a_task_was_found_by_the_index_alone_and_for_what_is_new(
    bench: Bench,
) -> None:
    bench.scan()
    bench.scan()
    assert bench.searches == [0]
    bench.watermark.found_alone(bench.ms)
    first = bench.ms
    bench.scan()
    bench.ms += 1000
    bench.scan()
    assert bench.searches == [0, first - 15_000, first - 15_000]


def slowly(bench: Bench, call: Any) -> Any:
    def slow(*given: Any) -> Any:
        bench.pass_(2)
        return call(*given)

    return slow


def test_the_pause_after_a_search_is_measured_by_the_search_alone(bench: Bench) -> None:
    """Each task is read once, and none is spared by reading it later."""
    bench.scan()
    tasks = foreign(bench, 3)
    bench.watermark.found_alone(bench.ms)
    bench.conductor.waiting_task = slowly(bench, bench.conductor.waiting_task)  # type: ignore[method-assign]
    bench.scan()
    assert bench.ids() == tasks
    bench.scan()
    assert len(bench.searches) == 3


def test_there_is_no_pause_after_the_first_search_which_reads_everything(bench: Bench) -> None:
    bench.watermark.found_alone(bench.ms)
    bench.conductor._indexed = slowly(bench, bench.conductor._indexed)  # type: ignore[method-assign]
    for searches in (1, 2, 2):
        bench.scan()
        assert len(bench.searches) == searches


def test_receivers_that_are_added_are_searched_for_once_from_the_beginning(bench: Bench) -> None:
    bench.scan()
    [task] = foreign(bench, 1)
    bench.ms += 60_000
    bench.scanner.searched_to = bench.ms
    bench.scanner.unsearched.add("flow")
    bench.scan()
    assert (bench.ids(), bench.knows(), bench.scanner.unsearched) == ([task], True, set())


def test_a_poll_that_never_reached_conductor_has_lost_nothing(bench: Bench) -> None:
    bench.scan()
    bench.conductor.poll_fault = "unreachable"
    with pytest.raises(Unreachable):
        bench.scan()
    bench.scan()
    assert len(bench.searches) == 1


def test_where_the_index_cannot_be_searched_scans_are_waited_for_only_so_long(bench: Bench) -> None:
    bench.conductor.waiting_ids_since = fail  # type: ignore[method-assign,assignment]
    bench.scan()
    assert not bench.knows()
    bench.pass_(WAIT / 1000)
    assert bench.knows()
    [task] = bench.schedule()
    bench.scan()
    assert (bench.ids(), bench.knows()) == ([task], False)


def test_a_queue_that_gives_only_what_cannot_be_read_is_no_empty_one(bench: Bench) -> None:
    def poll(
        worker_id: str, domain: Any, unreadable: list[Any], count: int, _: float
    ) -> list[Task]:
        unreadable.append(Unreadable(None, "no task"))
        return []

    bench.conductor.poll = poll  # type: ignore[method-assign,assignment]
    with pytest.raises(OutcomeUnknown):
        bench.scan()


def test_what_waits_already_is_not_found_again_by_an_overlapping_search(bench: Bench) -> None:
    bench.watermark.found_alone(bench.ms)
    [task] = bench.schedule()
    bench.conductor.poll("somebody")
    bench.scan()
    bench.known.add(task)
    bench.scan()
    assert bench.ids() == [task]


def test_a_task_began_to_wait_before_its_poll_was_answered(bench: Bench) -> None:
    bench.schedule()
    poll = bench.conductor.poll

    def slow(*given: Any) -> list[Task]:
        bench.ms += 70
        return poll(*given)

    bench.conductor.poll = slow  # type: ignore[method-assign,assignment]
    sent = bench.ms
    for tasks in bench.scanner.scan():
        assert [task.seen_at for task in tasks] == [sent + 70]
        break


def test_a_scan_that_lost_a_poll_counts_once_the_index_was_searched_later(bench: Bench) -> None:
    bench.scan()
    assert bench.knows()
    [task] = bench.schedule()
    bench.conductor.poll_fault = "lost"
    with pytest.raises(OutcomeUnknown):
        bench.scan()
    lost = bench.ms
    for _ in range(3):
        bench.scan()
        assert bench.watermark.known_until(["flow"], bench.ms) < lost
        assert bench.ids() == []
        bench.pass_(LAG / 3000)
    bench.pass_(0.1)
    bench.scan()
    assert (bench.ids(), bench.knows()) == ([task], True)


def test_what_was_shown_and_cannot_be_read_is_unknown_for_its_workflow_alone(bench: Bench) -> None:
    bench.scan()
    before = bench.scanner.began
    bench.pass_(1)
    _, sick = bench.schedule(2)
    bench.conductor.ailing[sick] = "500"
    bench.scan()
    assert bench.watermark.known_until(["flow"], bench.ms) == before
    assert bench.watermark.known_until(["other"], bench.ms) == bench.scanner.began
    bench.conductor.ailing.clear()
    bench.pass_(1)
    assert [task.id for page in bench.index.retry() for task in page] == [sick]
    bench.scan()
    assert bench.knows()
