"""Tasks over which the index fails cost a scan few calls."""

from __future__ import annotations

import pytest

from tests.worker.discovery.scanner_bench import Bench, Searched, foreign
from tests.worker.discovery.scanner_bench import bench as bench


@pytest.mark.parametrize("every", [3, 10, 100])
def test_however_many_tasks_fail_an_index_a_scan_makes_few_calls_over_them(bench: Bench, every: int) -> None:
    index = Searched(bench)
    bench.scan()
    bench.barrier.found_alone(bench.clock.seconds)
    tasks = foreign(bench, 1000)
    index.sick = set(tasks[::every])
    assert index.most_calls() < 100
    assert {task.id for task in bench.found} == set(tasks) - index.sick
    index.takes = 0.1
    for most in (100, 2, 2):  # the first overlaps the last search
        bench.ms += 20_000
        [new] = foreign(bench, 1)
        assert index.most_calls() <= most
        assert new in bench.ids()
        assert index.scan() == 0, "searches take a fifth of the time"
        bench.pass_(60)


def test_pages_of_a_slow_server_that_were_made_small_over_one_task_grow_again(bench: Bench) -> None:
    index = Searched(bench)
    index.takes = 1.0
    tasks = foreign(bench, 1000)
    index.sick = {tasks[500]}
    assert index.scan() < 40
    assert not bench.scanner.failure


def test_an_index_that_learns_late_of_a_task_shows_it_beside_those_that_fail_it(bench: Bench) -> None:
    index = Searched(bench)
    bench.scan()
    bench.barrier.found_alone(bench.clock.seconds)
    late, sick, _ = foreign(bench, 3)
    bench.conductor.tasks[late].status = "unknown"
    index.sick = {sick}
    bench.scan()
    bench.ms += 1000
    bench.scan()
    bench.conductor.tasks[late].status = "IN_PROGRESS"
    bench.ids()
    bench.pass_(2)
    bench.scan()
    assert late in bench.ids()
