"""Gives a message to the running workflow with its key, or starts one.

A push has no id of the caller's, and a queue can't be read. So a message arrives at least once, not
exactly once: after a lost answer, the workflow's PULL_WORKFLOW_MESSAGES tasks show whether one of
them has read the message; otherwise it is pushed again. A start is looked up like any other: the
input of the workflow names the event.

The messages of a lane come here one after the other, so its workflow is usually the one that the
last message went to. Whether it still runs is seen by the answer to the push. If it has ended, what
it left unread comes first.
"""

from __future__ import annotations

import heapq
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import structlog

from store.errors import StoreUnavailable
from store.records import Event, Result, Target
from store.rules.keys import lane_of
from worker.conductor.errors import ConductorError, Garbled, NotNow, Refused, is_denied, looking_up
from worker.conductor.messages import Keyed
from worker.conductor.responses import UNDER_WAY
from worker.context import Context
from worker.delivery.earlier_starts import EarlierStarts, ensure_it_goes_on
from worker.delivery.unread import UnreadMessages

log = structlog.get_logger()

NONE_RUNS = "no workflow with its key is running; it is held for one"
"""The reason for which a message waits that is held."""
_SOONEST, _RAREST = 1.0, 15.0
"""Seconds between two look-ups for one message: a quarter of the time for which it was held, within
these bounds."""
_LOOK_UPS_A_SECOND = 20.0
"""For one webhook's messages. Each is two requests, and there may be thousands, each with a key of
its own."""
_LARGEST_LOOK = 2 * 1024**2
"""Bytes of the ended workflows with a key that are read, if only to see whether one is paused.
There may be one for every message before, each with its input, so reading all of them would take
ever longer."""


@dataclass(frozen=True, slots=True)
class _Starter:
    """What a workflow is started with."""

    event_id: str
    version: int | None
    payload: str


class MessageCalls:
    """Makes the call for one message at a time, on any thread."""

    def __init__(self, context: Context, earlier_starts: EarlierStarts):
        self._lanes = context.store.lanes
        self._queries = context.store.queries
        self._conductor = context.conductor
        self._earlier_starts = earlier_starts
        self._unread = UnreadMessages(context)
        self._look_ups = HeldLookUps()

    def call(
        self, target: Target, event: Event, now: int, payload: str, fresh_until: Callable[[], float]
    ) -> Result:
        """Delivers the message, as far as possible now; `payload` is its JSON text.

        `fresh_until` says until when a request may leave, before each one that changes something.
        Raises ConductorError, whose `workflow_id` is the workflow that the message was for, if one
        was found.
        """
        assert target.correlation_id is not None
        tried = target.attempts > 1
        for workflow_id in self._known(target):
            if self._give(workflow_id, target, event, payload, fresh_until):
                return Result(target, "done", workflow_id=workflow_id)
            self._unread.settle(workflow_id)
            if not self._lanes.is_first(target):
                return Result(target, "queued")
        running, ended = self._find(target)
        may_be_read = (
            tried and target.otherwise != "hold"
        )  # what is held is looked for too often for this
        if may_be_read and ended and self._was_pulled(ended[0].id, event.id):
            return Result(target, "done", workflow_id=ended[0].id)
        starter = self._starter(target, event, payload, now) if running is None else None
        if starter is not None and tried and _started_for(starter, ended) is None:
            look = partial(self._find_started, target, starter)
            running, ended = self._earlier_starts.look_again(look) or (None, ended)
        if starter is not None and running is None:
            if own := _started_for(starter, ended):
                # It was started with the payload, and ended before its message came: another would
                # be a repetition.
                if starter.event_id == event.id:
                    return Result(target, "done", workflow_id=own.id)
                starter = None
            elif tried and (
                running := self._earlier_starts.find_running(target.workflow, target.correlation_id)
            ):
                ensure_it_goes_on(self._conductor, running)
        if running is not None:
            if self._give(running, target, event, payload, fresh_until):
                return Result(target, "done", workflow_id=running)
            raise NotNow(f"workflow {running} ended just as the message came")
        if starter is None:
            return self._without_workflow(target, event, now)
        gone = self._find_gone(target, starter, fresh_until) if tried else None
        try:
            started = gone or self._conductor.start(
                target.workflow,
                starter.version,
                starter.payload,
                target.correlation_id,
                fresh_until(),
                idempotency_key=starter.event_id,
            )
        except Refused:
            if starter.event_id == event.id:
                raise
            return self._without_workflow(
                target, event, now
            )  # the later message will fail by itself
        # If it has ended by now, its input was the message.
        if self._push(started, payload, fresh_until) or starter.event_id == event.id:
            return Result(target, "done", workflow_id=started)
        return self._without_workflow(target, event, now)

    def _known(self, target: Target) -> list[str]:
        """The workflow that an earlier try was for, or else the one that the lane's last message
        went to; none if it had ended, and the message is held."""
        if target.attempts > 1 and target.error == NONE_RUNS:
            return []
        known = target.workflow_id or self._lanes.latest_workflow(_lane(target))
        return [] if known is None else [known]

    def _give(
        self,
        workflow_id: str,
        target: Target,
        event: Event,
        payload: str,
        fresh_until: Callable[[], float],
    ) -> bool:
        """Whether the workflow has the message, now or since an earlier try; False if it has
        ended."""
        if target.attempts > 1 and self._was_pulled(workflow_id, event.id):
            return True
        return self._push(workflow_id, payload, fresh_until)

    def _find(self, target: Target) -> tuple[str | None, list[Keyed]]:
        """The running workflow with the key, the newest if there are several; if there is none,
        those that have ended, newest first.

        Raises NotNow while the workflow is paused.
        """
        name, key = target.workflow, target.correlation_id
        assert key is not None
        queues = self._conductor.messages
        found = queues.with_key(name, key, ended=False)
        if not any(one.status == "RUNNING" for one in found):
            try:
                largest = None if self._may_have_started(target) else _LARGEST_LOOK
                found = queues.with_key(name, key, ended=True, largest=largest)
            except Garbled as error:  # too many have ended to read them all
                log.warning(
                    "the ended workflows with a message's key can't be read",
                    workflow=name,
                    error=str(error),
                )
        if running := next((one for one in found if one.status == "RUNNING"), None):
            if (
                target.attempts > 1 and running.event_id is not None
            ):  # an earlier try may have started it
                ensure_it_goes_on(self._conductor, running.id)
            return running.id, []
        if paused := next((one for one in found if one.status == "PAUSED"), None):
            with _about(paused.id):
                raise NotNow(f"workflow {paused.id} is paused")
        return None, found

    def _find_started(
        self, target: Target, starter: _Starter
    ) -> tuple[str | None, list[Keyed]] | None:
        """What `_find` returns, if an earlier try's workflow may be in it."""
        running, ended = self._find(target)
        return (
            (running, ended)
            if running is not None or _started_for(starter, ended) is not None
            else None
        )

    def _find_gone(
        self, target: Target, starter: _Starter, renew: Callable[[], object]
    ) -> str | None:
        """The workflow that an earlier try started, if Conductor no longer has it, but its index
        does."""
        assert target.correlation_id is not None
        start = target.workflow, target.correlation_id, starter.event_id
        return self._earlier_starts.in_index(
            partial(self._conductor.started_in_index, *start), renew
        )

    def _may_have_started(self, target: Target) -> bool:
        """Whether an earlier try may have started a workflow, for this message or, if it is held, a
        later one. It may be any of those that have ended."""
        is_tried = target.attempts > 1
        return is_tried and (
            target.otherwise != "hold" or self._lanes.next_start(_lane(target)) is not None
        )

    def _starter(self, target: Target, event: Event, payload: str, now: int) -> _Starter | None:
        """Whose payload starts a workflow for the message; None if it must not be started.

        A message that is held would keep a later one from starting the workflow that it waits for.
        So it starts the workflow for that one, which comes next.
        """
        if target.otherwise == "start":
            return _Starter(event.id, target.version, payload)
        if target.otherwise == "ignore" or now >= event.hold_until:
            return None
        if (later := self._lanes.next_start(_lane(target))) is None:
            return None
        try:
            found = self._queries.events_of([later.event_id])[later.event_id]
            return _Starter(found.id, later.version, found.text())
        except StoreUnavailable:
            raise
        except Exception as error:  # the later message will be set aside by itself
            log.warning(
                "a later message's event can't be read", event_id=later.event_id, error=str(error)
            )
            return None

    def _without_workflow(self, target: Target, event: Event, now: int) -> Result:
        """What becomes of a message for whose key no workflow runs, and none is to be started."""
        before = (
            f"workflow {target.workflow_id} ended before it read the message; then "
            if target.workflow_id
            else ""
        )
        if target.otherwise == "ignore":
            return Result(target, "skipped", f"{before}no workflow with its key was running")
        if now >= event.hold_until:
            reason = f"{before}no workflow with its key started running while it was held"
            return Result(target, "cancelled", reason)
        pause = self._look_ups.pause(event.webhook, now, (now - target.created_at) / 1000)
        due_at = min(now + int(pause * 1000), event.hold_until)
        return Result(target, "pending", NONE_RUNS, due_at=due_at, not_sent=True)

    def _push(self, workflow_id: str, payload: str, fresh_until: Callable[[], float]) -> bool:
        """Pushes the message; False if the workflow has ended, so that nothing was done."""
        with _about(workflow_id):
            try:
                self._conductor.messages.push(workflow_id, payload, fresh_until())
                return True
            except ConductorError as error:
                if error.status == 429:
                    raise NotNow(
                        f"the message queue of workflow {workflow_id} is full", 429
                    ) from None
                if error.status not in (404, 409):
                    raise
                refused = error
            # Its answer is text for people, so ask why.
            with looking_up(
                f"workflow {workflow_id} accepts no message ({refused}), and can't be looked up"
            ):
                status = self._conductor.messages.status(workflow_id)
            if status == "RUNNING" and refused.status == 404:
                text = "Conductor's message queues are off; set conductor.workflow-message-queue.enabled=true there"
                raise NotNow(text, 404)
            if status in UNDER_WAY:
                raise NotNow(f"workflow {workflow_id} is paused")
        return False

    def _was_pulled(self, workflow_id: str, event_id: str) -> bool:
        """Whether an earlier try is known to have arrived. If that can never be looked up, it
        counts as lost."""
        with (
            _about(workflow_id),
            looking_up(f"can't look up whether workflow {workflow_id} has read the message"),
        ):
            try:
                return self._conductor.messages.was_pulled(workflow_id, event_id)
            except ConductorError as error:
                if isinstance(error, Garbled) or is_denied(error):
                    return False
                raise


def _started_for(starter: _Starter, ended: Iterable[Keyed]) -> Keyed | None:
    """The workflow that was started with this payload, if it has ended."""
    return next((one for one in ended if one.event_id == starter.event_id), None)


def _lane(target: Target) -> str:
    """The message's lane, also if it has left it."""
    assert target.correlation_id is not None
    return lane_of(target.workflow, target.correlation_id)


@contextmanager
def _about(workflow_id: str) -> Iterator[None]:
    """Errors inside name the workflow, for the next try."""
    try:
        yield
    except ConductorError as error:
        error.workflow_id = workflow_id
        raise


class HeldLookUps:
    """Spaces the look-ups for the workflows that held messages wait for. Thread-safe.

    If a webhook has too many messages, there are fewer for each of them; other webhooks aren't
    affected.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_webhook: defaultdict[str, _LookUps] = defaultdict(_LookUps)

    def pause(self, webhook: str, now: int, held_for: float) -> float:
        """Seconds from a look-up `now` (Unix milliseconds) until a message's next one; `held_for`
        is in seconds."""
        with self._lock:
            return self._by_webhook[webhook].add(
                now / 1000, min(_RAREST, max(_SOONEST, held_for / 4))
            )


class _LookUps:
    """One webhook's look-ups that are still to come."""

    def __init__(self) -> None:
        self._ends: list[tuple[float, float]] = []
        """When each is due (Unix seconds), and its rate (look-ups a second). A heap."""
        self._wanted = 0.0
        """The sum of these rates."""

    def add(self, now: float, wanted: float) -> float:
        """Adds a look-up that should come after `wanted` seconds; returns the seconds after which
        it does."""
        while self._ends and self._ends[0][0] <= now:
            self._wanted -= heapq.heappop(self._ends)[1]
        # From nothing, so that rounding errors don't add up.
        self._wanted = (self._wanted if self._ends else 0.0) + 1 / wanted
        # Messages that have just arrived want frequent look-ups, and count with that rate until
        # they are due.
        evenly = (len(self._ends) + 1) / _LOOK_UPS_A_SECOND
        pause = max(wanted, min(evenly, wanted * self._wanted / _LOOK_UPS_A_SECOND))
        heapq.heappush(self._ends, (now + pause, 1 / wanted))
        return pause
