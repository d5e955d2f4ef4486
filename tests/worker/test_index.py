"""Tasks that no queue hands out are found in the best way that the server has."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pytest

from tests.worker.simulated import SimulatedConductor
from worker.conductor import ConductorError, Unreachable
from worker.index import Index, Ways


class Bench:
    """An index at a simulated server, with a clock that goes only when it is told to."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.seconds = 1_700_000_000.0
        self.conductor = SimulatedConductor(lambda: int(self.seconds * 1000))
        self.known: set[str] = set()
        self.told: list[tuple[str, str]] = []
        self.index = Index(
            self.conductor,  # type: ignore[arg-type]
            pool,
            lambda: ["flow"],
            self.known.__contains__,
            lambda way, reason: self.told.append((way, reason)),
        )

    def foreign(self, count: int = 1) -> list[str]:
        """Tasks that somebody else has polled."""
        workflow = self.conductor.begin("flow")
        ids = [self.conductor.schedule(workflow.id, f"wait{number}", {}).id for number in range(count)]
        while self.conductor.poll("somebody"):
            pass
        return ids

    def find(self, start: int = 0, must: bool = False) -> list[str]:
        return [task.id for page in self.index.waiting_since(start, must) for task in page]

    def now(self) -> int:
        return int(self.seconds * 1000)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with ThreadPoolExecutor(2) as pool:
        bench = Bench(pool)
        with (
            mock.patch.object(time, "time", lambda: bench.seconds),
            mock.patch.object(time, "monotonic", lambda: bench.seconds),
        ):
            yield bench


def test_the_index_gives_whole_tasks_where_it_can(bench: Bench) -> None:
    tasks = bench.foreign(5)
    assert bench.find() == tasks
    assert bench.told == [("search-v2", "")]


def test_where_it_gives_ids_only_each_task_that_is_new_is_read(bench: Bench) -> None:
    bench.conductor.cannot = {"search-v2": 500}
    tasks = bench.foreign(5)
    bench.known.update(tasks[:2])
    assert bench.find() == tasks[2:]
    assert bench.told == [("search", "500 not supported")]
    bench.conductor.searches.clear()
    bench.find(bench.now() - 1)
    assert bench.conductor.searches == ["search"]


def test_without_any_search_the_running_workflows_are_read(bench: Bench) -> None:
    bench.conductor.cannot = {"search-v2": 404, "search": 403}
    tasks = bench.foreign(3)
    assert bench.find() == tasks
    assert [way for way, _ in bench.told] == ["workflows"]
    assert bench.index.ended_since(0) == set()


def test_reading_all_workflows_takes_a_part_of_the_time_only_unless_it_must_be(bench: Bench) -> None:
    bench.conductor.cannot = {"search-v2": 500, "search": 500}
    running = bench.conductor.running

    def slow(workflow: str) -> list[str]:
        bench.seconds += 2
        return running(workflow)

    bench.conductor.running = slow  # type: ignore[method-assign]
    tasks = bench.foreign()
    assert bench.find() == tasks
    bench.seconds += 19
    assert bench.find() == []
    assert bench.find(must=True) == tasks
    bench.seconds += 21
    assert bench.find() == tasks


def test_a_better_way_is_taken_again_once_it_works(bench: Bench) -> None:
    bench.conductor.cannot = {"search-v2": 500}
    tasks = bench.foreign()
    bench.find()
    bench.conductor.cannot = {}
    assert bench.find() == tasks
    assert bench.index.way == "search"
    bench.seconds += 61
    assert bench.find() == tasks
    assert bench.told[-1] == ("search-v2", "")


@pytest.mark.parametrize("status", [502, 503, 429, 401, 0])
def test_an_answer_that_says_nothing_of_the_search_changes_no_way(bench: Bench, status: int) -> None:
    bench.conductor.cannot = {"search-v2": status}
    with pytest.raises(ConductorError):
        bench.find()
    assert bench.conductor.searches == ["search-v2"]


def test_a_server_that_answers_500_to_everything_is_away(bench: Bench) -> None:
    bench.conductor.cannot = {"search-v2": 500, "search": 500, "workflows": 500}
    with pytest.raises(ConductorError):
        bench.find()
    assert bench.told == []


def test_a_connection_that_fails_is_no_lack_of_a_search(bench: Bench) -> None:
    with (
        mock.patch.object(bench.conductor, "waiting_since", side_effect=Unreachable("no connection")),
        pytest.raises(Unreachable),
    ):
        bench.find()


def test_an_index_that_knows_nothing_of_tasks_that_wait_is_off(bench: Bench) -> None:
    bench.conductor.indexing = False
    tasks = bench.foreign(2)
    assert bench.find(must=True) == tasks  # found at once, though an index may be so late
    assert bench.index.way == "search-v2"
    bench.seconds += 121
    assert bench.find() == tasks
    assert bench.told[-1][0] == "workflows"
    assert "off" in bench.told[-1][1]
    bench.seconds += 61
    assert bench.find(bench.now() - 15_000) == tasks  # an empty answer is no proof that it is on again
    assert bench.index.way == "workflows"
    bench.conductor.indexing = True
    bench.seconds += 61
    assert bench.find() == tasks
    assert bench.told[-1] == ("search-v2", "")


def test_an_empty_index_is_right_where_nothing_waits(bench: Bench) -> None:
    bench.conductor.begin("flow")
    bench.seconds += 60
    assert bench.find() == []
    assert bench.told == [("search-v2", "")]
    assert not bench.index.proven


def test_only_conductor_says_that_a_task_has_ended(bench: Bench) -> None:
    ended, waits = bench.foreign(2)
    bench.conductor.end(ended, "CANCELED")
    assert bench.index.ended_of([ended, waits, *bench.foreign()]) == [ended]


def test_a_new_failure_of_the_same_way_is_worth_telling_and_a_repeated_one_is_not() -> None:
    ways = Ways()
    assert ways.works("search", "500 a", 0)
    assert not ways.works("search", "", 10)
    assert not ways.works("search", "500 a", 100)
    assert ways.works("search", "500 b", 200)
    assert ways.to_try(210) == ("search", "workflows")
    assert ways.to_try(260) == ("search-v2", "search", "workflows")
