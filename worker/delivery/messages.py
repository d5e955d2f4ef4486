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
from collections.abc import Callable, Iterable, Iterator, Sequence
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
class _Delivery:
    """One try to deliver a message."""

    target: Target
    event: Event
    now: int
    payload: str
    """The message as JSON text."""
    fresh_until: Callable[[], float]
    """Until when a request may leave; asked before each one that changes something."""

    @property
    def is_retry(self) -> bool:
        """Whether there were earlier tries."""
        return self.target.attempts > 1

    @property
    def key(self) -> str:
        """The correlation id of the workflow that the message is for."""
        assert self.target.correlation_id is not None
        return self.target.correlation_id

    @property
    def lane(self) -> str:
        """The message's lane, also if it has left it."""
        return lane_of(self.target.workflow, self.key)

    def done(self, workflow_id: str) -> Result:
        """The result if the workflow has the message."""
        return Result(self.target, "done", workflow_id=workflow_id)


@dataclass(frozen=True, slots=True)
class _Running:
    """A workflow runs, and gets the message."""

    id: str


@dataclass(frozen=True, slots=True)
class _NoneRuns:
    """No workflow with the key runs."""

    ended: Sequence[Keyed]
    """Those that have ended, newest first."""


@dataclass(frozen=True, slots=True)
class _Over:
    """The workflow that was started with the starter's payload has ended before its message came.
    Another one would be a repetition."""

    id: str


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
        delivery = _Delivery(target, event, now, payload, fresh_until)
        result = self._give_to_known(delivery)
        if result is not None:
            return result
        match self._find(delivery):
            case _Running(workflow_id):
                return self._give_to_running(delivery, workflow_id)
            case _NoneRuns(ended):
                return self._give_to_new(delivery, ended)

    # --- to a workflow that runs ---

    def _give_to_known(self, delivery: _Delivery) -> Result | None:
        """The result if a workflow is known by earlier tries or messages; None if another one must
        be found."""
        workflow_id = self._known(delivery)
        if workflow_id is None:
            return None
        if self._give(delivery, workflow_id):
            return delivery.done(workflow_id)
        self._unread.settle(workflow_id)
        if self._lanes.is_first(delivery.target):
            return None
        return Result(delivery.target, "queued")

    def _known(self, delivery: _Delivery) -> str | None:
        """The workflow that an earlier try was for, or else the one that the lane's last message
        went to; None if it had ended, and the message is held."""
        target = delivery.target
        if delivery.is_retry and target.error == NONE_RUNS:
            return None
        return target.workflow_id or self._lanes.latest_workflow(delivery.lane)

    def _give_to_running(self, delivery: _Delivery, workflow_id: str) -> Result:
        if self._give(delivery, workflow_id):
            return delivery.done(workflow_id)
        raise NotNow(f"workflow {workflow_id} ended just as the message came")

    def _give(self, delivery: _Delivery, workflow_id: str) -> bool:
        """Whether the workflow has the message, now or since an earlier try; False if it has
        ended."""
        if delivery.is_retry and self._was_pulled(workflow_id, delivery.event.id):
            return True
        return self._push(workflow_id, delivery)

    # --- to a workflow that is started for it ---

    def _give_to_new(self, delivery: _Delivery, ended: Sequence[Keyed]) -> Result:
        """`ended`: the workflows with the key, none of which runs."""
        event_id = delivery.event.id
        # A message that is held is looked for too often for this.
        may_be_read = delivery.is_retry and delivery.target.otherwise != "hold"
        if may_be_read and ended and self._was_pulled(ended[0].id, event_id):
            return delivery.done(ended[0].id)
        starter = self._starter(delivery)
        if starter is None:
            return self._without_workflow(delivery)
        match self._find_earlier(delivery, starter, ended):
            case _Running(workflow_id):
                return self._give_to_running(delivery, workflow_id)
            case _Over(workflow_id) if starter.event_id == event_id:
                return delivery.done(workflow_id)
            case _Over():
                return self._without_workflow(delivery)
            case None:
                return self._start(delivery, starter)

    def _starter(self, delivery: _Delivery) -> _Starter | None:
        """Whose payload starts a workflow for the message; None if it must not be started.

        A message that is held would keep a later one from starting the workflow that it waits for.
        So it starts the workflow for that one, which comes next.
        """
        target, event = delivery.target, delivery.event
        if target.otherwise == "start":
            return _Starter(event.id, target.version, delivery.payload)
        if target.otherwise == "ignore" or delivery.now >= event.hold_until:
            return None
        later = self._lanes.next_start(delivery.lane)
        if later is None:
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

    def _find_earlier(
        self, delivery: _Delivery, starter: _Starter, ended: Iterable[Keyed]
    ) -> _Running | _Over | None:
        """The workflow that an earlier try started, or one that runs by now; None if Conductor has
        none."""
        over = _started_for(starter, ended)
        if over is not None or not delivery.is_retry:
            return over
        found = self._earlier_starts.look_again(partial(self._find_started, delivery, starter))
        if found is not None:
            return found
        running = self._earlier_starts.find_running(delivery.target.workflow, delivery.key)
        if running is None:
            return None
        ensure_it_goes_on(self._conductor, running)
        return _Running(running)

    def _find_started(self, delivery: _Delivery, starter: _Starter) -> _Running | _Over | None:
        match self._find(delivery):
            case _NoneRuns(ended):
                return _started_for(starter, ended)
            case _Running() as running:
                return running

    def _start(self, delivery: _Delivery, starter: _Starter) -> Result:
        is_own = starter.event_id == delivery.event.id
        workflow_id = None
        if delivery.is_retry:
            workflow_id = self._find_gone(delivery, starter)
        if workflow_id is None:
            try:
                workflow_id = self._conductor.start(
                    delivery.target.workflow,
                    starter.version,
                    starter.payload,
                    delivery.key,
                    delivery.fresh_until(),
                    idempotency_key=starter.event_id,
                )
            except Refused:
                if is_own:
                    raise
                # The later message will fail by itself.
                return self._without_workflow(delivery)
        # If it has ended by now, its input was the message.
        if self._push(workflow_id, delivery) or is_own:
            return delivery.done(workflow_id)
        return self._without_workflow(delivery)

    def _find_gone(self, delivery: _Delivery, starter: _Starter) -> str | None:
        """The workflow that an earlier try started, if Conductor no longer has it, but its index
        does."""
        start = delivery.target.workflow, delivery.key, starter.event_id
        look = partial(self._conductor.started_in_index, *start)
        return self._earlier_starts.in_index(look, delivery.fresh_until)

    def _without_workflow(self, delivery: _Delivery) -> Result:
        """What becomes of a message for whose key no workflow runs, and none is to be started."""
        target, event, now = delivery.target, delivery.event, delivery.now
        before = ""
        if target.workflow_id:
            before = f"workflow {target.workflow_id} ended before it read the message; then "
        if target.otherwise == "ignore":
            return Result(target, "skipped", f"{before}no workflow with its key was running")
        if now >= event.hold_until:
            reason = f"{before}no workflow with its key started running while it was held"
            return Result(target, "cancelled", reason)
        pause = self._look_ups.pause(event.webhook, now, (now - target.created_at) / 1000)
        due_at = min(now + int(pause * 1000), event.hold_until)
        return Result(target, "pending", NONE_RUNS, due_at=due_at, not_sent=True)

    # --- what Conductor says ---

    def _find(self, delivery: _Delivery) -> _Running | _NoneRuns:
        """The running workflow with the key, the newest if there are several. Raises NotNow while
        the workflow is paused."""
        found = self._conductor.messages.with_key(
            delivery.target.workflow, delivery.key, ended=False
        )
        if _newest(found, "RUNNING") is None:
            found = self._with_ended(delivery, found)
        running = _newest(found, "RUNNING")
        if running is not None:
            # An earlier try may have started it.
            if delivery.is_retry and running.event_id is not None:
                ensure_it_goes_on(self._conductor, running.id)
            return _Running(running.id)
        paused = _newest(found, "PAUSED")
        if paused is not None:
            with _about(paused.id):
                raise NotNow(f"workflow {paused.id} is paused")
        return _NoneRuns(found)

    def _with_ended(self, delivery: _Delivery, running: list[Keyed]) -> list[Keyed]:
        """All workflows with the key; only those that are under way if too many have ended."""
        name = delivery.target.workflow
        largest: int | None = _LARGEST_LOOK
        if self._may_have_started(delivery):
            largest = None
        try:
            return self._conductor.messages.with_key(
                name, delivery.key, ended=True, largest=largest
            )
        except Garbled as error:
            log.warning(
                "the ended workflows with a message's key can't be read",
                workflow=name,
                error=str(error),
            )
            return running

    def _may_have_started(self, delivery: _Delivery) -> bool:
        """Whether an earlier try may have started a workflow, for this message or, if it is held, a
        later one. It may be any of those that have ended."""
        if not delivery.is_retry:
            return False
        if delivery.target.otherwise != "hold":
            return True
        return self._lanes.next_start(delivery.lane) is not None

    def _push(self, workflow_id: str, delivery: _Delivery) -> bool:
        """Pushes the message; False if the workflow has ended, so that nothing was done."""
        with _about(workflow_id):
            try:
                self._conductor.messages.push(workflow_id, delivery.payload, delivery.fresh_until())
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
                text = (
                    "Conductor's message queues are off; set"
                    " conductor.workflow-message-queue.enabled=true there"
                )
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


def _started_for(starter: _Starter, ended: Iterable[Keyed]) -> _Over | None:
    """The workflow that was started with this payload, if it has ended."""
    return next((_Over(one.id) for one in ended if one.event_id == starter.event_id), None)


def _newest(found: Iterable[Keyed], status: str) -> Keyed | None:
    return next((workflow for workflow in found if workflow.status == status), None)


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
            wanted = min(_RAREST, max(_SOONEST, held_for / 4))
            return self._by_webhook[webhook].add(now / 1000, wanted)


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
        if not self._ends:
            self._wanted = 0.0  # so that rounding errors don't add up
        self._wanted += 1 / wanted
        # Messages that have just arrived want frequent look-ups, and count with that rate until
        # they are due.
        evenly = (len(self._ends) + 1) / _LOOK_UPS_A_SECOND
        pause = max(wanted, min(evenly, wanted * self._wanted / _LOOK_UPS_A_SECOND))
        heapq.heappush(self._ends, (now + pause, 1 / wanted))
        return pause
