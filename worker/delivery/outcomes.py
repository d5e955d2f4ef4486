"""Makes one target's call, or looks up the outcome of an earlier one, and interprets the answer.

A target must take effect exactly once. The first call is made under a claim that was written before
it. After anything but a clear answer, the outcome is looked up in Conductor, but not before the
call's time-out has passed: a lost call may still be taking effect.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import structlog

from config.webhooks import Webhook
from criteria.inputs import InputTooLarge
from store.errors import StoreUnavailable
from store.one_target import callback_to
from store.records import Event, Result, Target, TargetKind, TargetState
from store.rules.keys import standing
from store.rules.transitions import failed_alone, may_have_acted, others_since
from store.tracing import span
from worker.conductor.client import Conductor
from worker.conductor.errors import (
    ConductorError,
    NotNow,
    NotSent,
    NotThere,
    OutcomeUnknown,
    Refused,
    Unreachable,
    looking_up,
)
from worker.conductor.search import EndInIndex, fits_path
from worker.context import Context
from worker.delivery.earlier_starts import EarlierStarts, ensure_it_goes_on
from worker.delivery.messages import MessageCalls
from worker.retries import RARELY, wait_before

log = structlog.get_logger()

FRESH = 2.0
"""Seconds after a claim within which a request must leave; after half that time the claim is
renewed first."""
_GIVEN_UP_AFTER = 3600.0
"""Seconds for which a target that gets 5xx from Conductor is retried while others of its kind take
effect."""
_BLOCKS_LANE = 60_000
"""Milliseconds for which a message that gets 5xx while other messages succeed holds up those behind
it in its lane."""
_NOTE_EVERY = 60_000
"""Milliseconds between two records in the store that calls of a kind take effect."""
_CHARACTERS_A_BYTE = 3
"""Characters of JSON in ASCII that one byte of what Conductor takes may be, at most."""
_WITNESSES = 20
"""Ended tasks that are asked for to tell whether the server is the right one."""
_OTHERS: dict[TargetKind, str] = {
    "complete": "completions",
    "start": "starts",
    "message": "messages",
}


def claim_lasts(timeout: float) -> float:
    """Seconds after which another worker may take over a claim that has no result.

    A request leaves while its claim is fresh, and its call ends within `timeout` seconds. Its
    connection is reset then, so this machine sends nothing of it later.
    """
    return timeout + FRESH + 1


class ClaimLost(Exception):
    """Another worker has claimed the target meanwhile, and its result counts."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A call's outcome, and what it says about Conductor."""

    result: Result
    conductor: Literal["answered", "unreachable", "unclear"]
    """`unclear`: Conductor wasn't called, or its answer says nothing about other calls."""
    aside: str | None = None
    """Why the target must be set aside, after an unforeseen error."""


class TargetCalls:
    """Makes the call for one target at a time, on any thread."""

    def __init__(self, context: Context, worker_id: str):
        store, conductor = context.store, context.conductor
        self._store = store
        self._conductor = conductor
        self._largest_input = _CHARACTERS_A_BYTE * context.settings.bridge_conductor_payload
        """Characters that a start's `input` may come to."""
        self._worker_id = worker_id
        self._definitions = context.definitions
        self._clock = context.clock
        self._earlier_starts = EarlierStarts(conductor)
        self._messages = MessageCalls(context, self._earlier_starts)
        self._began = store.now()
        self._noted: dict[TargetKind, int] = {}
        """When it was last recorded, or began to be, that calls of a kind take effect."""

    def outcome(self, target: Target, event: Event) -> Outcome:
        """Makes the call for the target, which this worker has claimed.

        Raises ClaimLost if another worker has it now, and StoreUnavailable.
        """
        try:
            if (outcome := self._without_call(target)) is not None:
                return outcome
            result = self._call(target, event)
            # No further task is found for a callback whose task has ended.
            is_final = event.is_callback and result.state == "cancelled"
            return Outcome(replace(result, final=True) if is_final else result, "answered")
        except Refused as error:
            return Outcome(Result(target, "failed", str(error)), "unclear")
        except Unreachable as error:
            return Outcome(self._again(target, error), "unreachable")
        except ConductorError as error:
            if error.status >= 500 and not isinstance(error, NotThere):
                return Outcome(self._answered_5xx(target, error), "unclear")
            return Outcome(self._again(target, error), "unclear")

    def outcome_for_certain(self, target: Target, event: Event) -> Outcome | None:
        """Makes the call for the target; None if another worker has it now. Raises nothing, so that
        no bug loses the target."""
        about = {"webhook": event.webhook, "event_id": event.id, "workflow": target.workflow}
        try:
            with span(
                target.kind, "CLIENT", event.headers, attempt=target.attempts, **about
            ) as calling:
                outcome = self.outcome(target, event)
                calling.set(state=outcome.result.state)
                return outcome
        except ClaimLost:
            log.warning(
                "another worker has claimed a target meanwhile", target=target.id, event_id=event.id
            )
            return None
        except StoreUnavailable as error:
            return Outcome(
                self._again(target, OutcomeUnknown(f"the store can't be used: {error}")), "unclear"
            )
        except Exception as error:  # the target is tried again, with a look-up first
            reason = f"{type(error).__name__}: {error}"
            with suppress(Exception):  # text that can't be written, for example
                log.exception(
                    "a target's call failed unexpectedly", target=target.id, event_id=event.id
                )
            return Outcome(self._again(target, OutcomeUnknown(reason)), "unclear", aside=reason)

    def _again(self, target: Target, error: ConductorError, pause: float = 0) -> Result:
        """Tries the target again after at least `pause` seconds, and not before this call has
        certainly ended."""
        wait = max(pause, wait_before(target.attempts))
        if not isinstance(error, NotSent):
            wait = max(wait, self._conductor.timeout)
        due_at = self._store.now() + int(wait * 1000)
        not_sent = isinstance(error, Unreachable)
        return Result(
            target,
            "pending",
            str(error),
            error.workflow_id,
            due_at,
            not_sent=not_sent,
            did_nothing=isinstance(error, NotSent),
            failing_since=target.failing_since,
        )

    def _answered_5xx(self, target: Target, error: ConductorError) -> Result:
        """Either Conductor fails, or only this target's calls do: then the target is eventually
        given up."""
        now = self._store.now()
        since = target.failing_since or now
        lasts = (now - since) / 1000
        if lasts >= _GIVEN_UP_AFTER:
            alone = failed_alone(since, self._store.effects.of_kind(target.kind), now) / 1000
            if alone >= _GIVEN_UP_AFTER:
                hours = f"{alone / 3600:.1f}".removesuffix(".0")
                others = _OTHERS[target.kind]
                return Result(
                    target,
                    "failed",
                    f"{error} (given up after {hours} h in which other {others} succeeded)",
                )
        again = replace(self._again(target, error, min(RARELY, lasts / 4)), failing_since=since)
        if (
            target.lane is not None
            and others_since(since, self._store.effects.of_kind(target.kind), now) >= _BLOCKS_LANE
        ):
            again = replace(again, leaves_lane=True)
        return again

    def _note_effect(self, kind: TargetKind) -> None:
        """Records that calls of this kind take effect, so that any worker can tell whether a target
        fails alone."""
        now = self._store.now()
        if abs(now - self._noted.get(kind, -_NOTE_EVERY)) >= _NOTE_EVERY:
            self._noted[kind] = now  # first: other threads' calls take effect meanwhile
            try:
                self._store.effects.note(kind, now)
            except StoreUnavailable:
                self._noted.pop(kind, None)  # the next effect will be recorded

    def _call(self, target: Target, event: Event) -> Result:
        if target.kind == "message":
            # With `_webhook` whatever the webhook says: the event's id shows that a message came
            # twice.
            payload, now = event.text(), self._store.now()
            result = self._messages.call(
                target, event, now, payload, lambda: self._fresh_until(target)
            )
            if result.state == "done":
                self._note_effect("message")
            return result
        if target.kind == "complete" and target.task_id is None:
            webhook = self._definitions.current.by_name.get(event.webhook)
            return _refused_callback(self._conductor, target, event, webhook)
        # Unlike a completion, a start leaves no trace in a waiting task. So if its event is older
        # than this worker, look it up even on the first try: the store may be a backup from before
        # that start.
        if target.attempts > 1 or (target.kind == "start" and event.received_at < self._began):
            with looking_up("the outcome of an earlier try can't be looked up"):
                known = self._look_up(target, event, may_have_acted(target))
            if known is not None:
                return known
        if (
            target.only_versions is not None
            and (unfit := self._unfit(target, target.only_versions)) is not None
        ):
            return unfit
        payload = self._payload(target, event)
        not_after = self._fresh_until(target)
        if target.kind == "start":
            assert target.correlation_id is not None
            workflow_id = self._conductor.start(
                target.workflow, target.version, payload, target.correlation_id, not_after
            )
            self._note_effect("start")
            self._earlier_starts.made(target.workflow, target.correlation_id)
            return Result(target, "done", workflow_id=workflow_id)
        assert (
            target.workflow_id is not None
            and target.reference_name is not None
            and target.task_id is not None
        )
        completed = self._conductor.complete(
            target.workflow_id,
            target.reference_name,
            target.task_id,
            payload,
            target.event_id,
            not_after,
        )
        if completed != target.task_id:  # none was pending, or another one of that name
            # A completion by id is answered alike whatever happened.
            may_have_effect = completed is not None or not fits_path(target.reference_name)
            try:
                known = self._look_up(target, event, may_have_effect or may_have_acted(target))
            except ConductorError as error:
                if isinstance(error, NotNow) and not may_have_effect:
                    raise
                raise OutcomeUnknown(
                    f"what a call did can't be looked up: {error}", error.status
                ) from error
            if known is None:
                raise OutcomeUnknown("Conductor answered, but the task is still pending")
            return known
        self._note_effect("complete")
        return Result(target, "done")

    def _payload(self, target: Target, event: Event) -> str:
        """The output or input as JSON text. Raises Refused if a start's input is too large."""
        if target.input is not None:
            try:
                return event.input(target.input, self._largest_input)
            except InputTooLarge as error:
                raise Refused(
                    f"{error}: its entry's `input` repeats too much of the payload"
                ) from None
        return event.text(metadata=self._has_metadata(event))

    def _has_metadata(self, event: Event) -> bool:
        webhook = self._definitions.current.by_name.get(event.webhook)
        return webhook is None or webhook.metadata

    def _unfit(self, target: Target, versions: tuple[int, ...]) -> Result | None:
        """The result of a completion in doubt whose workflow has none of these versions; None if it
        has one of them.

        Raises ConductorError if that can't be found out. It is tried for as long as it takes: only
        the version shows whether the event may have the task.
        """
        assert target.workflow_id is not None
        try:
            workflow = self._conductor.workflow(target.workflow_id)
        except Unreachable:
            raise
        except ConductorError as error:
            raise NotNow(
                f"workflow {target.workflow_id} can't be looked up, and the outcome depends on its version: {error}"
            ) from error
        if workflow is not None and workflow.version in versions:
            return None
        has = "no longer exists" if workflow is None else f"has version {workflow.version}"
        reason = (
            f"workflow {target.workflow_id} {has}; the webhook's receivers have {_listed(versions)}"
        )
        return Result(target, "cancelled", reason, unfit=True)

    def _without_call(self, target: Target) -> Outcome | None:
        """The outcome of a start if another start has, or may have, the same key; None if this one
        should be made."""
        key = target.once_key
        while key is not None:
            holder = self._store.once_keys.holder(key)
            where = standing(target, holder)
            if where == "holds":
                return None
            if where == "waits":
                due_at = self._store.now() + int(wait_before(target.attempts) * 1000)
                error = "another event starts the workflow for the same key; waiting for its result"
                # Not "answered": the other one may be waiting only because Conductor can't be
                # reached.
                waits = Result(
                    target, "pending", error, due_at=due_at, not_sent=True, did_nothing=True
                )
                return Outcome(waits, "unclear")
            there = holder.workflow_id if holder is not None else None
            if there is not None and (where == "is there" or self._runs(there)):
                reason = f"workflow {there} exists for the same key"
                skipped = Result(target, "skipped", reason, workflow_id=there)
                return Outcome(skipped, "unclear" if where == "is there" else "answered")
            self._store.once_keys.take(key, holder, target.id)
        return None

    def _runs(self, workflow_id: str) -> bool:
        with looking_up(f"can't look up whether workflow {workflow_id} still runs"):
            return self._conductor.runs(workflow_id)

    def _fresh_until(self, target: Target) -> float:
        """Until when (monotonic clock) a request may leave under the target's claim, which is
        renewed if need be.

        Raises ClaimLost if another worker has the target.
        """
        began = self._clock.monotonic()  # first: this thread may be held up before it has the age
        age = (self._store.now() - (target.claimed_at or 0)) / 1000
        if 0 <= age < FRESH / 2:
            return began + FRESH - age
        fresh_until = self._clock.monotonic() + FRESH
        if not self._store.claims.renew(self._worker_id, target, self._store.now()):
            raise ClaimLost
        return fresh_until

    def _look_up(self, target: Target, event: Event, acted: bool) -> Result | None:
        """The result of an earlier call; None if it had no effect, so that the call should be made.

        `acted`: whether an earlier call may have had its effect.
        """
        if target.kind == "complete":
            return self._look_up_completion(target, event, acted)
        assert target.correlation_id is not None
        if acted:
            renew = partial(self._fresh_until, target)
            workflow_id = self._earlier_starts.find(target.workflow, target.correlation_id, renew)
        else:  # only what a backup wouldn't know can be in doubt
            workflow_id = self._conductor.started(target.workflow, target.correlation_id)
        if workflow_id is None:
            return None
        ensure_it_goes_on(self._conductor, workflow_id)
        return Result(target, "done", workflow_id=workflow_id)

    def _look_up_completion(self, target: Target, event: Event, acted: bool) -> Result | None:
        assert target.task_id is not None
        assert target.workflow_id is not None and target.reference_name is not None
        status = self._conductor.task(target.task_id)
        if status is not None and not status.terminal:
            return None
        is_sure = (
            status is not None
            or self._store.now() >= event.hold_until
            or self._is_right_server(target)
        )
        if is_sure and status is None and not acted:
            return Result(target, "cancelled", "Conductor no longer has the task")
        # The task may have timed out, and Conductor have given the event to its retry, which has
        # the same name.
        if (
            status is not None and status.worker_id == target.event_id
        ) or self._conductor.completed_by(
            target.workflow_id, target.reference_name, target.event_id
        ):
            end: EndInIndex | None = "by the event"
        elif status is not None:
            end = "otherwise"
        else:
            look = partial(
                self._conductor.end_in_index,
                target.task_id,
                target.event_id,
                self._has_metadata(event),
            )
            end = self._earlier_starts.in_index(look, partial(self._fresh_until, target))
        if end == "by the event":
            ensure_it_goes_on(self._conductor, target.workflow_id)
            return Result(target, "done")
        if end == "otherwise":
            return Result(target, "cancelled", "the task ended without this event")
        if not is_sure:
            raise NotNow(
                "Conductor knows neither the task nor others of before: it may be another server, or empty"
            )
        return Result(
            target,
            "unknown",
            "the answer was lost, and nothing in Conductor shows any more what it was",
        )

    def _is_right_server(self, target: Target) -> bool:
        """Whether the server that doesn't know the target's task knows its workflow, or tasks that
        had ended before."""
        assert target.workflow_id is not None
        if self._conductor.messages.status(target.workflow_id) is not None:
            return True
        right_at = self._store.reports.read().right_server_at
        if right_at is None:
            right_at = self._began
        ended = self._store.tasks.settled_by(right_at, _WITNESSES)
        return any(self._conductor.task(task_id) is not None for task_id in ended)


def _refused_callback(
    conductor: Conductor, target: Target, event: Event, webhook: Webhook | None
) -> Result:
    """The result of a completion without a task: why a callback can't complete the one that its URL
    names.

    `webhook`: the event's; None if it is no longer defined. Failed, if somebody should correct
    something; cancelled, if the workflow has gone on without the event; done, if an earlier call
    for it has completed the task. Raises ConductorError.
    """
    assert target.workflow_id is not None
    assert target.reference_name is not None

    def ended(state: TargetState, reason: str) -> Result:
        return Result(target, state, reason, final=True)

    place = f"workflow {target.workflow_id}"
    tasks = conductor.workflow_tasks(target.workflow_id)
    if tasks is None:
        return ended("failed", f"Conductor has no {place}")
    found = tasks.at(event.only or callback_to(target.workflow_id, target.reference_name))
    if event.id in found.workers:
        return Result(target, "done")
    receivers = {} if webhook is None else webhook.receivers
    if found.workflow not in receivers:
        return ended(
            "failed", f"{place} is a {found.workflow}, which isn't among the webhook's receivers"
        )
    versions = receivers[found.workflow]
    if versions is not None and found.version not in versions:
        return ended(
            "failed",
            f"{place} has version {found.version}; the webhook's receivers have {_listed(versions)}",
        )
    names = webhook.callback.tasks if webhook is not None and webhook.callback is not None else ()
    if found.waiting is not None and not found.waiting.is_among(names):
        name = found.waiting.reference_name
        return ended("failed", f"task {name} isn't among those that `callback.tasks` names")
    if found.waiting is not None:
        return ended("failed", "its task waits only now: replay the event")
    if found.over:
        return ended("cancelled", f"the task has ended without this event: {found.over[-1]}")
    if found.ended is not None:
        return ended("cancelled", f"{place} has ended: {found.ended}")
    return ended("failed", "its task is still to come: replay the event")


def _listed(versions: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(versions)))
