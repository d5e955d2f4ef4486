"""Senders that wait for the end of a workflow: their deliveries are committed, and their
connections stay open.

Each waits in its own greenlet. One reader per process asks the store for all of them: whenever a
worker has recorded answers, and once a second.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Literal

import structlog

from config.target_keys import Respond
from platforms.http import Response, json_response
from relay import metrics
from relay.route import response_with
from store.answers import COMPLETED, NO_WORKFLOW, TOO_LARGE, Answer
from store.delivery_records import AnswerWanted
from store.errors import StoreUnavailable
from store.sql.answers import READ_AT_ONCE, Answers
from store.sql.database import Signals

MOST = 1000
"""Senders that may wait in one process: half of its connections."""
_SHARE = 4
"""Senders that a webhook may have waiting for each free place: if it is alone, four fifths of all
places."""
_LOOK_EVERY = 1.0
"""Seconds between two polls if no worker reports an answer."""
_GATHER = 0.05
"""Seconds between two polls at least: each asks for all senders that wait."""
_OF_ONE_EVENT = 20
"""Senders of one process that may wait for one event: whoever has seen a delivery can send it as
often as they like."""
_AFTER_ERROR = 0.5
"""Seconds."""
_PATIENCE = 2.0
"""Seconds that a poll may take: those who wait longest must not have their answers held up by one.
"""

Ending = Literal["answered", "late", "stopping", "crowded"]
"""How a wait ended. `late`: its time is over. `crowded`: it didn't even begin, since too many wait,
or too many for this event. Nobody notices that a sender has hung up."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A committed delivery whose answer is still to come."""

    event_id: str
    """The event that the delivery left, or repeats."""
    webhook: str
    respond: Respond
    wanted: AnswerWanted | None
    """None if the sender can't wait: too many others do."""
    until: float
    """Until when to wait (monotonic clock)."""
    is_duplicate: bool = False


@dataclass(slots=True, eq=False)
class _Waiter:
    wanted: AnswerWanted | None
    """What workers must be asked to watch for, of a duplicate; None once that is done."""
    over: threading.Event = field(default_factory=threading.Event)
    ending: Ending = "late"
    answer: Answer | None = None

    def end(self, ending: Ending, answer: Answer | None = None) -> None:
        if not self.over.is_set():
            self.ending, self.answer = ending, answer
            self.over.set()


class WaitingPlaces:
    """Leaves room for other webhooks' senders, however many wait for one webhook's slow workflows:
    the fewer places are free, the fewer a webhook may have."""

    def __init__(self, most: int = MOST):
        self.most = most
        self._taken = Counter[str]()
        self._sum = 0

    def has_room(self, webhook: str) -> bool:
        """Whether another of the webhook's senders may wait."""
        return self._taken[webhook] < _SHARE * (self.most - self._sum)

    @contextmanager
    def one(self, webhook: str) -> Iterator[None]:
        """Takes a place until the block ends."""
        self._taken[webhook] += 1
        self._sum += 1
        try:
            yield
        finally:
            self._sum -= 1
            self._taken[webhook] -= 1
            if not self._taken[webhook]:
                del self._taken[webhook]


class Waiting:
    """The senders that wait in this process. Safe for threads, and for greenlets of one thread."""

    def __init__(self, answers: Answers, signals: Signals):
        self.places = WaitingPlaces()
        self._answers = answers
        self._signals = signals
        self._waiters: dict[str, list[_Waiter]] = {}
        """Event id → who waits for its answer."""
        self._wake: Callable[[], None] = _nothing
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_stopping = False

    @property
    def waiters(self) -> int:
        """How many senders wait."""
        return sum(map(len, list(self._waiters.values())))

    def has_room(self, webhook: str) -> bool:
        """Whether another of the webhook's senders may wait."""
        return not self._is_stopping and self.places.has_room(webhook)

    def wait(self, pending: Pending) -> Answer | None:
        """Waits for the answer; None if it doesn't come in time, the process stops, or too many
        wait already."""
        if pending.wanted is None or not self.has_room(pending.webhook):
            ending: Ending = "stopping" if self._is_stopping else "crowded"
            answer = None
        else:
            ending, answer = self._wait(pending)
        metrics.count_wait(pending.webhook, ending if answer is None else answer.outcome.lower())
        return answer

    def stop(self) -> None:
        """The process is stopping: ends all waits."""
        self._is_stopping = True
        with self._lock:
            for waiter in [one for waiters in self._waiters.values() for one in waiters]:
                waiter.end("stopping")

    def _wait(self, pending: Pending) -> tuple[Ending, Answer | None]:
        waiter = _Waiter(pending.wanted if pending.is_duplicate else None)
        with self.places.one(pending.webhook), metrics.waiting(), self._listed(pending, waiter):
            waiter.over.wait(max(0.0, pending.until - time.monotonic()))
        return waiter.ending, waiter.answer

    @contextmanager
    def _listed(self, pending: Pending, waiter: _Waiter) -> Iterator[None]:
        """Has the reader look for the answer until the block ends."""
        with self._lock:
            waiters = self._waiters.setdefault(pending.event_id, [])
            if self._is_stopping:
                waiter.end("stopping")
            elif len(waiters) >= _OF_ONE_EVENT:
                waiter.end("crowded")
            waiters.append(waiter)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="answers", daemon=True)
                self._thread.start()
        try:
            if pending.is_duplicate:  # it may have an answer already
                self._wake()
            yield
        finally:
            with self._lock:
                waiters = self._waiters[pending.event_id]
                waiters.remove(waiter)
                if not waiters:
                    del self._waiters[pending.event_id]

    def _run(self) -> None:
        """Looks from the first sender on. Keeps taking wake-ups, so that none pile up."""
        while True:
            try:
                with closing(self._signals.listener("answers")) as listener:
                    self._wake = listener.wake
                    while True:
                        if self._waiters:
                            self._look()
                        time.sleep(_GATHER)
                        listener.wait(_LOOK_EVERY)
            except StoreUnavailable:
                pass  # the next delivery to be stored fails for the same reason, and logs it
            except Exception:
                structlog.get_logger().exception("could not look for answers")
            self._wake = _nothing
            time.sleep(_AFTER_ERROR)

    # --- the reader ---

    def _look(self) -> None:
        """Hands over the answers that have been recorded, and has workers watch for the others for
        as long as their senders wait. Raises StoreUnavailable."""
        number = READ_AT_ONCE
        while number == READ_AT_ONCE:
            number = self._hand_over(
                [event_id for event_id in list(self._waiters) if not self._is_over(event_id)]
            )
            time.sleep(0)  # lets answers be sent before others are read
        self._open()

    def _open(self) -> None:
        """Opens the answers that duplicates wait for, or extends their time: once for each sender."""
        new = [
            (event_id, waiter, waiter.wanted)
            for event_id, waiters in list(self._waiters.items())
            for waiter in waiters
            if waiter.wanted is not None and not waiter.over.is_set()
        ]
        if new:
            in_order = sorted(new, key=lambda one: one[2].wait_until)
            self._answers.want(
                {event_id: wanted for event_id, _, wanted in in_order}, time.monotonic() + _PATIENCE
            )
            for _, waiter, _ in new:
                waiter.wanted = None

    def _hand_over(self, event_ids: Sequence[str]) -> int:
        """Returns how many answers were there."""
        found = self._answers.of_events(event_ids, until=time.monotonic() + _PATIENCE)
        for event_id, answer in found.items():
            for waiter in tuple(self._waiters.get(event_id, ())):
                waiter.end("answered", answer)
        return len(found)

    def _is_over(self, event_id: str) -> bool:
        return all(waiter.over.is_set() for waiter in self._waiters.get(event_id, ()))


def _nothing() -> None:
    pass


def response_to(event_id: str, answer: Answer | None, respond: Respond) -> Response:
    """The response to a sender. `answer` is None if there was none in time."""
    if answer is None:
        return json_response({"eventId": event_id}, 202)
    if answer.outcome == NO_WORKFLOW["ignored"]:
        # Nothing failed. Platforms repeat what is answered 5xx, and in the end switch its URL off.
        return json_response({"eventId": event_id, "status": "ignored"})
    if answer.outcome in NO_WORKFLOW.values():
        return json_response({"error": answer.outcome, "eventId": event_id}, 502)
    if answer.outcome == COMPLETED:
        body = answer.body or "null"
        if not body.startswith('"'):  # parsing it would take many times the memory, for nothing
            return response_with(respond, body.encode(), False)
        return response_with(respond, json.loads(body).encode("utf-8", "replace"), True)
    fields = {"eventId": event_id, "workflowId": answer.workflow_id}
    if answer.outcome == TOO_LARGE:
        message = "the workflow's answer is too large"
        return json_response({"error": "answer_too_large", "message": message, **fields}, 502)
    return json_response({"error": "workflow_failed", **fields, "status": answer.outcome}, 502)
