"""Tasks that can't be read are found again, and keep no others from being found."""

from __future__ import annotations

from typing import Any

import pytest

from store.records import Task
from tests.worker.discovery.scanner_bench import Bench
from tests.worker.discovery.scanner_bench import bench as bench
from worker.conductor.errors import OutcomeUnknown
from worker.conductor.responses import Unreadable


def test_a_polled_task_that_cannot_be_read_is_found_again_by_its_id_and_the_others_at_once(bench: Bench) -> None:
    bench.scan()
    tasks = bench.schedule(5)
    bench.conductor.ailing = {tasks[1]: "garbage", tasks[3]: "500"}
    bench.scan()
    assert bench.knows()
    assert bench.ids() == [tasks[0], tasks[2], tasks[4]]
    bench.conductor.ailing.clear()
    bench.pass_(1)
    assert sorted(task.id for page in bench.index.retry() for task in page) == [tasks[1], tasks[3]]


def test_a_polled_task_that_has_no_id_is_searched_for(bench: Bench) -> None:
    bench.scan()
    [sick] = bench.schedule()
    bench.conductor.ailing = {sick: "garbage"}
    bench.scan()
    bench.pass_(2)
    bench.scan()
    assert len(bench.searches) == 2
    bench.conductor.ailing.clear()
    bench.pass_(1)
    assert [task.id for page in bench.index.retry() for task in page] == [sick]


def test_the_next_leader_searches_from_before_a_task_could_not_be_read(bench: Bench) -> None:
    bench.scan()
    [task] = bench.schedule()
    bench.conductor.poll("somebody")
    bench.conductor.ailing = {task: "hang"}
    discovery = bench.discovery()
    bench.discover(discovery)
    assert discovery.searched_to == bench.ms
    bench.ms += 3000
    bench.pass_(3)
    bench.discover(discovery)
    assert discovery.searched_to == bench.ms - 3000


def test_a_queue_that_gives_only_what_cannot_be_read_is_no_empty_one(bench: Bench) -> None:
    def poll(worker_id: str, domain: Any, unreadable: list[Any], count: int, _: float) -> list[Task]:
        unreadable.append(Unreadable(None, "no task"))
        return []

    bench.conductor.poll = poll  # type: ignore[method-assign,assignment]
    with pytest.raises(OutcomeUnknown):
        bench.scan()
