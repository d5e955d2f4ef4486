"""Makes one target's call, or looks up the outcome of an earlier one, and interprets the answer.

A target must take effect exactly once. The first call is made under a claim that was written before
it. After anything but a clear answer, the outcome is looked up in Conductor, but not before the
call's time-out has passed: a lost call may still be taking effect.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import structlog

from criteria.inputs import InputTooLarge
from store.errors import StoreUnavailable
from store.records import Event, Result, Target, TargetKind
from store.rules.keys import standing
from store.rules.transitions import ENDED, failed_alone, may_have_acted, others_since
from store.tracing import span
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
from worker.conductor.search import fits_path
from worker.context import Context
from worker.delivery.callbacks import CallbackCalls
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
_ENDED_OTHERWISE = "the task ended without this event"
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

    @property
    def is_clear(self) -> bool:
        """Whether it is known what became of the call."""
        return self.conductor == "answered" or self.result.state != "pending"


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
        self._callbacks = CallbackCalls(context, worker_id)
        self._began = store.now()
        self._noted: dict[TargetKind, int] = {}
        """When it was last recorded, or began to be, that calls of a kind take effect."""

    def outcome(self, target: Target, event: Event) -> Outcome:
        """Makes the call for the target, which this worker has claimed.

        Raises ClaimLost if another worker has it now, and StoreUnavailable.
        """
        outcome = self._outcome(target, event)
        if event.is_callback and outcome.result.state in ENDED:
            return replace(outcome, result=replace(outcome.result, final=True))
        return outcome

    def _outcome(self, target: Target, event: Event) -> Outcome:
        try:
            outcome = self._without_call(target)
            if outcome is not None:
                return outcome
            if target.kind == "complete" and target.task_id is None:
                found = self._callbacks.find_task(target, event)
                if isinstance(found, Result):
                    return Outcome(found, "answered")
                target = found
            return Outcome(self._call(target, event), "answered")
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
            unknown = OutcomeUnknown(f"the store can't be used: {error}")
            return Outcome(self._again(target, unknown), "unclear")
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
        effects = None
        if target.lane is not None or lasts >= _GIVEN_UP_AFTER:
            effects = self._store.effects.of_kind(target.kind)
        alone = failed_alone(since, effects, now) / 1000
        if alone >= _GIVEN_UP_AFTER:
            hours = f"{alone / 3600:.1f}".removesuffix(".0")
            others = _OTHERS[target.kind]
            reason = f"{error} (given up after {hours} h in which other {others} succeeded)"
            return Result(target, "failed", reason)
        leaves_lane = target.lane is not None and others_since(since, effects, now) >= _BLOCKS_LANE
        again = self._again(target, error, min(RARELY, lasts / 4))
        return replace(again, failing_since=since, leaves_lane=leaves_lane)

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
            return self._deliver(target, event)
        known = self._look_up_earlier(target, event)
        if known is not None:
            return known
        if target.kind == "start":
            return self._start(target, event)
        return self._complete(target, event)

    # --- calls ---

    def _deliver(self, target: Target, event: Event) -> Result:
        # With `_webhook` whatever the webhook says: the event's id shows that a message came twice.
        payload = event.text()
        result = self._messages.call(
            target, event, self._store.now(), payload, lambda: self._fresh_until(target)
        )
        if result.state == "done":
            self._note_effect("message")
        return result

    def _start(self, target: Target, event: Event) -> Result:
        assert target.correlation_id is not None
        payload = self._payload(target, event)
        workflow_id = self._conductor.start(
            target.workflow,
            target.version,
            payload,
            target.correlation_id,
            self._fresh_until(target),
        )
        self._note_effect("start")
        self._earlier_starts.made(target.workflow, target.correlation_id)
        return Result(target, "done", workflow_id=workflow_id)

    def _complete(self, target: Target, event: Event) -> Result:
        assert target.workflow_id is not None
        assert target.reference_name is not None
        assert target.task_id is not None
        payload = self._payload(target, event)
        completed = self._conductor.complete(
            target.workflow_id,
            target.reference_name,
            target.task_id,
            payload,
            target.event_id,
            self._fresh_until(target),
        )
        if completed == target.task_id:
            self._note_effect("complete")
            return Result(target, "done")
        # None was pending, or the call completed another one of that name. A completion by id is
        # answered alike whatever happened.
        may_have_acted_now = completed is not None or not fits_path(target.reference_name)
        return self._look_up_effect(target, event, may_have_acted_now)

    def _look_up_effect(self, target: Target, event: Event, may_have_acted_now: bool) -> Result:
        """The result of a completion whose answer doesn't name the task."""
        acted = may_have_acted_now or may_have_acted(target)
        try:
            known = self._look_up(target, event, acted)
        except ConductorError as error:
            if isinstance(error, NotNow) and not may_have_acted_now:
                raise
            reason = f"what a call did can't be looked up: {error}"
            raise OutcomeUnknown(reason, error.status) from error
        if known is None:
            raise OutcomeUnknown("Conductor answered, but the task is still pending")
        return known

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
                # Not "answered": the other one may be waiting only because Conductor can't be
                # reached.
                return Outcome(self._wait_for_key(target), "unclear")
            if where != "free":
                assert holder is not None and holder.workflow_id is not None
                reason = f"workflow {holder.workflow_id} exists for the same key"
                skipped = Result(target, "skipped", reason, workflow_id=holder.workflow_id)
                if where == "is there":
                    return Outcome(skipped, "unclear")
                if self._runs(holder.workflow_id):
                    return Outcome(skipped, "answered")
            self._store.once_keys.take(key, holder, target.id)
        return None

    def _wait_for_key(self, target: Target) -> Result:
        due_at = self._store.now() + int(wait_before(target.attempts) * 1000)
        reason = "another event starts the workflow for the same key; waiting for its result"
        return Result(target, "pending", reason, due_at=due_at, not_sent=True, did_nothing=True)

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

    # --- what earlier calls did ---

    def _look_up_earlier(self, target: Target, event: Event) -> Result | None:
        """The result of an earlier call; None if there was none, or it had no effect."""
        # Unlike a completion, a start leaves no trace in a waiting task. So if its event is older
        # than this worker, look it up even on the first try: the store may be a backup from before
        # that start.
        may_be_from_backup = target.kind == "start" and event.received_at < self._began
        if target.attempts <= 1 and not may_be_from_backup:
            return None
        with looking_up("the outcome of an earlier try can't be looked up"):
            return self._look_up(target, event, may_have_acted(target))

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
        else:  # only a start that a backup doesn't know may have been made
            workflow_id = self._conductor.started(target.workflow, target.correlation_id)
        if workflow_id is None:
            return None
        ensure_it_goes_on(self._conductor, workflow_id)
        return Result(target, "done", workflow_id=workflow_id)

    def _look_up_completion(self, target: Target, event: Event, acted: bool) -> Result | None:
        assert target.task_id is not None
        status = self._conductor.task(target.task_id)
        if status is None:
            return self._look_up_missing_task(target, event, acted)
        if not status.terminal:
            return None
        if status.worker_id == target.event_id or self._completed_by_event(target):
            return self._completed(target)
        return Result(target, "cancelled", _ENDED_OTHERWISE)

    def _look_up_missing_task(self, target: Target, event: Event, acted: bool) -> Result:
        """The result of a completion whose task the server doesn't know."""
        assert target.task_id is not None
        is_sure = self._store.now() >= event.hold_until or self._right_server_lacks(target)
        if is_sure and not acted:
            return Result(target, "cancelled", "Conductor no longer has the task")
        if self._completed_by_event(target):
            return self._completed(target)
        has_metadata = self._has_metadata(event)
        look = partial(self._conductor.end_in_index, target.task_id, target.event_id, has_metadata)
        end = self._earlier_starts.in_index(look, partial(self._fresh_until, target))
        if end == "by the event":
            return self._completed(target)
        if end == "otherwise":
            return Result(target, "cancelled", _ENDED_OTHERWISE)
        if not is_sure:
            raise NotNow(
                "Conductor knows neither the task nor others of before: it may be another server,"
                " or empty"
            )
        reason = "the answer was lost, and nothing in Conductor shows any more what it was"
        return Result(target, "unknown", reason)

    def _completed_by_event(self, target: Target) -> bool:
        """Whether the event has completed a task with this one's name: this one may have timed out,
        and Conductor have given the event to its retry, which has the same name."""
        assert target.workflow_id is not None
        assert target.reference_name is not None
        return self._conductor.completed_by(
            target.workflow_id, target.reference_name, target.event_id
        )

    def _completed(self, target: Target) -> Result:
        """The result of a completion that took effect."""
        assert target.workflow_id is not None
        ensure_it_goes_on(self._conductor, target.workflow_id)
        return Result(target, "done")

    def _right_server_lacks(self, target: Target) -> bool:
        """Whether it is the right server that doesn't know the target's task. The first answer may
        have been another's: where an address leads may change from one call to the next."""
        assert target.task_id is not None
        return self._is_right_server(target) and self._conductor.task(target.task_id) is None

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
