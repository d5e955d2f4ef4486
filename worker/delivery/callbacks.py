"""The tasks of events that came by a callback's URL, which names one task of any type.

Its event has a target at once, but only the target's call finds the task, by asking Conductor for
the workflow: until the task can be completed, ever more rarely, and once more at the end of the
hold. Then the target has the task, as the targets of other events do, and the call goes on.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from typing import TypeAlias

from config.webhooks import Webhook
from store.one_target import ONLY_NOW, STILL_TO_COME
from store.records import Event, Result, Target
from store.sql.claims import Ahead
from worker.conductor.addressed import Addressed, AddressedTask
from worker.conductor.errors import looking_up
from worker.context import Context
from worker.delivery.earlier_starts import ensure_it_goes_on

_NOT_THERE = "its task doesn't wait yet"
_NO_WORKFLOW = "Conductor doesn't know its workflow yet"
_UNDEFINED = "its webhook isn't defined"
_PAUSED = "its webhook is paused"
_NOT_FIRST = "an earlier event for its task goes first"
_BEING_COMPLETED = "another event is completing its task"
WAITS = frozenset({_NOT_THERE, _NO_WORKFLOW, _UNDEFINED, _PAUSED, _NOT_FIRST, _BEING_COMPLETED})
"""Why an event waits: nothing has failed."""
_USED_UP = "another event was first for its task"
_MADE_UP = "nothing signs its URL, and no task shows that it is genuine"
_MAY_COME_AGAIN = frozenset({"FAILED", "TIMED_OUT"})
"""Conductor may retry such a task as long as its workflow runs."""
_SOONEST, _RAREST = 250, 60_000
"""Milliseconds between two look-ups: half as long as the event has waited."""
_UNSIGNED = 1000
"""Events that nothing signs and that wait at a time, at most: of a workflow, and of a webhook for
workflows that Conductor doesn't know. Whoever knows an id can make up names, and anyone ids."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a look-up found. All times are milliseconds."""

    found: Addressed | None
    """None if Conductor doesn't know the workflow."""
    began: int
    """By the store's clock."""
    ahead: int = 0
    """By how much Conductor's clock is ahead of the store's."""


@dataclass(frozen=True, slots=True)
class Completable:
    """The task waits: the event is for it."""

    addressed: Addressed
    task: AddressedTask
    scheduled_at: int
    """By the store's clock."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """The task may still come to wait while the event is held."""

    reason: str
    beside: Ahead = "for its workflow"
    """Which events wait for the same."""


@dataclass(frozen=True, slots=True)
class Done:
    """An earlier call for this event has completed the task."""


@dataclass(frozen=True, slots=True)
class UsedUp:
    """Another event was first for the task."""


@dataclass(frozen=True, slots=True)
class Over:
    """The workflow has gone on without the event, or the task didn't come in time."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Somebody should correct something."""

    reason: str


@dataclass(frozen=True, slots=True)
class MadeUp:
    """Nothing signs the event, and somebody may have made it up."""


Judgement: TypeAlias = Completable | NotYet | Done | UsedUp | Over | Refused | MadeUp


def judge(event: Event, webhook: Webhook | None, look: Look) -> Judgement:
    """What becomes of a callback's event. `webhook`: the event's; None if it isn't defined.

    Pure.
    """
    assert event.only is not None
    found, place = look.found, f"workflow {event.only.workflow_id}"
    is_held = look.began < event.hold_until
    if found is None:
        return _judge_unknown(webhook, place, is_held)
    if event.id in found.workers:
        return Done()
    if webhook is None:  # it may be defined again
        return NotYet(_UNDEFINED) if is_held else Over(_UNDEFINED)
    misfit = found.misfit(webhook, place)
    if misfit is not None:
        return Refused(misfit)
    if event.only.made_at is not None and found.is_used_up:
        return UsedUp()
    if found.waiting is not None:
        scheduled_at = found.waiting.scheduled_at - look.ahead
        if scheduled_at <= event.hold_until:
            return Completable(found, found.waiting, scheduled_at)
    return _judge_absent(found, place, is_held)


def _judge_unknown(webhook: Webhook | None, place: str, is_held: bool) -> Judgement:
    """An empty server, or another one, knows no workflow either: only the hold's end is an end."""
    if is_held:
        return NotYet(_NO_WORKFLOW, "of its webhook")
    return Refused(f"Conductor has no {place}") if is_signed(webhook) else MadeUp()


def _judge_absent(found: Addressed, place: str, is_held: bool) -> Judgement:
    """No task waits that came in time."""
    if not _MAY_COME_AGAIN.issuperset(found.over) or (found.over and found.ended is not None):
        return Over(f"the task has ended without this event: {found.over[-1]}")
    if found.ended is not None:
        return Over(f"{place} has ended: {found.ended}")
    if is_held:
        return NotYet(_NOT_THERE)
    return Over(STILL_TO_COME if found.waiting is None else ONLY_NOW)


def is_signed(webhook: Webhook | None) -> bool:
    """Whether the webhook's URLs have tokens. Others have just the workflow's id."""
    return webhook is None or webhook.callback is None or webhook.callback.by is None


def next_look_at(event: Event, now: int) -> int:
    """When the event's task is looked for again. There is a look-up at the end of the hold."""
    at = now + min(_RAREST, max(_SOONEST, (now - event.received_at) // 2))
    return min(at, event.hold_until) if now < event.hold_until else at


class CallbackCalls:
    """Finds the task for one callback at a time, on any thread."""

    def __init__(self, context: Context, worker_id: str):
        self._store = context.store
        self._conductor = context.conductor
        self._definitions = context.definitions
        self._skew = int(context.settings.bridge_clock_skew * 1000)
        self._worker_id = worker_id

    def find_task(self, target: Target, event: Event) -> Target | Result:
        """The target with its task, which no other target may have from now on; or what comes of
        it without one. Raises ConductorError, StoreUnavailable."""
        paused = self._store.pauses.paused()
        if event.webhook in paused:
            return self._later(target, event, _PAUSED)
        webhook = self._definitions.current.by_name.get(event.webhook)
        match judge(event, webhook, self._look(event)):
            case Completable() as found:
                return self._take(target, event, found, paused)
            case NotYet() as waits if self._is_one_too_many(target, webhook, waits):
                return _made_up(target)
            case NotYet(reason):
                return self._later(target, event, reason)
            case MadeUp():
                return _made_up(target)
            case UsedUp():
                return Result(target, "skipped", _USED_UP)
            case Over(reason):
                return Result(target, "cancelled", reason)
            case Refused(reason):
                return Result(target, "failed", reason)
            case Done():
                assert target.workflow_id is not None
                ensure_it_goes_on(self._conductor, target.workflow_id)
                return Result(target, "done")

    def _look(self, event: Event) -> Look:
        assert event.only is not None
        assert event.only.workflow_id is not None
        began = self._store.now()
        with looking_up(f"workflow {event.only.workflow_id} can't be looked up"):
            tasks = self._conductor.workflow_tasks(event.only.workflow_id)
            found = None if tasks is None else tasks.at(event.only)
        return Look(found, began, self._conductor.server_now() - self._store.now())

    def _take(
        self, target: Target, event: Event, found: Completable, paused: Container[str]
    ) -> Target | Result:
        assert event.only is not None
        named = replace(
            target,
            workflow=found.addressed.workflow,
            task_id=found.task.id,
            reference_name=found.task.reference_name,
            iteration=found.task.iteration,
        )
        rivals = [
            one.name
            for one in self._definitions.current.webhooks
            if one.callback and one.name not in paused and not found.addressed.misfit(one, "")
        ]
        scheduled_at, now = found.scheduled_at, self._store.now()
        taken = self._store.claims.name_task(
            self._worker_id, named, scheduled_at, scheduled_at + self._skew, rivals, now
        )
        match taken:
            case "behind":
                return self._later(target, event, _NOT_FIRST, _SOONEST)
            case "taken" if event.only.made_at is None:
                return self._later(target, event, _BEING_COMPLETED)
            case "taken":  # a later task of its name isn't its own: its URL is older than that
                return Result(target, "skipped", _USED_UP)
            case _:
                return taken

    def _is_one_too_many(self, target: Target, webhook: Webhook | None, waits: NotYet) -> bool:
        if webhook is None or is_signed(webhook):
            return False
        ahead = self._store.claims.ahead(target, webhook.name, waits.beside, _UNSIGNED)
        return ahead >= _UNSIGNED

    def _later(self, target: Target, event: Event, reason: str, within: int = _RAREST) -> Result:
        now = self._store.now()
        due_at = min(next_look_at(event, now), now + within)
        return Result(target, "pending", reason, due_at=due_at, did_nothing=True)


def _made_up(target: Target) -> Result:
    return Result(target, "skipped", _MADE_UP, forgotten=True)
