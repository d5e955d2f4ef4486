"""Events and tasks that fail alone: each is set aside with its reason, and tried again, ever more
rarely.

Belongs to the loop's thread. Events wait in the store; tasks, which are few and in memory anyway,
wait here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from store.processes import WorkerStore
from store.records import Event, SetAside, SetAsideKind
from store.rules import fairness
from worker.retries import RARELY, concerns_all, failing_items, wait_before

log = structlog.get_logger()

_LOOK_EVERY = 1000
"""Milliseconds between two checks for events that are due."""
_AT_ONCE = 20
"""Events that are retried at a time: persistent failures don't keep others waiting."""
_FAR_AHEAD = 2 * int(RARELY * 1000)
"""Milliseconds until a next try that no pause explains."""
_KEPT = 10_000
"""Most tasks that are remembered. Beyond that the earliest are left to the next leader, which reads
them all."""


@dataclass(frozen=True)
class _Failure:
    webhook: str | None
    error: Exception
    retry: Callable[[], None] | None


class Quarantine:
    """Collects failures and retries; `write` updates the store's quarantine."""

    def __init__(self, store: WorkerStore):
        self._store = store
        self._failures: dict[tuple[SetAsideKind, str], _Failure] = {}
        self._tried: set[tuple[SetAsideKind, str]] = set()
        self._tasks: dict[str, tuple[SetAside, Callable[[], None]]] = {}
        self._events: dict[str, SetAside] = {}
        """Those that the store refused to set aside, or that somebody had locked: it keeps
        returning them."""
        self._looked = float("-inf")

    def event_failed(self, event_id: str, webhook: str | None, error: Exception) -> None:
        """Nothing was decided about the event."""
        self._failures["event", event_id] = _Failure(webhook, error, None)

    def task_failed(self, task_id: str, error: Exception, retry: Callable[[], None]) -> None:
        """The task can't be used. `retry` is called when it is due again, and may raise."""
        self._failures["task", task_id] = _Failure(None, error, retry)

    def has_task(self, task_id: str) -> bool:
        """Whether the task is set aside until its next try."""
        return task_id in self._tasks

    def task_is_gone(self, task_id: str) -> None:
        """The task no longer waits."""
        if self._tasks.pop(task_id, None) is not None:
            self._failures.pop(("task", task_id), None)
            self._tried.add(("task", task_id))

    def retry_tasks(self, now: int) -> None:
        """Retries the tasks that are due."""
        for task_id, (item, retry) in list(self._tasks.items()):
            if not _is_due(item, now):
                continue
            self._tried.add(("task", task_id))
            try:
                retry()
            except Exception as error:
                if concerns_all(error):
                    raise
                self.task_failed(task_id, error, retry)

    def ready(self, events: Iterable[Event], now: int) -> list[Event]:
        """These undecided events from the store, without those that wait for their next try."""
        here = self._events
        ready = [one for one in events if one.id not in here or _is_due(here[one.id], now)]
        self._tried.update(("event", one.id) for one in ready if one.id in here)
        return ready

    def due_events(self, now: int, paused: Collection[str]) -> list[Event]:
        """Events that are due for a retry but that the store doesn't return: undecided ones, and
        those that were held or freed (`aside`, `held`)."""
        if now < self._looked + _LOOK_EVERY and self._looked <= now:
            return []
        self._looked = now
        due: list[Event] = []
        room = fairness.BYTES
        for item in self._due_items(now):
            if room <= 0:
                break
            event = self._event_to_retry(item, paused)
            if event is not None:
                due.append(event)
                room -= len(event.payload)
        return sorted(due, key=lambda event: event.seq)

    def _event_to_retry(self, item: SetAside, paused: Collection[str]) -> Event | None:
        """The item's event, if it is to be decided and the store doesn't return it."""
        try:
            event = self._store.queries.events_of([item.id]).get(item.id)
        except Exception as error:
            if concerns_all(error):
                raise
            self.event_failed(item.id, item.webhook, error)
            return None
        is_stored = item.id not in self._events
        is_paused = event is not None and event.webhook in paused
        if is_paused and not is_stored:
            return None
        self._tried.add(("event", item.id))
        # Those of a paused webhook are left to the agenda; one that is gone or finished needs no
        # retry.
        if event is None or is_paused or not _is_left_out(event, is_stored):
            return None
        return event

    def _due_items(self, now: int) -> list[SetAside]:
        items = {
            item.id: item
            for item in self._store.quarantine.items("event", due_before=now + 1, limit=_AT_ONCE)
        }
        not_stored = [item for item in self._events.values() if _is_due(item, now)]
        items.update((item.id, item) for item in not_stored[:_AT_ONCE])
        return list(items.values())

    def write(self, now: int) -> None:
        """Sets aside what failed, and releases what was retried successfully. Raises
        StoreUnavailable."""
        if not self._failures and not self._tried:
            return
        before = self._earlier_failures()
        items = [
            _set_aside_again(kind, id_, failure, before.get((kind, id_)), now)
            for (kind, id_), failure in self._failures.items()
        ]
        for item in items:
            self._log(item)
            retry = self._failures[item.kind, item.id].retry
            if retry is not None:
                self._keep_task(item, retry)
        self._set_aside(items)
        well = self._tried - self._failures.keys()
        self._take_back("event", self._events, [id_ for kind, id_ in well if kind == "event"])
        self._take_back("task", self._tasks, [id_ for kind, id_ in well if kind == "task"])
        self._failures.clear()
        self._tried.clear()

    def _earlier_failures(self) -> dict[tuple[SetAsideKind, str], SetAside]:
        """The entries of what has failed now, if it had failed before."""
        found: list[SetAside] = [*self._events.values()]
        found += (item for item, _ in self._tasks.values())
        events = [id_ for kind, id_ in self._failures if kind == "event"]
        if events:
            found += self._store.quarantine.items("event", ids=events)
        return {(item.kind, item.id): item for item in found}

    def _keep_task(self, item: SetAside, retry: Callable[[], None]) -> None:
        self._tasks.pop(item.id, None)
        self._tasks[item.id] = (item, retry)
        if len(self._tasks) > _KEPT:
            del self._tasks[next(iter(self._tasks))]

    def _log(self, item: SetAside) -> None:
        is_new = item.tries == 1
        log.error(
            f"{item.kind} set aside: it fails alone",
            id=item.id,
            tries=item.tries,
            reason=item.reason,
            exc_info=self._failures[item.kind, item.id].error if is_new else None,
        )

    def _take_back(self, kind: SetAsideKind, here: dict[str, Any], ids: Iterable[str]) -> None:
        ids = sorted(ids)
        self._store.quarantine.take_back(kind, ids)
        for id_ in ids:
            here.pop(id_, None)

    def _set_aside(self, items: Sequence[SetAside]) -> None:
        left: set[str] = set()
        for item, error in failing_items(
            items, lambda some: left.update(self._store.quarantine.set_aside(some))
        ):
            log.error(
                "failed items can't be set aside", kind=item.kind, id=item.id, error=str(error)
            )
            left.add(item.id)
        for item in items:
            self._events.pop(item.id, None)
            if item.kind == "event" and item.id in left:
                self._events[item.id] = item


def _set_aside_again(
    kind: SetAsideKind, id_: str, failure: _Failure, before: SetAside | None, now: int
) -> SetAside:
    """The item after this failure, with its next try; `before`: after its last one."""
    tries, since = 1, now
    if before is not None:
        tries, since = before.tries + 1, before.since
    due_at = now + int(wait_before(tries, RARELY) * 1000)
    reason = f"{type(failure.error).__name__}: {failure.error}"
    return SetAside(kind, id_, failure.webhook, reason, since, tries, due_at)


def _is_due(item: SetAside, now: int) -> bool:
    """Also due if its time is implausibly far ahead: the clock was set back since."""
    return item.due_at <= now or item.due_at > now + _FAR_AHEAD


def _is_left_out(event: Event, is_stored: bool) -> bool:
    """Whether the agenda omits the event although it isn't finished. `is_stored`: whether the store
    has set it aside."""
    if is_stored:
        return event.decided_at is None or event.hold == "aside"
    return event.hold == "held"
