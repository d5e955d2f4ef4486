"""A task that is ready reads the log: it takes the first event that it waited for, or that has no
taker and for which it came in time."""

from __future__ import annotations

from dataclasses import replace

import structlog

from store.processes import WorkerStore
from store.records import Event, Task, Workflow
from store.sql.joins import Reading
from worker.decision.draft import Draft
from worker.decision.quarantine import Quarantine
from worker.decision.round import Round
from worker.decision.verdict import InTime, LookUp, Waited, verdict
from worker.retries import concerns_all

log = structlog.get_logger()

_AT_ONCE = 500
"""Tasks that read in one round."""
_EVENTS = 20
"""Events that a task looks at in one round."""
_FOUND_LONG_AGO = 30_000
"""Milliseconds after which a task is ready, whatever may be missing before it."""
_NOT_YET = 1000
"""Milliseconds until a task is looked at again before which others of its workflow may be missing."""


class Readers:
    """The tasks that read the log in one round. Belongs to the loop's thread."""

    def __init__(self, store: WorkerStore, quarantine: Quarantine):
        self._store = store
        self._quarantine = quarantine
        self._cursors: dict[str, tuple[int, int, int]] = {}
        """Tasks that haven't read everything: id → wait, and the last event's arrival and number."""

    def read(self, round_: Round, draft: Draft) -> list[str]:
        """Joins tasks with events of before. Returns the ids of those that have read. Raises
        StoreUnavailable."""
        tasks = self._ready(round_)
        has_events = self._store.joins.with_events([task.id for task in tasks])
        done = [task.id for task in tasks if task.id not in has_events]
        asking = [task for task in tasks if task.id in has_events]
        known = round_.lookups.known({task.workflow_id for task in asking})
        readings = []
        for task in asking:
            workflow = known.get(task.workflow_id)
            if workflow is None and has_events[task.id]:
                round_.look_up([task])
                continue
            since = 0 if workflow is None else workflow.root_started_at - round_.skew
            wait, at, seq = self._cursors.pop(task.id, (task.wait, 0, 0))
            if wait != task.wait:
                at = seq = 0
            readings.append(Reading(task, round_.open_to(task.workflow), since, at, seq))
        firsts = self._store.joins.first_events(readings)
        events = self._store.joins.events({first[1] for first in firsts if first is not None})
        for reading, first in zip(readings, firsts, strict=True):
            workflow = known.get(reading.task.workflow_id)
            if self._read_one(round_, draft, reading, first, events, workflow):
                done.append(reading.task.id)
        return done

    def _ready(self, round_: Round) -> list[Task]:
        now, watermark = round_.now, round_.watermark
        known_until = watermark.known_until((), now)
        tasks = self._store.joins.to_read(now, known_until, now - _FOUND_LONG_AGO, _AT_ONCE)
        round_.unfinished |= len(tasks) == _AT_ONCE
        ready = []
        for task in tasks:
            is_old = task.adopted_at <= now - _FOUND_LONG_AGO
            if is_old or task.scheduled_at <= watermark.known_until([task.workflow], now):
                ready.append(task)
            else:
                round_.later[task.id] = now + _NOT_YET
        return sorted(ready, key=lambda task: (task.scheduled_at, task.id))

    def _read_one(
        self,
        round_: Round,
        draft: Draft,
        reading: Reading,
        first: tuple[int, int] | None,
        events: dict[int, Event],
        workflow: Workflow | None,
    ) -> bool:
        """Whether the task has read everything, or takes an event."""
        task = reading.task
        for _ in range(_EVENTS):
            if first is None:
                return True
            at, seq = first
            event = self._event(seq, events)
            if event is not None and self._judge(round_, draft, event, task, workflow):
                return task.id in draft.taken
            reading = replace(reading, after_at=at, after_seq=seq)
            [first] = self._store.joins.first_events([reading])
        self._cursors[task.id] = (task.wait, reading.after_at, reading.after_seq)
        round_.unfinished = True
        return False

    def _event(self, seq: int, events: dict[int, Event]) -> Event | None:
        if seq not in events:
            events.update(self._store.joins.events([seq]))
        return events.get(seq)

    def _judge(
        self, round_: Round, draft: Draft, event: Event, task: Task, workflow: Workflow | None
    ) -> bool:
        """Whether the task reads no further in this round: it takes the event, or waits."""
        if round_.turns.puts_off(event):
            return True
        try:
            found = verdict(round_.offer(event), task, workflow)
        except Exception as error:
            if concerns_all(error):
                raise
            self._quarantine.event_failed(event.id, event.webhook, error)
            return False
        match found:
            case Waited():
                draft.join(event, task, "waited")
            case InTime() if not draft.has_taker(event):
                draft.join(event, task, "in time")
            case LookUp():
                round_.look_up([task])
            case _:
                return False
        return True
