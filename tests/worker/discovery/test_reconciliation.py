"""Tasks that neither queue nor index shows are found through the running workflows."""

from __future__ import annotations

from unittest import mock

import pytest

from tests.worker.discovery.scanner_bench import Bench, fail
from tests.worker.discovery.scanner_bench import bench as bench
from worker.conductor.errors import NotNow
from worker.discovery.discovery import Outcome


def unindexed(bench: Bench, number: int = 1) -> list[str]:
    """Tasks that the index never learns of, beside one that it shows, and that is known."""
    [shown, *hidden] = [task for _ in range(1 + number) for task in bench.schedule()]
    while bench.conductor.poll("somebody"):
        pass
    bench.known.add(shown)
    bench.conductor.unindexed = set(hidden)
    return hidden


def test_a_task_that_the_index_never_learns_of_is_found_after_conductor_was_away(bench: Bench) -> None:
    discovery = bench.discovery()
    bench.discover(discovery)
    [task] = unindexed(bench)
    bench.ms += 31_000
    bench.discover(discovery)
    assert task not in bench.ids()
    discovery.conductor_was_away()
    bench.discover(discovery)
    assert task in bench.ids()
    assert bench.outcomes == [Outcome(waiting=0, unindexed=0), Outcome(waiting=2, unindexed=1)]


def test_it_is_found_at_the_first_discovery_of_a_worker_and_rarely_again(bench: Bench) -> None:
    [task] = unindexed(bench)
    discovery, found = bench.discovery(), []
    for _ in range(41):
        bench.discover(discovery)
        found.append(task in bench.ids())
        bench.ms += 30_000
    assert [number for number, there in enumerate(found) if there] == [0, 40]


def test_an_index_that_has_had_no_time_yet_misses_nothing(bench: Bench) -> None:
    [task] = unindexed(bench)
    bench.ms += 29_000
    bench.discover(bench.discovery())
    assert task in bench.ids()
    assert bench.outcomes == [Outcome(waiting=2, unindexed=0)]


def test_a_round_goes_in_steps_and_first_where_nothing_is_known_to_wait(bench: Bench) -> None:
    hidden = unindexed(bench, 4)
    bench.known.update({next(iter(bench.known)): "w0", "another": "w1"})
    bench.ms += 31_000
    discovery, found = bench.discovery(step=2), []
    for _ in range(4):
        bench.discover(discovery)
        found.append([task for task in bench.ids() if task in hidden])
    assert found == [hidden[1:3], [hidden[3]], [hidden[0]], []]
    assert bench.outcomes == [Outcome(waiting=5, unindexed=4)]


def test_a_round_that_conductor_breaks_off_is_made_again(bench: Bench) -> None:
    [task] = unindexed(bench)
    discovery = bench.discovery()
    with mock.patch.object(bench.conductor, "running", fail), pytest.raises(NotNow):
        bench.discover(discovery)
    assert task not in bench.ids()
    bench.discover(discovery)
    assert task in bench.ids()


def test_a_key_that_may_not_read_running_workflows_does_without_reconciliation(bench: Bench) -> None:
    [task] = unindexed(bench)
    discovery = bench.discovery()
    bench.conductor.cannot = {"workflows": 403}
    for _ in range(3):
        bench.discover(discovery)
    assert discovery.searched_to == bench.ms
    assert task not in bench.ids()


def test_one_workflow_that_cannot_be_shown_keeps_a_round_from_nothing_else(bench: Bench) -> None:
    first, sick, last = unindexed(bench, 3)
    bench.conductor.ailing["w2"] = "500"
    bench.ms += 31_000
    discovery = bench.discovery()
    bench.discover(discovery)
    assert [task for task in bench.ids() if task in (first, sick, last)] == [first, last]
    assert bench.outcomes == [Outcome(waiting=3, unindexed=2)]
    bench.conductor.ailing.clear()
    bench.pass_(1)
    assert [task.id for page in bench.index.retry() for task in page] == [sick]
