"""Watches the workflows for whose end senders wait, and records the answers.

The leader does so, for all workers. It reads from the store which answers are open, and which
workflow each event has; asks Conductor whether those workflows have ended (`polls`); and records
the answers. What it knows can be read again at any time, so nothing is lost with a leader. An
event's first answer counts. Nothing is watched once its sender's time is over; a later duplicate
reopens the row in the store.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor as Pool
from concurrent.futures import ThreadPoolExecutor

import structlog

from config.model import Webhook
from store.answers import (
    COMPLETED,
    GONE,
    TOO_LARGE,
    UNREADABLE,
    Answer,
    AnsweringWorkflow,
    OpenAnswer,
    answer_of,
)
from store.errors import StoreUnavailable
from worker import metrics
from worker.conductor.errors import ConductorError
from worker.conductor.responses import End
from worker.context import Context
from worker.delivery.polls import THREADS, Polls
from worker.delivery.unread import UnreadMessages
from worker.retries import failing_items

log = structlog.get_logger()

_LOOK_EVERY = 0.1
"""Seconds between two looks at the open answers."""
_LOOK_RARELY = 2.0
"""The same if no defined webhook has senders that wait: senders of a removed one may still wait."""
_LOOKS = 5000
"""Open answers that are looked at a second: the more there are, the longer the pauses."""
_TRY_AGAIN = 0.5
"""Seconds before the store is tried again, or whether this worker leads."""


class AnswerWatcher:
    """One thread, which owns all state."""

    def __init__(self, context: Context, is_leader: Callable[[], bool], pool: Pool | None = None):
        self._context = context
        self._store = context.store
        self._unread = UnreadMessages(context)
        self._is_leader = is_leader
        self._clock = context.clock
        self._pool = pool or ThreadPoolExecutor(THREADS, thread_name_prefix="answer")
        self._thread = threading.Thread(target=self._run, name="answers", daemon=True)
        self._stopped = threading.Event()
        self._open: dict[str, OpenAnswer] = {}
        """By event."""
        self._workflows: dict[str, AnsweringWorkflow] = {}
        """Event id → the workflow whose end is the answer, of the open ones for which it is known.
        """
        self._polls = Polls(context.conductor, self._clock, self._pool)
        self._look_at = float("-inf")

    def start(self) -> None:
        """Starts watching, on a separate thread."""
        self._thread.start()

    def stop(self) -> None:
        """Asks it to end. The next leader takes on what is unanswered. Thread-safe."""
        self._stopped.set()

    def _run(self) -> None:
        self._context.health.keep_on("the answers", self._stopped.is_set, self._once)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _once(self) -> None:
        self._stopped.wait(self.step())

    def step(self) -> float:
        """Does what is due; returns the seconds until something is due again."""
        if not self._is_leader():
            self._open.clear()
            self._workflows.clear()
            self._watch()
            self._look_at = float("-inf")
            return _TRY_AGAIN
        try:
            if self._clock.monotonic() >= self._look_at:
                self._look()
            self._record(
                [
                    answer
                    for id_, end in self._polls.turn().items()
                    for answer in self._answers_to(id_, end)
                ]
            )
        except StoreUnavailable as error:
            log.error("the store can't be used; senders wait for their answers", error=str(error))
            return _TRY_AGAIN
        return max(0.0, min(self._look_at, self._polls.due_at()) - self._clock.monotonic())

    def _look(self) -> None:
        """Reads the open answers and, for those for which it isn't known yet, the workflow."""
        self._open = {one.event_id: one for one in self._store.answers.open(self._store.now())}
        known = {event_id: of for event_id, of in self._workflows.items() if event_id in self._open}
        outcomes = self._store.answers.workflows(
            [event_id for event_id in self._open if event_id not in known]
        )
        self._workflows = known | {
            event_id: of for event_id, of in outcomes.items() if isinstance(of, AnsweringWorkflow)
        }
        self._watch()
        every = _LOOK_RARELY
        if any(map(_waits, self._context.definitions.current.by_name.values())):
            every = _LOOK_EVERY
        self._look_at = self._clock.monotonic() + max(every, len(self._open) / _LOOKS)
        self._record(
            [
                (Answer(event_id, outcome), None)
                for event_id, outcome in outcomes.items()
                if isinstance(outcome, str)
            ]
        )

    def _watch(self) -> None:
        self._polls.watch(self._workflows.values())
        metrics.ANSWERS_WATCHED.set(len(self._workflows))

    def _answers_to(self, workflow_id: str, end: End | None) -> list[tuple[Answer, End | None]]:
        """The answers to the events that wait for that workflow, each with the workflow's end."""
        events = [
            event_id for event_id, of in self._workflows.items() if of.workflow_id == workflow_id
        ]
        by_name = self._context.definitions.current.by_name
        with_messages = [
            event_id
            for event_id in events
            if (webhook := by_name.get(self._open[event_id].webhook)) is not None
            and webhook.messages
        ]
        if with_messages:
            try:
                self._unread.settle(workflow_id)
            except ConductorError as error:
                log.warning(
                    "can't tell what a workflow has read", workflow_id=workflow_id, error=str(error)
                )
                return []
            # What it left unread is delivered again, and another workflow's end is the answer.
            found = self._store.answers.workflows(with_messages)
            for event_id in with_messages:
                if found.get(event_id) != self._workflows[event_id]:
                    events.remove(event_id)
                    del self._workflows[event_id]
        return [(_answer_to(self._open[event_id], workflow_id, end), end) for event_id in events]

    def _record(self, answers: Sequence[tuple[Answer, End | None]]) -> None:
        """Records the answers. Raises StoreUnavailable; they are then made again."""
        if not answers:
            return
        refused = failing_items([answer for answer, _ in answers], self._store.answers.record)
        for answer, error in refused:
            log.error(
                "the store refuses an answer", event_id=answer.event_id, error=ascii(str(error))
            )
        at = self._context.conductor.server_now()
        for answer, end in answers:
            if any(answer is one for one, _ in refused):
                continue
            self._open.pop(answer.event_id)
            self._workflows.pop(answer.event_id, None)
            since_end = None
            if end is not None and end.ended_at is not None:
                since_end = (at - end.ended_at) / 1000
            metrics.answered(answer.outcome, since_end)
            log.info(
                "answered",
                event_id=answer.event_id,
                workflow_id=answer.workflow_id,
                outcome=answer.outcome,
            )
        self._watch()


def _answer_to(wanted: OpenAnswer, workflow_id: str, end: End | None) -> Answer:
    if end is None:
        return Answer(wanted.event_id, GONE, workflow_id)
    if end.is_apart and end.status == COMPLETED:
        return Answer(wanted.event_id, TOO_LARGE, workflow_id)
    try:
        return answer_of(wanted, workflow_id, end.status, end.output)
    except Exception as error:
        log.error(
            "a workflow's output can't be used for an answer",
            workflow_id=workflow_id,
            error=ascii(str(error)),
        )
        return Answer(wanted.event_id, UNREADABLE, workflow_id)


def _waits(webhook: Webhook) -> bool:
    """Whether the webhook's senders wait for the end of a workflow."""
    return webhook.respond is not None and webhook.respond.wait is not None
