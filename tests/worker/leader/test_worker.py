"""The worker's loop: polled tasks that couldn't be stored, what it says of Conductor, its jobs,
faults of a step."""

from __future__ import annotations

import threading
import time
from typing import Any
from unittest import mock

import pytest
from worker.discovery.barrier import LAG

from config.webhooks import Definitions, Webhook
from store.errors import LeadershipLost, StoreUnavailable
from store.records import Pruned
from tests.support.clock import Clock
from tests.support.worker_bench import Bench, leader_of
from tests.support.worker_bench import bench as bench
from tools.servers import PATIENCE, eventually
from worker.conductor.errors import ConductorError, NotNow, NotThere
from worker.health import STUCK_AFTER, Health
from worker.leader import reporting
from worker.leader.heartbeat import TERM_SECONDS
from worker.leader.leader import TermOver, Tuning

# --- what was polled ---


def test_tasks_that_were_polled_and_could_not_be_stored_are_found_again(bench: Bench) -> None:
    bench.clock = clock = Clock(1000)
    worker = bench.deciding()
    worker.step()
    task = bench.wait()
    with mock.patch.object(bench.store.tasks, "adopt", side_effect=StoreUnavailable("locked")):
        worker.step()
    assert worker.leader is None, "it begins anew from the store"
    assert bench.state(task) is None
    bench.arrive()
    worker.step()
    assert bench.store.queries.targets_of(["event"]) == [], (
        "the event waits for what a dead worker may have polled"
    )
    clock.seconds += TERM_SECONDS + LAG
    worker.step()
    assert [target.task_id for target in bench.store.queries.targets_of(["event"])] == [task]


def test_a_worker_that_could_not_store_what_it_polled_does_not_resign(bench: Bench) -> None:
    old = bench.deciding()
    old.step()
    bench.wait()
    with mock.patch.object(bench.store.tasks, "adopt", side_effect=StoreUnavailable("locked")):
        old.step()
    assert old.leader is None
    assert not bench.worker().elect()


def test_who_finds_tasks_faster_than_they_are_stored_waits(bench: Bench) -> None:
    leader = leader_of(bench.deciding())
    leader._tuning, stored = Tuning(inbox=1), list[int]()
    leader._send(lambda: stored.append(1))
    second = threading.Thread(target=leader._send, args=[lambda: stored.append(2)])
    second.start()
    second.join(0.1)
    assert second.is_alive()
    leader.inbox.handle()
    second.join()
    leader.inbox.handle()
    assert stored == [1, 2]
    leader._send(lambda: None)
    leader.heartbeat.over = True
    with pytest.raises(TermOver):
        leader._send(lambda: None)


def test_who_waits_for_room_gives_up_as_the_worker_stops(bench: Bench) -> None:
    """Its loop may hang for seconds in a call, and the wait would be none."""
    worker = bench.deciding()
    leader = leader_of(worker)
    leader._tuning = Tuning(inbox=0)
    worker.stop()
    with pytest.raises(TermOver):
        leader._send(lambda: None)


def test_a_task_that_a_killed_conductor_never_told_its_index_of_is_found_once_it_is_back(
    bench: Bench,
) -> None:
    worker = bench.deciding()
    bench.wait()
    worker.step()
    leader_of(worker).discover()
    hidden = bench.wait()
    bench.conductor.poll("somebody")
    bench.conductor.unindexed = {hidden}
    bench.conductor.tasks[hidden].started_at -= 31_000
    leader_of(worker).discover()
    leader_of(worker).inbox.handle()
    assert bench.state(hidden) is None
    bench.conductor.poll_fault = "lost"
    worker.step()
    worker.step()
    leader_of(worker).discover()
    leader_of(worker).inbox.handle()
    assert bench.state(hidden) == "waiting"


def test_calls_that_conductor_lacks_are_known_before_an_event_needs_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "CHECKS_EVERY", 0.0)
    worker = bench.deciding()
    worker.step()
    absent = NotThere("404 (POST /workflow isn't there)")
    absent.call = "POST /workflow"
    with mock.patch.object(bench.conductor, "start", side_effect=absent):
        leader_of(worker).check()
    assert "POST /workflow" in bench.store.reports.read().missing_calls
    leader_of(worker).check()
    assert not bench.store.reports.read().missing_calls


def test_how_far_the_index_was_searched_is_noted_after_what_was_found_is_stored(
    bench: Bench,
) -> None:
    worker = bench.deciding()
    worker.step()
    task = bench.wait()
    bench.conductor.poll("somebody")
    leader_of(worker).discover()
    assert not bench.store.reports.read().index_searched_to
    with mock.patch.object(bench.store.tasks, "adopt", side_effect=StoreUnavailable("locked")):
        worker.step()
    assert not bench.store.reports.read().index_searched_to, "what was found then is not stored"
    worker.step()
    assert bench.state(task) == "waiting"
    before = int(time.time() * 1000)
    leader_of(worker).discover()
    worker.step()
    assert before <= (bench.store.reports.read().index_searched_to or 0) <= time.time() * 1000


def test_a_search_of_the_index_begins_where_an_earlier_term_has_come_to(bench: Bench) -> None:
    worker = bench.deciding()
    worker.step()
    leader_of(worker).discover()
    worker.step()
    searched_to = bench.store.reports.read().index_searched_to or 0
    worker.end_term()
    asked: list[int] = []
    search = bench.conductor.waiting_ids_since
    bench.conductor.waiting_ids_since = lambda start: asked.append(start) or search(start)  # type: ignore[method-assign,func-returns-value]
    assert worker.elect()
    worker.step()
    assert [searched_to - start for start in asked] == [15_000], "an index may lag by so much"


@pytest.mark.parametrize("meanwhile", ["the term goes on", "another term begins"])
def test_receivers_that_are_added_have_their_tasks_found_before_their_events_are_decided(
    bench: Bench, meanwhile: str
) -> None:
    """The index had shown their tasks long before, when they were nobody's."""
    receivers, bench.source.current = bench.source.current, Definitions(())
    tasks = [bench.conductor.tasks[bench.wait()] for _ in range(3)]
    for task in tasks:
        task.status, task.started_at = "IN_PROGRESS", bench.conductor.now() - 60_000
    worker = bench.deciding()
    worker.step()
    leader_of(worker).discover()
    worker.step()
    assert bench.conductor.reads == []
    assert bench.store.reports.read().index_searched_to
    if meanwhile == "another term begins":
        worker.end_term()
        assert worker.elect()
    bench.source.current = receivers
    bench.arrive()
    worker.step()
    taken = {target.task_id for target in bench.store.queries.targets_of(["event"])}
    assert taken == {task.id for task in tasks}


def test_a_task_that_a_person_has_forgotten_takes_nothing_more(bench: Bench) -> None:
    worker = bench.deciding()
    lost = bench.wait()
    worker.step()
    del bench.conductor.tasks[lost]
    leader = leader_of(worker)
    leader.discover()
    worker.step()
    assert (bench.state(lost), bench.store.reports.read().another_server) == ("waiting", lost)
    bench.store.tasks.forget([lost], bench.store.now())
    for _ in range(2):
        leader.discover()
        worker.step()
    assert lost not in leader.decider.tasks
    assert not bench.store.reports.read().another_server


@pytest.mark.usefixtures("patient_look_ups")
def test_a_workflows_version_is_read_again_for_each_of_its_tasks(bench: Bench) -> None:
    """It may have been restarted or upgraded; also if the worker is restarted before an event
    comes."""
    versions = Webhook.model_validate({"name": "w", "receivers": {"flow": [2]}})
    bench.source.current = Definitions((versions,))
    worker = bench.deciding()
    workflow = bench.conductor.begin("flow", version=2)
    tasks = [bench.conductor.schedule(workflow.id, "first", {})]
    worker.step()
    bench.arrive("e1")
    worker.step()
    assert bench.store.workflows.find(workflow.id) is not None
    workflow.version = 1
    tasks.append(bench.conductor.schedule(workflow.id, "second", {}))
    worker.step()
    worker.end_term()
    assert worker.elect()
    bench.arrive("e2")
    worker.step()
    taken = [
        target.task_id for id_ in ("e1", "e2") for target in bench.store.queries.targets_of([id_])
    ]
    assert taken == [tasks[0].id]


# --- what is said of Conductor ---


def test_that_conductor_is_up_is_said_anew_in_each_term(bench: Bench) -> None:
    first, second = bench.deciding(), bench.worker()
    first.step()
    first.end_term()
    assert second.elect()
    with mock.patch.object(bench.conductor, "poll", side_effect=ConductorError("away")):
        second.step()
    assert bench.store.reports.read().conductor == "away"
    second.end_term()
    assert first.elect()
    first.step()
    assert bench.store.reports.read().conductor == "up"


# --- response time-outs ---


# --- the whole loop ---


def delivered(bench: Bench, id_: str = "event") -> bool:
    event = bench.store.queries.event(id_)
    return event is not None and event.status == "delivered"


@pytest.mark.parametrize(
    "error", [StoreUnavailable("full"), LeadershipLost(), ZeroDivisionError(), KeyError("bug")]
)
def test_no_fault_of_a_step_ends_the_worker(
    bench: Bench, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = bench.worker()
    errors = [error, error]
    decide = bench.store.decisions.decide

    def failing(*given: Any) -> Any:
        if errors:
            raise errors.pop()
        return decide(*given)

    monkeypatch.setattr(bench.store.decisions, "decide", failing)
    thread = threading.Thread(target=worker.run)
    thread.start()
    bench.wait()
    bench.arrive()
    eventually(lambda: delivered(bench))
    worker.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_sighup_reads_the_definitions_at_the_next_step(bench: Bench) -> None:
    worker = bench.deciding()
    worker.reload()
    assert (bench.source.forced, bench.source.checked) == (1, 0)
    worker.step()
    assert bench.source.checked == 1
    worker.step()
    assert bench.source.checked == 1


def test_once_keys_of_pruned_events_are_forgotten_when_their_workflows_have_ended(
    bench: Bench,
) -> None:
    deciding = bench.deciding()
    runs, ended = bench.conductor.begin("flow"), bench.conductor.begin("flow")
    ended.ended = True
    forgotten: list[tuple[str, str]] = []
    pruned = [(f"{number:03}", (ended if number % 2 else runs).id) for number in range(250)]
    asked = bench.conductor.runs

    def answer(workflow_id: str) -> bool:
        if workflow_id == "sick":
            raise NotNow("500")
        return asked(workflow_id)

    pruned[7] = ("007", "sick")
    with (
        mock.patch.object(bench.conductor, "runs", answer),
        mock.patch.object(
            bench.store.once_keys,
            "pruned",
            lambda after, limit: [one for one in pruned if one[0] > after][:limit],
        ),
        mock.patch.object(bench.store.once_keys, "forget", forgotten.extend),
    ):
        deciding.as_leader(deciding._maintenance.forget_once_keys)
    assert forgotten == [one for one in pruned if one[1] == ended.id], "all, but the sick one"


def test_old_events_are_pruned_in_steps_by_the_worker_that_decides(bench: Bench) -> None:
    deciding, other = bench.deciding(), bench.worker()
    asked, began = [], bench.store.now()

    def prune(before: int, limit: int) -> Pruned:
        asked.append((before, limit))
        return Pruned(0, len(asked) < 3)  # of tasks there may be more than of events

    with mock.patch.object(bench.store.maintenance, "prune", prune):
        other.as_leader(other._maintenance.prune)
        assert asked == []
        deciding.as_leader(deciding._maintenance.prune)
    assert len(asked) == 3
    before, limit = asked[0]
    assert began <= before + 30 * 86_400_000 <= bench.store.now()
    assert limit <= 500


def test_it_counts_as_stuck_if_its_jobs_no_longer_run(bench: Bench) -> None:
    worker, clock = bench.worker(), Clock()
    worker._health = Health(bench.store.leadership, clock)
    worker._schedule()
    worker._intervals._scheduler.get_job("beat").func()
    clock.seconds += STUCK_AFTER
    assert worker._health.stuck() == []
    clock.seconds += 1
    assert worker._health.stuck() == ["the scheduler"]


def test_it_does_not_count_as_stuck_while_each_of_its_calls_waits_for_the_store(
    bench: Bench,
) -> None:
    worker, clock = bench.deciding(), Clock()
    worker._health = Health(bench.store.leadership, clock)
    seen: list[list[str]] = []

    def away(*_: object) -> None:
        clock.seconds += STUCK_AFTER * 2 / 3
        seen.append(worker._health.stuck())
        raise StoreUnavailable("PostgreSQL is away")

    with (
        mock.patch.object(leader_of(worker), "step", side_effect=away),
        mock.patch.object(bench.store.leadership, "resign", side_effect=away),
    ):
        worker.step()
    assert seen == [[], []]
