"""The worker's loop: leadership, polled tasks that couldn't be stored, and faults that end neither it nor any task."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from structlog.testing import capture_logs

from config.settings import Settings
from config.webhooks import Definitions, Webhook
from store import rows
from store.errors import LeadershipLost, StoreUnavailable, Unstorable
from store.records import NewEvent, Pruned, Task, Term
from store.sqlite import SqliteStore, open_store
from testkit import PATIENCE
from testkit.own_webhooks import Fault, OwnWebhooks
from tests.worker.clock import Clock
from tests.worker.play import Later
from tests.worker.simulated import SimulatedConductor
from worker.conductor.bounds import Bounds
from worker.conductor.client import Conductor
from worker.conductor.errors import ConductorError, NotNow, NotThere, OutcomeUnknown, Unreachable
from worker.conductor.server_webhooks import FACT, ServerWebhook, from_text
from worker.context import Context
from worker.health import Health
from worker.leader import leader as leader_module
from worker.leader.decider import Decider
from worker.leader.heartbeat import TERM_SECONDS
from worker.leader.leader import Leader
from worker.leader.tuning import Tuning
from worker.leader.worker import Worker


class Watcher:
    """Definitions that a test changes."""

    def __init__(self) -> None:
        self.current = Definitions((Webhook.model_validate({"name": "w", "receivers": {"flow": "any"}}),))
        self.forced = self.checked = 0

    def check(self) -> bool:
        self.checked += 1
        return False

    def force(self) -> None:
        self.forced += 1


TUNING = Tuning(once_key_gap=0)


class Bench:
    """Workers on one store and one simulated Conductor."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store: SqliteStore = open_store(f"sqlite:///{folder}/bridge.db")
        self.conductor = SimulatedConductor(lambda: int(time.time() * 1000), known=frozenset({"flow"}))
        self.source = Watcher()
        self.clock: Any = time
        self.domains = ""
        self.made: list[Worker] = []

    def worker(self) -> Worker:
        made = Settings(
            bridge_database=f"sqlite:///{self.folder}/bridge.db",
            bridge_poll_interval="50ms",
            bridge_discovery_interval="100ms",
            bridge_task_domains=self.domains,
        )
        source: Any = self.source
        conductor: Any = self.conductor
        context = Context(made, self.store, conductor, source, Health(self.store.leadership), self.clock)
        worker = Worker(context, tuning=TUNING)
        self.made.append(worker)
        return worker

    def deciding(self) -> Worker:
        worker = self.worker()
        assert worker.elect()
        return worker

    def wait(self) -> str:
        return self.conductor.schedule(self.conductor.begin("flow").id, "wait", {}).id

    def arrive(self, id_: str = "event") -> None:
        now = int(time.time() * 1000)
        self.store.deliveries.append([NewEvent(id_, "w", now, "{}", {}, {}, now + 600_000)])

    def state(self, task_id: str) -> str | None:
        task = self.store.queries.task(task_id)
        return task.state if task else None

    def close(self) -> None:
        for worker in self.made:
            worker.end_term()
            worker.close()
        self.store._connections.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def leader_of(worker: Worker) -> Leader:
    assert worker.leader is not None
    return worker.leader


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# --- who decides ---


def test_the_password_in_conductors_address_is_not_logged(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDUCTOR_SERVER_URL", "http://user:hidden@conductor:8080/api")
    worker = bench.deciding()
    with (
        capture_logs() as logs,
        mock.patch.object(bench.conductor, "poll", side_effect=Unreachable("away")),
    ):
        worker.step()
        worker.stop()
        worker.run()
    said = [line for line in logs if "http://conductor:8080/api" in str(line)]
    assert [line["event"] for line in said] == ["Conductor can't be used; trying again", "worker started"]
    assert "hidden" not in str(logs)


def test_one_worker_decides_and_the_next_one_when_it_is_gone(bench: Bench) -> None:
    first, second = bench.deciding(), bench.worker()
    assert not second.elect()
    first.end_term()
    assert second.elect()


def test_the_leader_too_reads_what_it_is_told_of_targets(bench: Bench) -> None:
    """PostgreSQL would keep all of it for as long as one worker stays leader, until nothing more can be told."""
    worker = bench.deciding()
    for _ in range(3):
        worker._heard_at = float("-inf")
        bench.store.signals.tell("targets")
        worker.step()
        assert not worker._listener.wait(0), "it has been read"


def test_who_is_dead_is_replaced_at_once_and_who_may_only_hang_when_its_term_has_run_out(bench: Bench) -> None:
    first, second = bench.deciding(), bench.worker()
    assert not second.elect()
    bench.store.leadership._unlock(first.id)  # as the kernel does when a process ends
    assert second.elect()
    third = bench.worker()
    assert not third.elect()
    with mock.patch.object(time, "time", return_value=time.time() + TERM_SECONDS + 1):
        assert third.elect()


def test_what_a_worker_polled_as_it_died_is_found_before_anything_is_decided(bench: Bench) -> None:
    dead = bench.deciding()
    first, second = bench.wait(), bench.wait()
    bench.arrive()
    # The poll is on its way as the worker is killed, and Conductor carries it out only after the next one has swept.
    polled = bench.conductor.tasks.pop(second)
    bench.store.leadership._unlock(dead.id)
    successor = bench.deciding()

    def take_effect() -> None:
        polled.status, polled.started_at = "IN_PROGRESS", int(time.time() * 1000)
        bench.conductor.tasks[second] = polled

    timer = threading.Timer(0.3, take_effect)
    timer.start()
    successor.step()
    timer.join()
    assert sorted(target.task_id or "" for target in bench.store.queries.targets_of(["event"])) == sorted(
        [first, second]
    )


def test_who_follows_a_worker_that_said_goodbye_or_ended_long_ago_decides_at_once(bench: Bench) -> None:
    first, second = bench.deciding(), bench.worker()
    assert leader_of(first).quiet_until == float("-inf")
    first.end_term()
    assert second.elect()
    assert leader_of(second).quiet_until == float("-inf")
    bench.store.leadership._unlock(second.id)
    third = bench.worker()
    with mock.patch.object(time, "time", return_value=time.time() + 3600):
        assert third.elect()
    assert leader_of(third).quiet_until < time.monotonic()


def test_a_worker_keeps_quiet_after_a_dead_one_though_the_answer_to_its_election_was_lost(bench: Bench) -> None:
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
    assert leader_of(successor).quiet_until > time.monotonic()


def test_a_worker_that_must_still_keep_quiet_after_a_dead_one_does_not_resign(bench: Bench) -> None:
    dead, successor, third = bench.deciding(), bench.worker(), bench.worker()
    bench.store.leadership._unlock(dead.id)
    assert successor.elect()
    successor.end_term()
    assert not third.elect()
    assert successor.elect()
    assert leader_of(successor).quiet_until > time.monotonic()
    bench.store.leadership._unlock(successor.id)
    assert third.elect()
    assert leader_of(third).quiet_until > time.monotonic()


def test_a_worker_resigns_only_if_the_index_was_searched_after_a_poll_whose_answer_was_lost(bench: Bench) -> None:
    first, second = bench.deciding(), bench.worker()
    bench.conductor.poll_fault = "lost"
    first.step()
    first.end_term()
    assert not second.elect(), "the poll may still take effect"
    assert first.elect()
    leader_of(first).quiet_until = float("-inf")
    first.step()
    bench.conductor.poll_fault = "lost"
    first.step()
    assert not leader_of(first).settled

    def settles() -> bool:
        first.step()
        return leader_of(first).settled

    eventually(settles)
    first.end_term()
    assert second.elect()


def test_a_worker_that_lost_leadership_does_not_take_it_from_the_living(bench: Bench) -> None:
    frozen, living = bench.deciding(), bench.worker()
    with mock.patch.object(time, "time", return_value=time.time() + TERM_SECONDS + 1):
        assert living.elect(), "without the lock, which the frozen one has"
    bench.wait()
    frozen.step()  # it wakes up, and finds that another decides
    assert frozen.leader is None
    assert not frozen.elect()
    leader_of(living).renew()  # takes the lock


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


# --- what was polled ---


def test_tasks_that_were_polled_and_could_not_be_stored_are_stored_later(bench: Bench) -> None:
    worker = bench.deciding()
    task = bench.wait()
    locked = StoreUnavailable("locked")
    with (
        mock.patch.object(bench.store.tasks, "adopt", side_effect=locked),
        mock.patch.object(bench.store.tasks, "hand_over", side_effect=locked),
    ):
        worker.step()
    assert worker.leader is None, "it begins anew from the store"
    assert bench.state(task) is None
    bench.conductor.waiting_since = lambda start, unreadable=None: iter(())  # type: ignore[method-assign]  # no index
    worker.step()
    assert bench.state(task) == "waiting"
    bench.arrive()
    worker.step()
    assert [target.task_id for target in bench.store.queries.targets_of(["event"])] == [task]


def test_tasks_that_were_polled_as_leadership_was_lost_go_to_the_worker_that_decides_now(bench: Bench) -> None:
    old = bench.deciding()
    task = bench.wait()
    new = bench.worker()
    bench.store.leadership.resign(Term(old.id))
    assert bench.store.leadership.elect(new.id, 60)
    bench.conductor.waiting_since = lambda start, unreadable=None: iter(())  # type: ignore[method-assign]  # no index
    old.step()
    assert old.leader is None
    old.step()
    assert bench.state(task) == "returned"
    assert new.elect()
    new.step()
    assert bench.state(task) == "waiting"
    assert task in leader_of(new).decider.tasks


def test_what_the_index_shows_is_adopted_and_what_has_ended_is_dropped(bench: Bench) -> None:
    worker = bench.deciding()
    ended, found = bench.wait(), bench.wait()
    worker.step()
    bench.conductor.tasks[found].status = "IN_PROGRESS"
    bench.conductor.end(ended, "CANCELED")
    hidden = bench.wait()
    bench.conductor.poll("somebody")
    leader_of(worker).discover()
    leader_of(worker).read_inbox()
    assert (bench.state(ended), bench.state(found), bench.state(hidden)) == ("gone", "waiting", "waiting")
    assert leader_of(worker).state.need() == "both"
    assert abs(int(bench.store.facts.all()["tasks_by_index_alone"]) - bench.store.now()) < 3_600_000


def test_a_task_that_a_killed_conductor_never_told_its_index_of_is_found_once_it_is_back(bench: Bench) -> None:
    worker = bench.deciding()
    bench.wait()
    worker.step()
    leader_of(worker).discover()
    hidden = bench.wait()
    bench.conductor.poll("somebody")
    bench.conductor.unindexed = {hidden}
    bench.conductor.tasks[hidden].started_at -= 31_000
    leader_of(worker).discover()
    leader_of(worker).read_inbox()
    assert bench.state(hidden) is None
    bench.conductor.poll_fault = "lost"
    worker.step()
    worker.step()
    leader_of(worker).discover()
    leader_of(worker).read_inbox()
    assert bench.state(hidden) == "waiting"
    assert bench.store.facts.all()["index_misses"] == "1 of 2 waiting tasks"


def test_what_a_reconciliation_has_shown_is_reported_though_the_discovery_fails_behind_it(bench: Bench) -> None:
    worker = bench.deciding()
    bench.wait()
    worker.step()
    hidden = bench.wait()
    bench.conductor.poll("somebody")
    bench.conductor.unindexed = {hidden}
    bench.conductor.tasks[hidden].started_at -= 31_000
    lost = OutcomeUnknown("no answer in time")
    with mock.patch.object(bench.conductor, "ended_since", side_effect=lost), pytest.raises(OutcomeUnknown):
        leader_of(worker).discover()
    assert bench.store.facts.all()["index_misses"] == "1 of 2 waiting tasks"


def test_a_worker_that_lost_leadership_as_a_queue_was_found_empty_polls_no_other_queue(bench: Bench) -> None:
    bench.domains = "billing"
    worker, other = bench.deciding(), bench.worker()
    asked: list[str | None] = []

    def poll(worker_id: str, domain: str | None = None, *_: Any) -> list[Task]:
        asked.append(domain)  # this process is frozen, and its term runs out
        bench.store.leadership.resign(Term(worker.id))
        assert other.elect()
        leader.heartbeat._renewed_at -= TERM_SECONDS + 1
        return []

    leader = leader_of(worker)
    bench.conductor.poll = poll  # type: ignore[method-assign,assignment]
    worker.step()
    assert (asked, worker.leader) == ([None], None)


def test_calls_that_conductor_lacks_are_known_before_an_event_needs_them(bench: Bench) -> None:
    worker = bench.deciding()
    worker.step()
    absent = NotThere("404 (POST /workflow isn't there)")
    absent.call = "POST /workflow"
    with mock.patch.object(bench.conductor, "start", side_effect=absent):
        leader_of(worker).check_calls()
    assert "POST /workflow" in bench.store.facts.all()["conductor_lacks"]
    leader_of(worker).check_calls()
    assert "conductor_lacks" not in bench.store.facts.all()


@pytest.fixture
def own_webhooks(bench: Bench) -> Iterator[OwnWebhooks]:
    """A server with webhooks of its own, which the real client asks for them."""
    server = OwnWebhooks()
    client = Conductor(server.url, Bounds(0.2))
    with mock.patch.object(bench.conductor, "webhooks", client.webhooks):
        yield server
    server.stop()


def test_webhooks_of_conductors_own_are_reported_and_looked_at_now_and_then(
    bench: Bench, own_webhooks: OwnWebhooks
) -> None:
    bench.clock = clock = Clock()
    worker = bench.deciding()
    leader_of(worker).look_at_webhooks()
    assert own_webhooks.asked == 0, "Conductor hasn't answered yet"
    worker.step()
    own_webhooks.fault = "absent"
    for _ in range(3):
        leader_of(worker).look_at_webhooks()
    assert own_webhooks.asked == 1
    assert from_text(bench.store.facts.all()[FACT]) is None
    own_webhooks.fault = None
    own_webhooks.add(name="payments", id="7f3kq", receiverWorkflowNamesToVersions={"flow": 1})
    clock.seconds += TUNING.webhooks_gap
    leader_of(worker).look_at_webhooks()
    assert from_text(bench.store.facts.all()[FACT]) == [ServerWebhook("payments", "7f3kq", {"flow": 1})]


@pytest.mark.parametrize("fault", ["401", "403", "503", "page", "login page", "garbage", "no list", "hangs"])
def test_an_answer_that_does_not_tell_of_webhooks_changes_nothing(
    bench: Bench, own_webhooks: OwnWebhooks, fault: Fault
) -> None:
    worker = bench.deciding()
    worker.step()
    own_webhooks.fault = fault
    leader_of(worker).look_at_webhooks()
    assert own_webhooks.asked == 1
    assert FACT not in bench.store.facts.all()


def test_a_server_that_never_tells_of_its_webhooks_holds_up_no_event(bench: Bench, own_webhooks: OwnWebhooks) -> None:
    own_webhooks.fault = "hangs"
    worker = bench.worker()
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        eventually(lambda: own_webhooks.asked)
        task_id = bench.wait()
        bench.arrive()
        eventually(lambda: bench.state(task_id) == "completed")
    finally:
        worker.stop()
        thread.join(PATIENCE)
    assert not thread.is_alive()


def test_how_far_the_index_was_searched_is_noted_after_what_was_found_is_stored(bench: Bench) -> None:
    worker = bench.deciding()
    worker.step()
    task = bench.wait()
    bench.conductor.poll("somebody")
    leader_of(worker).discover()
    assert "index_searched_to" not in bench.store.facts.all()
    with mock.patch.object(bench.store.tasks, "adopt", side_effect=StoreUnavailable("locked")):
        worker.step()
    assert "index_searched_to" not in bench.store.facts.all(), "what was found then is not stored"
    worker.step()
    assert bench.state(task) == "waiting"
    before = int(time.time() * 1000)
    leader_of(worker).discover()
    worker.step()
    assert before <= int(bench.store.facts.all()["index_searched_to"]) <= time.time() * 1000


def test_a_search_of_the_index_begins_where_an_earlier_term_has_come_to(bench: Bench) -> None:
    worker = bench.deciding()
    worker.step()
    leader_of(worker).discover()
    worker.step()
    searched_to = int(bench.store.facts.all()["index_searched_to"])
    worker.end_term()
    asked: list[int] = []
    search = bench.conductor.waiting_since
    bench.conductor.waiting_since = lambda start, unreadable=None: asked.append(start) or search(start)  # type: ignore[method-assign,func-returns-value]
    assert worker.elect()
    worker.step()
    assert [searched_to - start for start in asked] == [15_000], "an index may lag by so much"


# --- what is said of Conductor ---


def test_that_conductor_is_up_is_said_anew_in_each_term(bench: Bench) -> None:
    first, second = bench.deciding(), bench.worker()
    first.step()
    first.end_term()
    assert second.elect()
    with mock.patch.object(bench.conductor, "poll", side_effect=ConductorError("away")):
        second.step()
    assert bench.store.facts.all()["conductor"] == "away"
    second.end_term()
    assert first.elect()
    first.step()
    assert bench.store.facts.all()["conductor"] == "up"


def test_what_a_worker_says_of_conductor_that_does_not_decide_any_more_does_not_stand_for_long(bench: Bench) -> None:
    bench.clock = Clock()
    worker = bench.deciding()
    worker.step()
    bench.store.facts.set("conductor", "away")  # by one that hung as it was about to say so
    bench.clock.seconds += 61
    worker.step()
    assert bench.store.facts.all()["conductor"] == "up"


# --- heartbeats ---


def test_a_heartbeat_after_the_end_brings_no_leadership_back(bench: Bench) -> None:
    worker, next_one = bench.deciding(), bench.worker()
    leader = leader_of(worker)
    worker.end_term()
    leader.renew()
    assert bench.store.leadership.leader() is None
    with mock.patch.object(leader.heartbeat, "over", False):  # it had begun before the end
        leader.renew()
    assert bench.store.leadership.leader() is None
    assert next_one.elect()
    bench.store.leadership._unlock(next_one.id)
    assert worker.elect(), "the death of the next one shows: nobody else keeps its lock"


def test_a_worker_that_lost_leadership_hears_of_it_from_its_heartbeat(bench: Bench) -> None:
    worker, other = bench.deciding(), bench.worker()
    bench.store.leadership.resign(Term(worker.id))
    assert other.elect()
    leader_of(worker).renew()
    polls = bench.conductor.poll = mock.Mock()  # type: ignore[method-assign]
    worker.step()
    assert worker.leader is None
    polls.assert_not_called()


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

    def freeze(worker_id: str, domain: Any, unreadable: Any, count: int, not_after: float) -> list[Task]:
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
    assert bench.store.facts.all().get("conductor") is None, "Conductor isn't to blame"


def test_a_term_is_certain_from_when_it_was_asked_for_and_not_from_when_that_was_answered(bench: Bench) -> None:
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


# --- response time-outs ---


def test_time_outs_are_put_off_for_waiting_tasks_of_the_present_term_only(bench: Bench) -> None:
    worker = bench.deciding()
    workflow = bench.conductor.begin("flow")
    task = Task(bench.conductor.schedule(workflow.id, "wait", {}).id, workflow.id, "flow", "wait", {}, 0, 30)
    strange = replace(task, id="another bridge's", workflow="strange")
    extended: list[str] = []
    bench.conductor.extend_lease = lambda task_id, *_: extended.append(task_id)  # type: ignore[attr-defined]
    leader = leader_of(worker)
    leader._adopt([task, strange])
    worker._timeouts._pool = pool = Later()
    leader.extend_timeouts()
    pool.run_all()
    assert extended == [task.id]
    worker.end_term()
    extended.clear()
    leader.extend_timeouts()
    pool.run_all()
    assert extended == []


def test_time_outs_are_looked_at_soon_once_there_are_any_and_otherwise_rarely(bench: Bench) -> None:
    worker = bench.worker()
    assert worker._extend_timeouts() > 1, "no leader"
    due = worker._timeouts.due
    assert worker.elect()
    assert due.wait(0)
    assert worker._extend_timeouts() > 1, "no task"
    workflow = bench.conductor.begin("flow")
    id_ = bench.conductor.schedule(workflow.id, "wait", {}).id
    due.clear()
    leader_of(worker)._adopt([Task(id_, workflow.id, "flow", "wait", {}, 0, 30)])
    assert due.wait(0)
    worker._timeouts._pool = Later()
    assert worker._extend_timeouts() < 1
    leader_of(worker).decider.tasks.remove(id_)
    assert worker._extend_timeouts() < 1, "its time-out may still be extended, if an event has taken it"
    worker.end_term()
    assert worker._extend_timeouts() > 1


# --- the whole loop ---


@pytest.fixture
def running(bench: Bench) -> Iterator[Worker]:
    worker = bench.worker()
    thread = threading.Thread(target=worker.run)
    thread.start()
    yield worker
    worker.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def delivered(bench: Bench, id_: str = "event") -> bool:
    event = bench.store.queries.event(id_)
    return event is not None and event.status == "delivered"


def test_an_event_is_delivered_without_waiting_for_the_next_poll(bench: Bench, running: Worker) -> None:
    task = bench.wait()
    bench.arrive()
    eventually(lambda: delivered(bench))
    assert bench.conductor.tasks[task].worker_id == "event"


@pytest.mark.parametrize("told", [True, False])
def test_an_agenda_is_read_if_told_of_anything_or_if_there_is_something(
    bench: Bench, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = bench.deciding()
    agendas = mock.Mock(wraps=bench.store.decisions.agenda)
    monkeypatch.setattr(bench.store.decisions, "agenda", agendas)
    worker.step()
    assert agendas.call_count == 1, "the first step knows nothing"
    monkeypatch.setattr(leader_of(worker)._listener, "wait", lambda _: told)
    worker.step()  # what the wait before said is as may be
    agendas.reset_mock()
    worker.step()
    assert agendas.call_count == told
    bench.wait()
    bench.arrive()  # and nobody is told
    worker.step()
    assert agendas.call_count == 1 + told
    assert bench.store.queries.event("event").decided_at is not None  # type: ignore[union-attr]


def test_conductor_may_be_away_and_come_back(bench: Bench, running: Worker) -> None:
    poll = bench.conductor.poll
    with mock.patch.object(bench.conductor, "poll", side_effect=ConductorError("away")):
        bench.wait()
        bench.arrive()
        eventually(lambda: bench.store.facts.all().get("conductor") == "away")
    assert bench.conductor.poll == poll
    eventually(lambda: delivered(bench))
    eventually(lambda: bench.store.facts.all().get("conductor") == "up")


@pytest.mark.parametrize("error", [StoreUnavailable("full"), LeadershipLost(), ZeroDivisionError(), KeyError("bug")])
def test_no_fault_of_a_step_ends_the_worker(bench: Bench, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_stopped_worker_resigns(bench: Bench) -> None:
    worker = bench.worker()
    thread = threading.Thread(target=worker.run)
    thread.start()
    eventually(lambda: bench.store.leadership.leader() is not None)
    worker.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert bench.store.leadership.leader() is None
    assert bench.deciding()


def test_a_sighup_reads_the_definitions_at_the_next_step(bench: Bench) -> None:
    worker = bench.deciding()
    worker.reload()
    assert (bench.source.forced, bench.source.checked) == (1, 0)
    worker.step()
    assert bench.source.checked == 1
    worker.step()
    assert bench.source.checked == 1


def test_once_keys_of_pruned_events_are_forgotten_when_their_workflows_have_ended(bench: Bench) -> None:
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
            bench.store.once_keys, "pruned", lambda after, limit: [one for one in pruned if one[0] > after][:limit]
        ),
        mock.patch.object(bench.store.once_keys, "forget", forgotten.extend),
    ):
        deciding.as_leader(deciding._maintenance.forget_once_keys)
    assert forgotten == [one for one in pruned if one[1] == ended.id], "all, but the sick one"


def test_once_keys_that_conductor_gives_no_answer_for_keep_no_others_from_being_forgotten(bench: Bench) -> None:
    deciding = bench.deciding()
    ended = bench.conductor.begin("flow")
    ended.ended = True
    forgotten: list[tuple[str, str]] = []
    pruned = [(f"{number:03}", "sick" if 2 <= number < 8 else ended.id) for number in range(10)]
    bench.conductor.ailing["sick"] = "500"
    with (
        mock.patch.object(
            bench.store.once_keys, "pruned", lambda after, limit: [one for one in pruned if one[0] > after][:limit]
        ),
        mock.patch.object(bench.store.once_keys, "forget", forgotten.extend),
    ):
        for _ in range(2):
            with pytest.raises(OutcomeUnknown):
                deciding.as_leader(deciding._maintenance.forget_once_keys)
            assert [key for key, _ in forgotten] == ["000", "001"], "it is left alone for now"
        deciding.as_leader(deciding._maintenance.forget_once_keys)
    assert [key for key, _ in forgotten] == ["000", "001", "008", "009"]


def test_old_events_are_pruned_in_steps_by_the_worker_that_decides(bench: Bench) -> None:
    deciding, other = bench.deciding(), bench.worker()
    asked = []

    def prune(before: int, limit: int) -> Pruned:
        asked.append((before, limit))
        return Pruned(0, len(asked) < 3)  # of tasks there may be more than of events

    with mock.patch.object(bench.store.maintenance, "prune", prune):
        other.as_leader(other._maintenance.prune)
        assert asked == []
        deciding.as_leader(deciding._maintenance.prune)
    assert len(asked) == 3
    before, limit = asked[0]
    assert abs(time.time() - 30 * 86400 - before / 1000) < 10
    assert limit <= 500


# --- one item that fails ---


def refusing(bench: Bench, name: str, *task_ids: str) -> Any:
    """A method of the store that refuses these tasks."""
    method = getattr(bench.store.tasks, name)

    def refuse(*given: Any) -> Any:
        tasks = next(part for part in given if isinstance(part, (list, tuple)))
        if {task.id if isinstance(task, Task) else task for task in tasks} & set(task_ids):
            raise Unstorable("too large")
        return method(*given)

    return mock.patch.object(bench.store.tasks, name, refuse)


def test_a_task_that_the_store_refuses_holds_up_no_other_and_is_tried_again(bench: Bench) -> None:
    worker = bench.deciding()
    tasks = [bench.wait() for _ in range(3)]
    bench.arrive()
    with refusing(bench, "adopt", tasks[1]):
        worker.step()
        assert worker.leader is not None
        assert [bench.state(task) for task in tasks] == ["taken", None, "taken"]
        [item] = bench.store.quarantine.items("task")
        assert (item.id, item.reason) == (tasks[1], "Unstorable: too large")
    with mock.patch.object(bench.store, "now", return_value=item.due_at):
        worker.step()
    assert (bench.state(tasks[1]), bench.store.quarantine.items()) == ("waiting", [])


def test_of_many_tasks_found_at_once_those_that_were_stored_wait_though_the_store_refuses_one(bench: Bench) -> None:
    worker = bench.deciding()
    new_task_row = rows.new_task_row

    def refuse(task: Task, *more: Any) -> Any:
        if task.id == "t4":
            raise Unstorable("too large")
        return new_task_row(task, *more)

    with mock.patch.object(rows, "STEP", 2), mock.patch.object(rows, "new_task_row", refuse):
        leader_of(worker).adoption.adopt([Task(f"t{number}", "w", "flow", "wait", {}, 0) for number in range(6)])
    assert sorted(leader_of(worker).decider.tasks.ids()) == ["t0", "t1", "t2", "t3", "t5"]


def test_a_refused_task_is_handed_over_when_the_term_ends_and_keeps_no_other_from_that(bench: Bench) -> None:
    worker = bench.deciding()
    refused, other = bench.wait(), bench.wait()
    with refusing(bench, "adopt", refused, other), refusing(bench, "hand_over", refused):
        worker.step()
        worker.end_term()
    assert (bench.state(refused), bench.state(other)) == (None, "returned")


def test_a_task_that_cannot_be_dropped_or_looked_at_again_keeps_no_other_from_it(bench: Bench) -> None:
    worker = bench.deciding()
    tasks = [bench.wait() for _ in range(3)]
    worker.step()
    with refusing(bench, "drop", tasks[0]):
        leader_of(worker).adoption.drop(tasks)
    assert [bench.state(task) for task in tasks] == ["waiting", "gone", "gone"]
    returned = [Task(f"r{number}", "w", "flow", "wait", {}, 0) for number in range(3)]
    bench.store.tasks.hand_over(returned, 0)
    with refusing(bench, "look_again", "r1"):
        worker.step()
    assert [bench.state(f"r{number}") for number in range(3)] == ["waiting", "returned", "waiting"]
    [item] = bench.store.quarantine.items("task", ids=["r1"])
    early = mock.patch.object(bench.store, "now", return_value=item.due_at - 1)
    with early, mock.patch.object(bench.store.tasks, "look_again") as look_again:
        worker.step()
    assert look_again.mock_calls == [], "it is tried again at its time, and not with every decision"
    with mock.patch.object(bench.store, "now", return_value=item.due_at):
        worker.step()
    assert bench.state("r1") == "waiting"


def test_a_task_that_an_event_took_since_conductor_was_asked_for_it_is_not_dropped(bench: Bench) -> None:
    """A large decision may not have been written yet: if the task is run again, it is this event's all the same."""
    worker = bench.deciding()
    task = bench.wait()
    worker.step()
    leader_of(worker).decider.held.remove_task(task)
    leader_of(worker).adoption.drop([task])
    assert bench.state(task) == "waiting"


def test_claimed_calls_are_made_though_a_task_that_a_callback_found_cannot_be_stored(bench: Bench) -> None:
    worker = bench.deciding()
    bench.wait()
    bench.arrive()
    found = Task("found", "w", "flow", "wait", {}, 0, found_by="index")
    adopt = bench.store.tasks.adopt

    def refuse(term: Term, tasks: list[Task], now: int) -> list[Task]:
        if [task.id for task in tasks] == ["found"]:
            raise StoreUnavailable("down")
        return adopt(term, tasks, now)

    with (
        mock.patch.object(leader_of(worker).decider.addressed, "newly_found", return_value=[found]),
        mock.patch.object(bench.store.tasks, "adopt", refuse),
        mock.patch.object(worker._executor, "submit") as submit,
    ):
        worker.step()
    [((target, event),)] = [call.args[0] for call in submit.call_args_list]
    assert (target.state, event.id) == ("claimed", "event")


def test_however_many_returned_tasks_are_refused_others_return_and_the_worker_rests(bench: Bench) -> None:
    worker = bench.deciding()
    refused = [Task(f"r{number}", "w", "flow", "wait", {}, 0) for number in range(5)]
    bench.store.tasks.hand_over([*refused, Task("well", "w", "flow", "wait", {}, 0)], 0)
    with (
        mock.patch.object(leader_module, "_EVENTS_A_DECISION", 2),
        refusing(bench, "look_again", *(task.id for task in refused)),
    ):
        more = [leader_of(worker).decide() for _ in range(4)]
    assert bench.state("well") == "waiting"
    assert not all(more)


def test_a_message_that_fails_ends_no_term_and_keeps_no_other_from_being_read(bench: Bench) -> None:
    worker = bench.deciding()
    leader, read = leader_of(worker), list[int]()
    leader._inbox.put(lambda: {}["missing"])
    leader._inbox.put(lambda: read.append(1))
    worker.step()
    assert worker.leader is leader
    assert read == [1]


def test_a_workflow_that_cannot_be_shown_is_no_conductor_that_is_away(bench: Bench) -> None:
    bench.source.current = Definitions((Webhook.model_validate({"name": "w", "receivers": {"flow": 1}}),))
    worker = bench.deciding()
    ill, well = bench.wait(), bench.wait()
    bench.conductor.sick = {bench.conductor.tasks[ill].workflow_id}
    bench.arrive()
    worker.step()
    assert bench.store.facts.all()["conductor"] == "up"
    targets = {target.task_id: target.only_versions for target in bench.store.queries.targets_of(["event"])}
    assert targets == {ill: (1,), well: None}


def test_a_look_up_that_hangs_holds_up_no_decision_for_long(bench: Bench) -> None:
    bench.source.current = Definitions((Webhook.model_validate({"name": "w", "receivers": {"flow": 1}}),))
    worker = bench.deciding()
    ill, well = bench.wait(), bench.wait()
    goes_on, hanging = threading.Event(), bench.conductor.tasks[ill].workflow_id
    workflow = bench.conductor.workflow

    def hang(workflow_id: str) -> Any:
        if workflow_id == hanging:
            goes_on.wait(60)
        return workflow(workflow_id)

    bench.arrive()
    try:
        with mock.patch.object(bench.conductor, "workflow", hang):
            worker.step()
            assert not goes_on.is_set()
            targets = {target.task_id: target.only_versions for target in bench.store.queries.targets_of(["event"])}
            assert targets == {ill: (1,), well: None}
    finally:
        goes_on.set()
