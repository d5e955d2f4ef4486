"""Watches the workflows for whose end senders wait, and records the answers.

An event's path::

    reported, or found in the store ──► unplaced ──► scheduled ──► recorded
                                        (which workflow?) (has it ended?)

Each worker watches what its own calls started or resumed: its executor tells it, so nothing is polled for that. The
leader also reads the store, and takes over what stays unanswered: calls of workers that died, events that ended without
a call, and answers that a duplicate waits for again. So a worker that isn't leader stops watching a workflow after a
few seconds. None of this has to be exclusive: an event's first answer counts. Nothing is watched once its sender's time
is over; a later duplicate reopens the row in the store.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor as Pool
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

import structlog

from config.model import Webhook
from store.answers import GONE, Answer, AnsweringWorkflow, OpenAnswer
from store.errors import StoreUnavailable
from store.records import Event, Result
from worker import metrics
from worker.answers.poll import PollResult, run_poll
from worker.answers.schedule import POLLS, READS, Poll, Schedule
from worker.answers.unplaced import UnplacedEvents
from worker.conductor.errors import ConductorError
from worker.context import Context
from worker.failing_items import failing_items
from worker.inbox import Inbox
from worker.unread import UnreadMessages

log = structlog.get_logger()

_READ_EVERY = 0.25
"""Seconds between two of the leader's reads of the store; each reads at most `_PAGE` answers."""
_READ_RARELY = 2.0
"""The same if no defined webhook has senders that wait: senders of a removed one may still wait."""
_READ_ON = 0.05
"""The same if there are more than one read returned: a hundred thousand take five seconds."""
_PAGE = 1000
_GRACE = 1.0
"""Seconds for which the leader leaves an open answer to the worker that made the call."""
_OWN = 15.0
"""Seconds for which a worker that isn't leader watches a workflow."""
_TRY_AGAIN = 0.5
"""Seconds before the store is tried again."""
_REMEMBERED = 120.0
"""Seconds for which the time when an open answer was first seen is remembered."""
_IDLE = 1.0
"""Seconds that the thread waits at most."""


class Member(Protocol):
    """A worker; one of all workers is leader."""

    @property
    def is_leader(self) -> bool:
        """Whether this worker is leader now. Thread-safe."""


class AnswerWatcher:
    """One thread owns all state. Others send it messages: `target_ended`, `stop`, and each request its outcome."""

    def __init__(self, context: Context, member: Member, pool: Pool | None = None):
        self._store = context.store
        self._conductor = context.conductor
        self._definitions = context.definitions
        self._unread = UnreadMessages(context)
        self._health = context.health
        self._member = member
        self._clock = context.clock
        self._pool = pool or ThreadPoolExecutor(POLLS + READS, thread_name_prefix="answer")
        self._thread = threading.Thread(target=self._run, name="answers", daemon=True)
        self._inbox = Inbox("the watcher of answers")
        # Everything below belongs to the owning thread.
        self._wanted: dict[str, OpenAnswer] = {}
        """The open answers that are unplaced or scheduled, by event."""
        self._unplaced = UnplacedEvents()
        self._schedule = Schedule()
        self._ended: list[tuple[str, Result]] = []
        """Targets that have ended, with their events, not yet looked at."""
        self._answers: dict[str, tuple[Answer, int | None]] = {}
        """To be recorded, by event, each with when its workflow ended by the server's clock."""
        self._seen: dict[str, float] = {}
        """Open answers that the leader leaves to others, and since when."""
        self._after: OpenAnswer | None = None
        """How far the leader has read the open answers."""
        self._read_at = float("-inf")
        """When the leader reads open answers next."""
        self._failed = False
        """Whether the last step failed."""
        self._store_at = float("-inf")
        """When to try the store again after an error."""
        self._stopped = False

    def start(self) -> None:
        """Starts watching, on a separate thread."""
        self._thread.start()

    # --- messages, from any thread ---

    def target_ended(self, event: Event, result: Result) -> None:
        """A target of the event has ended; that may not be recorded yet."""
        webhook = self._webhooks.get(event.webhook)
        # Without such a definition there may still be an open answer; the leader finds it in the store.
        if webhook is not None and _waits(webhook):
            self._inbox.put(lambda: self._ended.append((event.id, result)))

    def stop(self) -> None:
        """Asks it to end. The next leader takes on what is unanswered."""
        self._inbox.put(self._stop)

    @property
    def _webhooks(self) -> Mapping[str, Webhook]:
        return self._definitions.current.by_name

    # --- the owning thread ---

    def _run(self) -> None:
        self._health.keep_on("the answers", lambda: self._stopped, self._once)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _once(self) -> None:
        self.take_messages(self.due_in(self._clock.monotonic()))
        self.work(self._clock.monotonic())

    def _stop(self) -> None:
        self._stopped = True

    def due_in(self, now: float) -> float:
        """Seconds until there is something to do if no message comes."""
        at = min(self._unplaced.due_at(), now + self._schedule.due_in(now), now + _IDLE)
        if self._member.is_leader:
            at = min(at, self._read_at)
        if self._ended or self._answers:
            at = now
        return max(0.0, max(at, self._store_at) - now)

    def take_messages(self, seconds: float) -> None:
        """Handles messages; waits up to `seconds` for the first one."""
        self._inbox.handle(seconds)

    def work(self, now: float) -> None:
        """Does what is due; `now` is by the watcher's clock."""
        if now < self._store_at:
            return
        try:
            if self._failed:  # answers may be large, so no more are read before these are recorded
                self._record()
            self._begin_polls(now)
            self._take_on_ended(now)
            if self._member.is_leader and now >= self._read_at:
                self._read_at = now + (_READ_EVERY if any(map(_waits, self._webhooks.values())) else _READ_RARELY)
                self._read_store(now)
            self._ask_for_workflows(now)
            self._begin_polls(now)
            self._record()  # while Conductor answers
            self._failed = False
        except StoreUnavailable as error:
            log.error("the store can't be used; senders wait for their answers", error=str(error))
            self._failed, self._store_at = True, now + _TRY_AGAIN
        except Exception:
            log.exception("watching workflows failed unexpectedly; trying again")
            self._failed, self._store_at = True, now + _TRY_AGAIN
        metrics.ANSWERS_WATCHED.set(len(self._wanted))

    # --- which workflow ---

    def _take_on_ended(self, now: float) -> None:
        if not self._ended:
            return
        unknown = {event_id for event_id, _ in self._ended} - self._wanted.keys() - self._answers.keys()
        for wanted in self._store.answers.wanted(sorted(unknown)) if unknown else ():
            self._take_on(wanted, now)
        ended, self._ended = self._ended, []
        for event_id, result in ended:
            if event_id in self._unplaced:
                # A start that is skipped has its workflow. A message is known to have its own once it is recorded: the
                # workflow may end without reading it.
                reached = result.state in ("done", "skipped") and result.target.kind != "message"
                self._unplaced.tell(event_id, result.target.id, result.workflow_id, reached, now)

    def _take_on(self, wanted: OpenAnswer, now: float) -> None:
        until = now + (wanted.wait_until - self._store.now()) / 1000
        if not self._member.is_leader:
            until = min(until, now + _OWN)
        if until > now:
            self._wanted[wanted.event_id] = wanted
            self._unplaced.add(wanted.event_id, until, now)
            self._seen.pop(wanted.event_id, None)

    def _read_store(self, now: float) -> None:
        found = self._store.answers.open(self._store.now(), self._after, _PAGE)
        self._after = found[-1] if len(found) == _PAGE else None
        if self._after is not None:
            self._read_at = now + _READ_ON
        for wanted in found:
            event_id = wanted.event_id
            if event_id in self._answers:
                continue  # it is recorded next
            known = self._wanted.get(event_id)
            if known is None:
                if now - self._seen.setdefault(event_id, now) >= _GRACE:
                    self._take_on(wanted, now)
            elif wanted.wait_until > known.wait_until:
                self._wanted[event_id] = wanted
                until = now + (wanted.wait_until - self._store.now()) / 1000
                (self._unplaced if event_id in self._unplaced else self._schedule).extend(event_id, until)
        if self._after is None and len(self._seen) > len(found):
            self._seen = {event_id: at for event_id, at in self._seen.items() if now - at < _REMEMBERED}

    def _ask_for_workflows(self, now: float) -> None:
        due, expired = self._unplaced.due(now, _PAGE)
        for event_id in expired:
            self._wanted.pop(event_id, None)
        if not due:
            return
        reached = {target_id: id_ for targets in due.values() for target_id, id_ in targets.items()}
        for event_id, workflow in self._store.answers.workflows(list(due), reached).items():
            self._place(event_id, workflow, now)

    def _place(self, event_id: str, workflow: AnsweringWorkflow | str, now: float) -> None:
        until = self._unplaced.remove(event_id)
        if isinstance(workflow, str):
            self._wanted.pop(event_id)
            self._answers[event_id] = Answer(event_id, workflow), None
        else:
            self._schedule.add(workflow.workflow, workflow.workflow_id, event_id, until, now)

    # --- whether it has ended ---

    def _begin_polls(self, now: float) -> None:
        for event_id in self._schedule.expire(now):
            self._wanted.pop(event_id, None)
        while (poll := self._schedule.next(now)) is not None:
            self._begin(poll, now)

    def _begin(self, poll: Poll, now: float) -> None:
        wanted = [self._wanted[event_id] for event_id in poll.read.events] if poll.read is not None else []
        first = threading.Lock()
        """The poll is made once, or not at all."""

        def make() -> None:
            if first.acquire(blocking=False):
                result = self._without_unread(run_poll(self._conductor, poll, wanted), wanted)
                self._inbox.put(lambda: self._note(result))

        try:
            self._pool.submit(make)
        except RuntimeError as error:  # no thread could be started, or the process is ending
            # The pool has queued it all the same, and one of its threads may have begun it.
            if first.acquire(blocking=False):
                log.error("a poll of a workflow can't be started", error=str(error))
                self._schedule.unreachable(poll, now)

    def _without_unread(self, result: PollResult, wanted: Sequence[OpenAnswer]) -> PollResult:
        """The result, without answers to events whose message the workflow has ended without reading."""
        read = result.poll.read
        ids = [one.event_id for one in wanted if (webhook := self._webhooks.get(one.webhook)) and webhook.messages]
        if result.found != "ended" or read is None or not ids:
            return result
        try:
            self._unread.settle(read.id)
            found = self._store.answers.workflows(ids)
        except (ConductorError, StoreUnavailable) as error:
            return PollResult(result.poll, ConductorError(str(error)))
        others = {id_ for id_ in ids if (of := found.get(id_)) is None or of[1] != read.id}
        return replace(result, answers=tuple(one for one in result.answers if one.event_id not in others))

    def _note(self, result: PollResult) -> None:
        now, poll, schedule = self._clock.monotonic(), result.poll, self._schedule
        if result.unreachable:
            if not schedule.is_away:
                log.warning("Conductor doesn't say how workflows end; senders wait", error=str(result.error))
            schedule.unreachable(poll, now)
        elif poll.read is None:
            schedule.listed(poll, result.running, now, never=result.no_lists)
        else:
            if result.found == "failed":
                log.warning("a workflow can't be read", workflow_id=poll.read.id, error=str(result.error))
            answered = schedule.was_read(poll, result.found, now)
            answers = {answer.event_id: answer for answer in result.answers}
            for event_id in answered:
                wanted = self._wanted.pop(event_id)
                if result.found == "gone":
                    self._answers[event_id] = Answer(event_id, GONE, poll.read.id), None
                elif event_id in answers:
                    self._answers[event_id] = answers[event_id], result.ended_at
                else:  # it wasn't known yet when the request was made
                    self._take_on(wanted, now)

    # --- what is recorded ---

    def _record(self) -> None:
        if not self._answers:
            return
        answers = [answer for answer, _ in self._answers.values()]
        refused = {answer.event_id: error for answer, error in failing_items(answers, self._store.answers.record)}
        recorded, self._answers = self._answers, {}
        at = self._conductor.server_now()
        for answer, ended_at in recorded.values():
            if (error := refused.get(answer.event_id)) is not None:
                log.error("the store refuses an answer", event_id=answer.event_id, error=ascii(str(error)))
                continue
            metrics.answered(answer.outcome, None if ended_at is None else (at - ended_at) / 1000)
            log.info("answered", event_id=answer.event_id, workflow_id=answer.workflow_id, outcome=answer.outcome)


def _waits(webhook: Webhook) -> bool:
    """Whether the webhook's senders wait for the end of a workflow."""
    return webhook.respond is not None and webhook.respond.wait is not None
