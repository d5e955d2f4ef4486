"""What a discovery reads, and what it says of tasks that have ended."""

from __future__ import annotations

import itertools
from unittest import mock

import pytest

from store.records import Task
from tests.worker.discovery.scanner_bench import Bench, fail, foreign
from tests.worker.discovery.scanner_bench import bench as bench
from worker.conductor.errors import ConductorError, NotNow


def test_a_discovery_reads_everything_at_first_and_rarely_again_and_else_what_is_new(
    bench: Bench,
) -> None:
    discovery = bench.discovery()
    bench.schedule()
    bench.conductor.poll("somebody")
    bench.scan()
    since = []
    for _ in range(81):
        bench.discover(discovery)
        since.append(bench.searches[-1])
        bench.ms += 30_000
    assert [number for number, start in enumerate(since) if start == 0] == [0, 40, 80]
    assert since[1] == bench.ms - 80 * 30_000 - 30_000 - 15_000
    assert all(later - sooner == 30_000 for sooner, later in itertools.pairwise(since[1:40]))


def test_a_discovery_says_which_waiting_tasks_have_ended(bench: Bench) -> None:
    ended, waits = bench.schedule(2)
    bench.conductor.end(ended, "CANCELED")
    discovery = bench.discovery()
    bench.known.add(ended, waits, "unknown")
    for found in ([ended], [ended], [ended], [ended, "unknown"]):
        bench.discover(discovery)
        assert bench.gone == found, "one that Conductor doesn't know is gone after minutes"
        bench.ms += 40_000


@pytest.mark.parametrize(
    "known", ["none", "its own", "one that waited before", "one that had settled before"]
)
def test_tasks_are_gone_only_from_a_server_that_knows_what_was_known_before(
    bench: Bench, known: str
) -> None:
    discovery = bench.discovery()
    discovery.missing.right_at = bench.ms
    [other] = bench.schedule() if known != "none" else ["another"]
    if known == "its own":
        bench.known.seen[other] = bench.ms + 1
    if known == "one that had settled before":
        bench.settled = [other]
        bench.known.seen["lost"] = bench.ms
    else:
        bench.known.add(other)
    for _ in range(10):
        bench.ms += 30_000
        bench.discover(discovery, "lost")
    is_right = known.startswith("one")
    assert (bench.gone[:1], discovery.missing.is_another_server) == (
        (["lost"], False) if is_right else ([], True)
    )


def test_another_server_with_many_tasks_of_its_own_is_not_the_right_one(bench: Bench) -> None:
    """A worker that starts there anew asks for theirs first."""
    discovery = bench.discovery()
    discovery.missing.right_at = bench.ms
    theirs = bench.schedule(120)
    bench.known.seen = dict.fromkeys(theirs, bench.ms + 1)
    for _ in range(10):
        bench.ms += 60_000
        bench.discover(discovery, *theirs, "ours")
    assert (bench.gone, discovery.missing.is_another_server) == ([], True)


def test_back_at_the_right_server_everything_is_read(bench: Bench) -> None:
    """Calls may have given up tasks meanwhile."""
    discovery = bench.discovery()
    [task] = foreign(bench, 1)
    bench.discover(discovery, task)
    with mock.patch.dict(bench.conductor.tasks, clear=True):
        bench.discover(discovery)
    bench.discover(discovery)
    bench.discover(discovery)
    bench.discover(discovery)
    assert [start == 0 for start in bench.searches] == [True, False, False, True, False]


def test_no_more_missing_tasks_are_asked_for_at_a_time_than_others(bench: Bench) -> None:
    discovery, asked = bench.discovery(), []
    with mock.patch.object(bench.conductor, "task", lambda task_id: asked.append(task_id)):
        for _ in range(5):
            asked.clear()
            bench.discover(discovery, *(f"lost{number}" for number in range(200)))
            assert len(asked) <= 50 + 50 + 20
    assert len(discovery.missing.tasks) == 200


def test_without_an_index_waiting_tasks_are_asked_for_one_by_one_in_turn(bench: Bench) -> None:
    tasks = bench.schedule(120)
    bench.conductor.waiting_ids_since = fail  # type: ignore[method-assign,assignment]
    for task in tasks[::40]:
        bench.conductor.end(task, "TIMED_OUT")
    discovery = bench.discovery()
    for _ in range(3):
        with pytest.raises(ConductorError):
            bench.discover(discovery, *tasks)
    assert bench.gone == tasks[::40]


def test_an_index_that_says_a_task_has_ended_is_no_proof(bench: Bench) -> None:
    [task] = bench.schedule()
    bench.scan()
    with mock.patch.object(bench.conductor, "ended_since", return_value={task}):
        bench.discover(bench.discovery(), task)
    assert bench.gone == []


def test_while_the_index_shows_nothing_running_workflows_are_read_every_two_minutes(
    bench: Bench,
) -> None:
    bench.conductor.indexing = False
    discovery = bench.discovery()
    bench.discover(discovery)
    task, *_ = foreign(bench, 1)
    found, ways = [], []
    for _ in range(9):
        bench.ms += 30_000
        bench.pass_(30)
        bench.discover(discovery)
        bench.known.add(*(ids := bench.ids()))
        found.append(task in ids)
        ways.append(bench.index.way)
    assert found.index(True) == 3
    assert ways == ["search"] * 5 + ["workflows"] * 4, (
        "the index lacks a task that has waited for long"
    )


def test_an_index_that_is_empty_because_everything_has_ended_is_not_off(bench: Bench) -> None:
    [task] = bench.schedule()
    discovery = bench.discovery()
    bench.discover(discovery, task)
    bench.ms += 60_000
    bench.pass_(60)
    bench.conductor.end(task, "TIMED_OUT")
    discovery.conductor_was_away()
    bench.discover(discovery)
    assert (bench.index.way, bench.gone) == ("search", [task])


def test_reading_all_running_workflows_takes_a_tenth_of_the_time(bench: Bench) -> None:
    bench.conductor.cannot = {"search": 500}
    running = bench.conductor.running

    def slow(workflow: str) -> list[str]:
        bench.pass_(10)
        return running(workflow)

    bench.conductor.running = slow  # type: ignore[method-assign]
    [task] = foreign(bench, 1)
    discovery = bench.discovery()
    found = []
    for _ in range(5):
        bench.discover(discovery)
        found.append(task in bench.ids())
        bench.pass_(31)
    assert found == [True, False, False, True, False]


# --- through the running workflows ---


def unindexed(bench: Bench, number: int = 1) -> list[str]:
    """Tasks that the index never learns of, beside one that it shows, and that is known."""
    [shown, *hidden] = [task for _ in range(1 + number) for task in bench.schedule()]
    while bench.conductor.poll("somebody"):
        pass
    bench.known.add(shown)
    bench.conductor.unindexed = set(hidden)
    return hidden


def test_a_task_that_the_index_never_learns_of_is_found_after_conductor_was_away(
    bench: Bench,
) -> None:
    discovery = bench.discovery()
    bench.discover(discovery)
    [task] = unindexed(bench)
    bench.ms += 31_000
    bench.discover(discovery)
    assert task not in bench.ids()
    discovery.conductor_was_away()
    bench.discover(discovery)
    assert task in bench.ids()


def test_a_round_goes_in_steps_and_first_where_nothing_is_known_to_wait(bench: Bench) -> None:
    hidden = unindexed(bench, 4)
    bench.known.update({next(iter(bench.known)): "w0", "another": "w1"})
    bench.ms += 31_000
    discovery, found = bench.discovery(step=2), []
    for _ in range(4):
        bench.discover(discovery)
        found.append([task for task in bench.ids() if task in hidden])
    assert found == [hidden[1:3], [hidden[3]], [hidden[0]], []]


def test_a_key_that_may_not_read_running_workflows_does_without_reconciliation(
    bench: Bench,
) -> None:
    [task] = unindexed(bench)
    discovery = bench.discovery()
    bench.conductor.cannot = {"workflows": 403}
    for _ in range(3):
        bench.discover(discovery)
    assert discovery.searched_to == bench.ms
    assert task not in bench.ids()
    assert [one.read for one in bench.reconciled] == [{"flow"}], "nothing better will come"


def test_a_server_in_trouble_has_not_shown_its_running_workflows(bench: Bench) -> None:
    [task] = unindexed(bench)
    discovery = bench.discovery()
    bench.conductor.cannot = {"workflows": 500}
    bench.discover(discovery)
    bench.conductor.cannot = {}
    discovery.conductor_was_away()
    bench.discover(discovery)
    assert task in bench.ids()
    assert [one.read for one in bench.reconciled] == [frozenset(), {"flow"}]


def test_a_reconciliation_that_is_wanted_begins_once_the_reads_of_all_workflows_may(
    bench: Bench,
) -> None:
    """After an outage during which there was no search; then there is one again."""
    discovery = bench.discovery()
    bench.conductor.cannot = {"search": 500}
    running = bench.conductor.running

    def slow(workflow: str) -> list[str]:
        bench.pass_(5)
        return running(workflow)

    with mock.patch.object(bench.conductor, "running", slow):
        bench.discover(discovery)
    discovery.conductor_was_away()
    bench.discover(discovery)
    [task] = unindexed(bench)
    bench.conductor.cannot = {}
    bench.pass_(60)
    bench.discover(discovery)
    assert bench.index.way == "search"
    assert task in bench.ids()


def test_a_reconciliation_that_outages_interrupt_comes_to_an_end_all_the_same(bench: Bench) -> None:
    hidden, discovery = unindexed(bench, 20), bench.discovery(step=1)
    for number in range(60):
        if number % 10 == 0:
            discovery.conductor_was_away()
        bench.discover(discovery)
    assert set(hidden) <= set(bench.ids())


def test_a_round_of_very_many_workflows_goes_on_to_its_end(bench: Bench) -> None:
    """It takes more discoveries than there are between the beginnings of two rounds."""
    hidden, discovery = unindexed(bench, 50), bench.discovery(step=1)
    for _ in range(60):
        bench.discover(discovery)
    assert set(hidden) <= set(bench.ids())
    assert len(bench.reconciled) == 1


def test_a_round_that_conductor_breaks_off_is_made_again(bench: Bench) -> None:
    [task] = unindexed(bench)
    discovery = bench.discovery()
    with mock.patch.object(bench.conductor, "running", fail), pytest.raises(NotNow):
        bench.discover(discovery)
    assert task not in bench.ids()
    bench.discover(discovery)
    assert task in bench.ids()


def test_a_read_beyond_conductors_limit_of_requests_costs_a_round_that_one(bench: Bench) -> None:
    hidden, discovery = unindexed(bench, 20), bench.discovery()
    waiting_in, beyond = bench.conductor.waiting_in, hidden[::5]
    refused = {bench.conductor.tasks[task].workflow_id for task in beyond}

    def limited(workflow_id: str) -> list[Task]:
        if workflow_id in refused:
            refused.remove(workflow_id)
            raise NotNow("429", 429)
        return waiting_in(workflow_id)

    with mock.patch.object(bench.conductor, "waiting_in", limited):
        bench.discover(discovery)
        assert set(hidden).difference(bench.ids()) == set(beyond)
        bench.pass_(20)
        assert {task.id for page in bench.index.retry() for task in page} == set(beyond)
    bench.discover(discovery)
    assert [one.read for one in bench.reconciled] == [{"flow"}]


def test_a_round_goes_on_though_the_index_does_not_say_which_tasks_have_ended(bench: Bench) -> None:
    hidden, discovery = unindexed(bench, 4), bench.discovery(step=2)
    with mock.patch.object(bench.conductor, "ended_since", fail):
        for _ in range(3):
            with pytest.raises(NotNow):
                bench.discover(discovery)
    assert set(hidden) <= set(bench.ids())
