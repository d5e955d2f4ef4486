"""Tasks and workflows that can't be read although Conductor answers for others: each has its own
retry times."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal, get_args

import structlog

from store.clock import MonotonicClock
from store.processes import WorkerStore
from store.records import SetAside
from worker.retries import LONGEST, failing_items, wait_before

log = structlog.get_logger()

Kind = Literal["task", "workflow"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SHOWN_AFTER = 3
"""Failures after which people are told: what recovers within a second needs no attention."""
_PATIENCE = 1.0
_LONGEST_DOUBLINGS = 4


@dataclass(frozen=True, slots=True)
class Suspect:
    """One unreadable item. Times are seconds by the monotonic clock."""

    kind: Kind
    id: str
    reason: str
    """The last error."""
    since: float
    tries: int
    due_at: float
    workflow: str = ""
    """The name of the workflow that it is, or is a task of; empty if unknown."""

    @property
    def patience(self) -> float:
        """Seconds to wait for its answer at the next try; longer each time, so that an item that
        hangs costs others little."""
        return _PATIENCE * 2.0 ** min(self.tries, _LONGEST_DOUBLINGS)


class Suspects:
    """All suspects, in memory. Thread-safe."""

    def __init__(self, clock: MonotonicClock = time, longest: float = LONGEST) -> None:
        """`longest` is the longest pause between two tries of an item, in seconds."""
        self._clock = clock
        self._longest = longest
        self._lock = threading.Lock()
        self._items: dict[tuple[Kind, str], Suspect] = {}
        self._shown: dict[tuple[Kind, str], int] = {}
        """The items that people were told about, each with its failures then."""

    def __contains__(self, item: tuple[Kind, str]) -> bool:
        return item in self._items

    def all(self) -> list[Suspect]:
        """All of them, those first that have failed for the longest."""
        with self._lock:
            return list(self._items.values())

    def first_shown(self, kinds: Collection[Kind]) -> dict[str, float]:
        """The workflows whose items of these kinds can't be read, by name, each with the seconds
        since the first of them was shown."""
        now, found = self._clock.monotonic(), dict[str, float]()
        for item in self.all():
            if item.kind in kinds:
                found[item.workflow] = max(found.get(item.workflow, 0.0), now - item.since)
        return found

    def put_off(self, tasks: Mapping[str, str]) -> None:
        """These tasks, which come with their workflows' names, haven't been read yet."""
        now = self._clock.monotonic()
        with self._lock:
            for id_, workflow in tasks.items():
                self._items["task", id_] = Suspect(
                    "task", id_, "it has not been read yet", now, 0, now, workflow
                )

    def unread(self, limit: int) -> dict[str, str]:
        """Up to this many tasks that were put off, with their workflows' names."""
        found = (item for item in self.all() if not item.tries)
        return {item.id: item.workflow for item in islice(found, limit)}

    def failed(self, kind: Kind, id_: str, reason: str, workflow: str = "") -> Suspect:
        """The item couldn't be read. `workflow`: its workflow's name, if known."""
        now = self._clock.monotonic()
        with self._lock:
            before = self._items.get((kind, id_)) or Suspect(kind, id_, reason, now, 0, now)
            tries = before.tries + 1
            found = replace(
                before,
                reason=reason,
                tries=tries,
                due_at=now + wait_before(tries, self._longest),
                workflow=workflow or before.workflow,
            )
            self._items[kind, id_] = found
        return found

    def read(self, kind: Kind, ids: Iterable[str]) -> None:
        """These could be read."""
        with self._lock:
            for id_ in ids:
                self._items.pop((kind, id_), None)

    def due(self, limit: int) -> list[Suspect]:
        """Up to this many suspects to be tried now, longest waiting first."""
        now = self._clock.monotonic()
        with self._lock:
            found = sorted(
                (item for item in self._items.values() if item.due_at <= now),
                key=lambda item: item.due_at,
            )
        return found[:limit]

    def show(self, store: WorkerStore) -> None:
        """Puts persistent failures into the quarantine, and releases what can be read again.

        For one thread. Raises StoreUnavailable.
        """
        with self._lock:
            new = [
                item
                for key, item in self._items.items()
                if item.tries >= SHOWN_AFTER and self._shown.get(key) != item.tries
            ]
            over = [key for key in self._shown if key not in self._items]
        now, monotonic = store.now(), self._clock.monotonic()

        def at(seconds: float) -> int:
            return now + round((seconds - monotonic) * 1000)

        items = [
            SetAside(s.kind, s.id, None, s.reason, at(s.since), s.tries, at(s.due_at)) for s in new
        ]
        for item, error in failing_items(items, store.quarantine.set_aside):
            log.error(
                "an unreadable item can't be set aside either",
                kind=item.kind,
                id=item.id,
                error=str(error),
            )
        for kind in KINDS:
            ids = [id_ for of, id_ in over if of == kind]
            if ids:
                store.quarantine.take_back(kind, ids)
        with self._lock:
            self._shown.update(((item.kind, item.id), item.tries) for item in new)
            for key in over:
                self._shown.pop(key, None)
