"""Tasks that no queue hands out are found in the best way that the server has."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_args
from unittest import mock

import pytest

from tests.support.clock import Clock
from tests.support.simulated import Ailment, SimulatedConductor
from tests.worker.discovery.known import Known
from worker.conductor.errors import ConductorError, NotNow, Unreachable
from worker.discovery.index import Index


class Bench:
    """An index at a simulated server, with a clock that goes only when it is told to."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.clock = Clock(1_700_000_000.0)
        self.conductor = SimulatedConductor(lambda: int(self.clock.seconds * 1000))
        self.known = Known()
        self.index = Index(self.conductor, pool, self.known.among, self.clock)  # type: ignore[arg-type]
        self.index.receivers = ["flow"]

    def foreign(self, count: int = 1) -> list[str]:
        """Tasks that somebody else has polled."""
        workflow = self.conductor.begin("flow")
        ids = [
            self.conductor.schedule(workflow.id, f"wait{number}", {}).id for number in range(count)
        ]
        while self.conductor.poll("somebody"):
            pass
        return ids

    def find(self, start: int = 0, must_show: bool = False) -> list[str]:
        pages = self.index.waiting_since(start)
        if must_show:
            for page in self.index.search(start, set(), must_show=lambda: True):
                assert not page
        return [task.id for page in pages for task in page]

    @property
    def way(self) -> tuple[str, str]:
        """The one in force, and why it is no better one."""
        return self.index.way, self.index.reason

    def now(self) -> int:
        return int(self.clock.seconds * 1000)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with ThreadPoolExecutor(2) as pool:
        yield Bench(pool)


def test_the_index_gives_ids_and_each_task_that_is_new_is_read(bench: Bench) -> None:
    tasks = bench.foreign(5)
    bench.known.add(*tasks[:2])
    assert bench.find() == tasks[2:]
    assert bench.way == ("search", "")
    bench.conductor.searches.clear()
    bench.find(bench.now() - 1)
    assert bench.conductor.searches == ["search"]


def test_without_any_search_the_running_workflows_are_read(bench: Bench) -> None:
    bench.conductor.cannot = {"search": 403}
    tasks = bench.foreign(3)
    assert bench.find() == tasks
    assert bench.index.way == "workflows"
    assert bench.index.ended_since(0) == set()


def test_a_better_way_is_taken_again_once_it_works(bench: Bench) -> None:
    bench.conductor.cannot = {"search": 500}
    tasks = bench.foreign()
    bench.find()
    bench.conductor.cannot = {}
    assert bench.find() == tasks
    assert bench.way == ("workflows", "500 not supported")
    bench.clock.seconds += 61
    assert bench.find() == tasks
    assert bench.way == ("search", "")


@pytest.mark.parametrize("status", [502, 503, 429, 401, 0])
def test_an_answer_that_says_nothing_of_the_search_changes_no_way(
    bench: Bench, status: int
) -> None:
    bench.conductor.cannot = {"search": status}
    with pytest.raises(ConductorError):
        bench.find()
    assert bench.conductor.searches == ["search"]


def test_a_server_that_answers_500_to_everything_is_away(bench: Bench) -> None:
    bench.conductor.cannot = {"search": 500, "workflows": 500}
    with pytest.raises(ConductorError):
        bench.find()
    assert not bench.index.proven


def test_an_index_that_shows_nothing_though_it_must_is_off_until_it_shows_a_task(
    bench: Bench,
) -> None:
    bench.conductor.indexing = False
    tasks = bench.foreign(2)
    assert bench.find() == []
    assert bench.way == ("search", ""), "perhaps nothing waits"
    assert bench.find(must_show=True) == tasks
    assert bench.index.way == "workflows"
    assert "off" in bench.index.reason
    bench.clock.seconds += 61
    # An empty answer is no proof that it is on again.
    assert bench.find(bench.now() - 15_000) == tasks
    assert bench.index.way == "workflows"
    bench.conductor.indexing = True
    bench.clock.seconds += 61
    assert bench.find() == tasks
    assert bench.way == ("search", "")


def test_only_conductor_says_that_a_task_has_ended(bench: Bench) -> None:
    ended, waits = bench.foreign(2)
    bench.conductor.end(ended, "CANCELED")
    statuses = bench.index.statuses_of([ended, waits, "unknown"])
    assert {id_: status and status.terminal for id_, status in statuses.items()} == {
        ended: True,
        waits: False,
        "unknown": None,
    }


# --- what needn't be read ---


def test_tasks_of_workflows_that_are_no_receivers_are_not_read_until_they_are(bench: Bench) -> None:
    tasks = bench.foreign(3)
    bench.index.receivers = ["other"]
    assert (bench.find(), bench.conductor.reads) == ([], [])
    bench.index.receivers = ["flow"]
    assert [task.id for page in bench.index.waiting_of("flow", 1.0) for task in page] == tasks


def test_a_task_that_has_ended_is_read_once_while_the_index_shows_the_same_of_it(
    bench: Bench,
) -> None:
    [task] = bench.foreign()
    bench.conductor.lag = 60_000
    bench.conductor.end(task, "COMPLETED")
    assert [bench.find() for _ in range(3)] == [[], [], []]
    assert bench.conductor.reads == [task]
    again = bench.conductor.tasks[task]
    again.status, again.started_at = "IN_PROGRESS", bench.now() + 1
    assert bench.find() == [task], "it runs again"


def test_of_very_many_new_tasks_most_are_read_aside_and_only_their_events_wait(
    bench: Bench,
) -> None:
    tasks = bench.foreign(250)
    assert bench.find() == tasks[:100]
    shown = bench.now()
    assert bench.index.unread() == {"flow": shown}
    bench.clock.seconds += 2
    bench.known.add(*tasks[:100])
    assert bench.find() == [], "they have a turn of their own"
    bench.conductor.ailing[tasks[200]] = "500"
    found = [task.id for page in bench.index.retry() for task in page]
    assert found == [*tasks[100:200], *tasks[201:]]
    assert bench.index.unread() == {"flow": shown}, "one can't be read"
    assert sorted(bench.conductor.reads) == [*tasks[:200], *tasks[201:]], "each once, in any order"


@pytest.mark.parametrize("answer", [NotNow("429", 429), Unreachable("no connection")])
def test_one_read_that_gets_no_answer_costs_that_one(bench: Bench, answer: ConductorError) -> None:
    """A rate limit, or a connection that breaks: others were read meanwhile."""
    first, busy, last = bench.foreign(3)
    read = bench.conductor.waiting_task

    def refused(task_id: str) -> Any:
        if task_id == busy:
            raise answer
        return read(task_id)

    with mock.patch.object(bench.conductor, "waiting_task", refused):
        assert bench.find() == [first, last]
    assert retried(bench) == [busy]


# --- one item that can't be read ---

AILMENTS: tuple[Ailment, ...] = get_args(Ailment)


def retried(bench: Bench) -> list[str]:
    bench.clock.seconds += 20
    return [task.id for page in bench.index.retry() for task in page]


@pytest.mark.parametrize("ailment", AILMENTS)
def test_a_task_that_cannot_be_read_delays_only_itself(bench: Bench, ailment: Ailment) -> None:
    first, sick, last = bench.foreign(3)
    bench.conductor.ailing[sick] = ailment
    assert bench.find() == [first, last]
    assert retried(bench) == []
    assert bench.find() == [first, last]
    del bench.conductor.ailing[sick]
    assert bench.find() == [first, last], "it has times of its own"
    assert retried(bench) == [sick]
    assert bench.find() == [first, sick, last]


def test_where_no_task_can_be_read_none_is_to_blame(bench: Bench) -> None:
    tasks = bench.foreign(2)
    bench.conductor.ailing = dict.fromkeys((*tasks, "webhook-bridge-nobody"), "500")
    assert bench.find() == tasks
    assert bench.index.way == "workflows"
    assert bench.index.suspects.all() == []


def test_a_suspect_that_has_ended_is_forgotten(bench: Bench) -> None:
    [sick] = bench.foreign()
    bench.conductor.ailing[sick] = "garbage"
    bench.find()
    bench.conductor.ailing.clear()
    bench.conductor.end(sick, "CANCELED")
    assert retried(bench) == []
    assert bench.index.suspects.all() == []


@pytest.mark.parametrize("ailment", AILMENTS)
def test_a_running_workflow_that_cannot_be_shown_delays_only_its_own_tasks(
    bench: Bench, ailment: Ailment
) -> None:
    bench.conductor.cannot = {"search": 500}
    [first], [sick], [last] = bench.foreign(), bench.foreign(), bench.foreign()
    bench.conductor.ailing["w1"] = ailment
    assert bench.find() == [first, last]
    assert retried(bench) == []
    bench.conductor.ailing.clear()
    assert retried(bench) == [sick]
    assert bench.find() == [first, sick, last]


def test_a_receiver_whose_running_workflows_cannot_be_read_delays_only_its_own(
    bench: Bench,
) -> None:
    bench.conductor.cannot = {"search": 500}
    bench.index.receivers = ["other", "flow"]
    tasks = bench.foreign(2)
    bench.conductor.ailing["other"] = "500"
    assert bench.find() == tasks
    bench.conductor.ailing["flow"] = "500"
    with pytest.raises(ConductorError):
        bench.find()


def test_suspects_stay_while_conductor_is_away(bench: Bench) -> None:
    [sick] = bench.foreign()
    bench.conductor.ailing[sick] = "garbage"
    bench.find()
    away = mock.Mock(side_effect=Unreachable("no connection"))
    with (
        mock.patch.multiple(bench.conductor, waiting_task=away, task=away),
        pytest.raises(Unreachable),
    ):
        retried(bench)
    [suspect] = bench.index.suspects.all()
    assert suspect.tries == 1
    bench.conductor.ailing.clear()
    assert retried(bench) == [sick]
