"""What becomes of a callback's event, by what a look-up found; and how its target's calls find the
task."""

from __future__ import annotations

from typing import Any

import pytest

from config.webhooks import Definitions, Webhook
from store.one_target import ONLY_NOW, callback_to
from store.records import Decision, Event, EventStatus, NewEvent, Target
from store.sql.decisions import Plan
from tests.support.makers import ME
from tests.support.simulated import Fault, SimulatedTask
from tests.worker.play import Later
from tests.worker.targets import DEFINITIONS, Bench
from tests.worker.targets import bench as bench
from worker.conductor.addressed import Addressed, AddressedTask
from worker.decision.targets import callback
from worker.delivery import callbacks
from worker.delivery.callbacks import (
    Completable,
    Done,
    Judgement,
    Look,
    MadeUp,
    NotYet,
    Over,
    Refused,
    UsedUp,
    judge,
    next_look_at,
)

SECRET = {"secret": "a-secret-of-24-characters"}
SECOND = 1000
ARRIVED, HELD_UNTIL, AHEAD = 10_000, 20_000, 5_000


def hook(name: str = "w", callback: dict[str, Any] = SECRET, **more: Any) -> Webhook:
    given = {"name": name, "receivers": {"flow": "any"}, "callback": callback, **more}
    return Webhook.model_validate(given)


BY_ID = hook(callback={"by": "id"})


def event_of(made_at: int | None = None) -> Event:
    return Event(
        id="e1",
        webhook="w",
        received_at=ARRIVED,
        payload="{}",
        headers={},
        query={},
        hold_until=HELD_UNTIL,
        only=callback_to("w1", "approve", made_at),
        seq=1,
        status="pending",
        decided_at=ARRIVED,
        hold="held",
        settled_at=None,
    )


def waits(since: int = ARRIVED, name: str = "approve", iteration: int = 0) -> AddressedTask:
    """`since` by the store's clock."""
    return AddressedTask("t1", name, since + AHEAD, iteration)


def found(
    waiting: AddressedTask | None = None,
    *over: str,
    ended: str | None = None,
    by: str = "",
    workflow: str = "flow",
    version: int = 1,
) -> Addressed:
    return Addressed(workflow, version, ended, waiting, over, frozenset({by}))


TASK, LATE = waits(), waits(HELD_UNTIL + 1)
NOT_THERE, GONE = NotYet("its task doesn't wait yet"), "the task has ended without this event: "


@pytest.mark.parametrize(
    ("look", "at_the_end", "webhook", "while_held"),
    [
        (found(TASK), Completable(found(TASK), TASK, ARRIVED), hook(), None),
        (found(waits(HELD_UNTIL)), Completable, hook(), None),
        (found(), Over("its task is still to come: replay the event"), hook(), NOT_THERE),
        (found(LATE), Over("its task waits only now: replay the event"), hook(), NOT_THERE),
        (found(None, "FAILED"), Over, hook(), NOT_THERE),
        (found(TASK, "TIMED_OUT"), Completable, hook(), None),
        (found(None, "COMPLETED"), Over(f"{GONE}COMPLETED"), hook(), None),
        (found(LATE, "CANCELED"), Over(f"{GONE}CANCELED"), hook(), None),
        (found(None, ended="TERMINATED"), Over("workflow w1 has ended: TERMINATED"), hook(), None),
        (found(None, "FAILED", ended="FAILED"), Over(f"{GONE}FAILED"), hook(), None),
        (found(None, "COMPLETED", by="e1"), Done(), hook(), None),
        (found(TASK, "COMPLETED", by="e1", workflow="stranger"), Done(), hook(), None),
        (found(TASK, by="e1"), Done(), None, None),
        (found(TASK), Over("its webhook isn't defined"), None, NotYet("its webhook isn't defined")),
        (
            found(TASK, workflow="stranger"),
            Refused("workflow w1 is a stranger, which isn't among the webhook's receivers"),
            hook(),
            None,
        ),
        (
            found(None, version=2),
            Refused("workflow w1 has version 2; the webhook's receivers have 1, 3"),
            hook(receivers={"flow": [3, 1]}),
            None,
        ),
        (
            found(waits(name="approve__2")),
            Refused("task approve__2 isn't among those that `callback.tasks` names"),
            hook(callback=SECRET | {"tasks": ["approve"]}),
            None,
        ),
        (
            found(waits(name="approve__2", iteration=2)),
            Completable,
            hook(callback=SECRET | {"tasks": ["approve"]}),
            None,
        ),
        (None, Refused("Conductor has no workflow w1"), hook(), NotYet),
        (None, MadeUp(), BY_ID, NotYet),
    ],
)
def test_what_becomes_of_an_event(
    look: Addressed | None,
    at_the_end: Judgement | type[Judgement],
    webhook: Webhook | None,
    while_held: Judgement | type[Judgement] | None,
) -> None:
    """At its hold's end, and before that, where it differs."""
    for began, expected in (
        (HELD_UNTIL - 1, while_held or at_the_end),
        (HELD_UNTIL, at_the_end),
    ):
        judgement = judge(event_of(), webhook, Look(look, began, AHEAD))
        assert judgement == expected or type(judgement) is expected


@pytest.mark.parametrize("waiting", [TASK, None])
def test_a_url_that_says_when_it_was_made_is_used_up_by_any_completion_since(
    waiting: AddressedTask | None,
) -> None:
    """One that waits now is a later task of its name."""
    for ended in (None, "COMPLETED"):
        look = Look(found(waiting, "COMPLETED", ended=ended), ARRIVED)
        assert judge(event_of(made_at=1), hook(), look) == UsedUp()
    assert judge(event_of(made_at=1), hook(), Look(found(waiting, "FAILED"), ARRIVED)) != UsedUp()


@pytest.mark.parametrize(
    ("now", "at"),
    [
        (ARRIVED - 9_000, ARRIVED - 8_750),
        (ARRIVED, ARRIVED + 250),
        (ARRIVED + 4_000, ARRIVED + 6_000),
        (HELD_UNTIL - 1, HELD_UNTIL),
        (HELD_UNTIL, HELD_UNTIL + 5_000),
        (HELD_UNTIL + 3_600_000, HELD_UNTIL + 3_660_000),
    ],
)
def test_the_longer_an_event_waits_the_more_rarely_its_task_is_looked_for(
    now: int, at: int
) -> None:
    assert next_look_at(event_of(), now) == at


class Calls:
    """An executor that a test plays, under one clock for store, worker and Conductor."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch):
        self.ms = bench.store.now()
        self.store, self.conductor = bench.store, bench.conductor
        monkeypatch.setattr(self.store, "now", lambda: self.ms)
        self.conductor.now = lambda: self.ms
        self.pool = Later()
        self.executor = bench.another("me", self.pool, self)
        self.monkeypatch = monkeypatch
        self.define(hook())

    def monotonic(self) -> float:
        return self.ms / SECOND

    def define(self, *webhooks: Webhook) -> None:
        self.monkeypatch.setattr(DEFINITIONS, "current", Definitions(webhooks))

    def begin(self) -> str:
        return self.conductor.begin("flow").id

    def schedule(
        self, workflow_id: str, name: str = "approve", kind: str = "HUMAN"
    ) -> SimulatedTask:
        return self.conductor.schedule(workflow_id, name, {}, kind)

    def called(self, workflow_id: str, name: str = "approve", **more: Any) -> str:
        """An event for that task is accepted and decided."""
        webhook, hold = more.get("webhook", "w"), more.get("hold", 600)
        only = callback_to(workflow_id, name, more.get("made_at"))
        id_ = f"{self.ms} {webhook} {name}"
        until = self.ms + hold * SECOND
        self.store.deliveries.append(
            [NewEvent(id_, webhook, self.ms, '{"ok": 1}', {}, {}, until, only=only)]
        )
        decision = Decision(id_, "pending", "held", (callback(self.event(id_)),))
        self.store.decisions.decide(ME, Plan([decision], {id_: self.event(id_)}), self.ms, 0)
        self.ms += 1
        return id_

    def go(self, seconds: float = 0) -> None:
        """After so long, whatever is due is done."""
        self.ms += int(seconds * SECOND)
        for _ in range(8):
            self.executor.wake()
            self.executor.take_messages(0)
            self.executor.work(self.monotonic())
            self.pool.run_all()
            self.ms += 60

    def event(self, id_: str) -> Event:
        found = self.store.queries.event(id_)
        assert found is not None
        return found

    def status(self, id_: str) -> tuple[EventStatus, str]:
        found = self.event(id_)
        return found.status, found.hold

    def target(self, id_: str) -> Target:
        [found] = self.store.queries.targets_of([id_])
        return found


HELD, DELIVERED, EXPIRED, IGNORED = (
    ("pending", "held"),
    ("delivered", "no"),
    ("expired", "no"),
    ("ignored", "no"),
)


@pytest.fixture
def calls(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(bench, monkeypatch)


@pytest.mark.parametrize("kind", ["HUMAN", "WAIT_FOR_WEBHOOK"])
def test_the_task_that_its_url_names_is_completed_and_no_other(calls: Calls, kind: str) -> None:
    workflow = calls.begin()
    others = [calls.schedule(calls.begin()), calls.schedule(workflow, "other")]
    task = calls.schedule(workflow, "approve__2", kind)
    event = calls.called(workflow)
    calls.go()
    assert (task.status, task.worker_id) == ("COMPLETED", event)
    assert task.output["ok"] == 1
    assert all(one.waits for one in others)
    target = calls.target(event)
    assert (target.workflow, target.task_id, target.iteration) == ("flow", task.id, 2)
    assert (calls.status(event), target.attempts) == (DELIVERED, 1)


@pytest.mark.parametrize("fault", ["lost_before", "lost_after", "unreachable", "not_now"])
def test_it_is_completed_once_though_the_answer_is_lost(calls: Calls, fault: Fault) -> None:
    workflow = calls.begin()
    event = calls.called(workflow)
    calls.go()
    task = calls.schedule(workflow)
    calls.conductor.fault = fault
    calls.go(1)
    assert calls.status(event) == HELD
    assert calls.target(event).task_id == task.id
    calls.go(60)
    assert (calls.status(event), task.worker_id) == (DELIVERED, event)


def test_an_event_that_comes_before_its_task_is_held_and_looks_for_it_ever_more_rarely(
    calls: Calls,
) -> None:
    workflow = calls.begin()
    event = calls.called(workflow)
    for _ in range(500):
        calls.go(0.5)
    assert calls.status(event) == HELD
    assert "its task doesn't wait yet" in str(calls.target(event).error)
    assert 10 < len(calls.conductor.workflow_lookups) < 30
    task = calls.schedule(workflow)
    calls.go(60)
    assert (calls.status(event), task.worker_id) == (DELIVERED, event)


def test_a_hold_ends_once_the_task_was_looked_for_after_it(calls: Calls) -> None:
    workflow = calls.begin()
    event = calls.called(workflow, hold=10)
    calls.conductor.sick.add(workflow)
    for _ in range(5):
        calls.go(40)
        assert calls.status(event) == HELD, "nobody knows whether its task came in time"
    calls.conductor.sick.clear()
    calls.schedule(workflow)
    calls.go(60)
    assert calls.status(event) == EXPIRED
    assert calls.target(event).error == ONLY_NOW


def test_a_task_that_came_within_the_hold_is_completed_after_downtime_too(calls: Calls) -> None:
    workflow = calls.begin()
    event = calls.called(workflow, hold=10)
    calls.ms += 5 * SECOND
    task = calls.schedule(workflow)
    calls.go(3600)
    assert (calls.status(event), task.worker_id) == (DELIVERED, event)


@pytest.mark.parametrize(
    ("made_at", "meanwhile", "at_last"), [(None, HELD, EXPIRED), (1, IGNORED, IGNORED)]
)
def test_of_two_urls_for_one_task_the_first_that_is_called_completes_it(
    calls: Calls, made_at: int | None, meanwhile: tuple[str, str], at_last: tuple[str, str]
) -> None:
    calls.define(hook(), hook("v"))
    workflow = calls.begin()
    first, second = (
        calls.called(workflow, webhook=webhook, made_at=made_at) for webhook in ("w", "v")
    )
    calls.go()
    task = calls.schedule(workflow)
    calls.conductor.fault = "lost_before"
    for _ in range(5):
        calls.go(1)
    assert (task.waits, calls.target(first).task_id) == (True, task.id)
    assert calls.status(second) == meanwhile
    calls.go(60)
    assert (calls.status(first), task.worker_id) == (DELIVERED, first)
    calls.go(60)
    assert calls.status(second) == at_last


def test_a_task_that_another_event_has_is_left_to_it(calls: Calls) -> None:
    workflow = calls.begin()
    task = calls.schedule(workflow)
    event = calls.called(workflow)
    calls.conductor.end(task.id, "COMPLETED")
    task.worker_id = "another"
    calls.go()
    assert calls.status(event) == EXPIRED
    assert "ended without this event" in str(calls.target(event).error)


@pytest.mark.parametrize("why", ["paused", "not defined"])
def test_while_its_webhook_is_paused_or_not_defined_it_waits(calls: Calls, why: str) -> None:
    workflow = calls.begin()
    task = calls.schedule(workflow)
    event = calls.called(workflow)
    if why == "paused":
        calls.store.pauses.pause("w", calls.ms)
    else:
        calls.define()
    calls.go()
    assert calls.status(event) == HELD
    assert why in f"{calls.target(event).error} isn't defined".replace("isn't", "not")
    calls.store.pauses.resume("w")
    calls.define(hook())
    calls.go(60)
    assert (calls.status(event), task.worker_id) == (DELIVERED, event)


@pytest.mark.parametrize(
    ("webhook", "status", "error"),
    [
        (hook(), ("failed", "no"), "Conductor has no workflow nowhere"),
        (BY_ID, IGNORED, "nothing signs its URL"),
    ],
)
def test_a_workflow_that_conductor_does_not_know_may_be_there_until_the_hold_ends(
    calls: Calls, webhook: Webhook, status: tuple[str, str], error: str
) -> None:
    """An empty server knows no workflow either."""
    calls.define(webhook)
    event = calls.called("nowhere")
    for _ in range(9):
        calls.go(60)
        assert calls.status(event) == HELD
    calls.go(60)
    assert calls.status(event) == status
    assert error in str(calls.target(event).error)


@pytest.mark.parametrize("made_up", ["names", "workflows"])
def test_of_names_and_ids_that_are_made_up_only_so_many_are_held(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, made_up: str
) -> None:
    monkeypatch.setattr(callbacks, "_UNSIGNED", 3)
    calls.define(BY_ID, hook("signed"), hook("other", {"by": "id"}))
    workflow = calls.begin()
    genuine = calls.called(workflow)
    events = [
        calls.called(workflow, f"made-up{number}")
        if made_up == "names"
        else calls.called(f"made-up{number}")
        for number in range(6)
    ]
    others = [
        calls.called(workflow, webhook="signed"),
        calls.called("nowhere", webhook="signed"),
        calls.called(workflow, "another", webhook="other"),
    ]
    calls.go()
    calls.go(1)
    assert [calls.status(event) for event in [genuine, *others]] == [HELD] * 4
    assert [calls.status(event) for event in events] == [HELD] * 2 + [IGNORED] * 4
    assert calls.store.maintenance.prune(calls.ms - 10**9, 10).events == 4
    task = calls.schedule(workflow)
    calls.go(60)
    assert task.worker_id == genuine


def test_any_number_of_tasks_that_wait_in_one_workflow_are_completed(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after downtime: their events come all at once."""
    monkeypatch.setattr(callbacks, "_UNSIGNED", 3)
    calls.define(BY_ID)
    workflow = calls.begin()
    tasks = [calls.schedule(workflow, f"approve{number}") for number in range(8)]
    events = [calls.called(workflow, f"approve{number}") for number in range(8)]
    calls.go()
    calls.go(1)
    assert [task.worker_id for task in tasks] == events


def test_made_up_urls_cost_conductor_only_so_many_look_ups_and_hold_up_no_signed_one(
    calls: Calls,
) -> None:
    calls.define(BY_ID, hook("signed"))
    for number in range(300):
        calls.called(f"made-up{number}")
    workflow = calls.begin()
    task = calls.schedule(workflow)
    signed = calls.called(workflow, webhook="signed")
    calls.go()
    assert task.worker_id == signed
    before, began = len(calls.conductor.workflow_lookups), calls.ms
    for _ in range(10):
        calls.go(0.5)
    looked_up = len(calls.conductor.workflow_lookups) - before
    assert looked_up <= 25 * (calls.ms - began) / SECOND + 25


def test_a_task_that_cannot_be_read_holds_up_no_callback_of_another_in_its_workflow(
    calls: Calls,
) -> None:
    workflow = calls.begin()
    garbled: Any = calls.schedule(workflow, "reject")
    scheduled_at, garbled.scheduled_at = garbled.scheduled_at, "soon"
    task = calls.schedule(workflow)
    rejection, event = calls.called(workflow, "reject"), calls.called(workflow)
    calls.go()
    assert (task.worker_id, calls.status(rejection)) == (event, HELD)
    garbled.scheduled_at = scheduled_at
    calls.go(60)
    assert garbled.worker_id == rejection


@pytest.mark.parametrize("is_callback", [False, True])
def test_a_task_that_ended_frees_an_event_unless_it_is_a_callback(
    bench: Bench, is_callback: bool
) -> None:
    task = bench.task()
    only = callback_to(task.workflow_id, task.reference_name) if is_callback else None
    [target] = bench.decide(bench.completion(task), only=only)
    task.status = "CANCELED"
    found = bench.result(target)
    assert (found.state, found.final) == ("cancelled", is_callback)
