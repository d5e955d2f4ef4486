"""What a leader reports about Conductor: metrics, the log, and facts in the store that command line and page show."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from contextlib import suppress

import structlog

from store.clock import MonotonicClock
from store.errors import StoreUnavailable
from store.sql.store import Store
from worker import metrics
from worker.discovery.barrier import Barrier
from worker.discovery.discovery import Outcome
from worker.discovery.index import Ladder
from worker.discovery.suspects import KINDS, Suspects

log = structlog.get_logger()

_REPEAT_EVERY = 60.0
"""Seconds after which Conductor's state is reported again, since a former leader may have reported another."""
_OFFSET_CHANGE = 5
"""Milliseconds by which the clocks' offset must change before it is reported again."""
_REMEMBERED = 100_000
"""Quarantined items that a new leader tries again."""
_ALONE_EVERY = 3_600_000
"""Milliseconds after which it is recorded again that tasks are found by the index alone."""

# Names of facts in the store.
_CONDUCTOR = "conductor"
"""``up``, or why Conductor can't be used."""
_OFFSET = "conductor_clock_offset"
"""Milliseconds that Conductor's clock is ahead of ours."""
_WAY = "discovery"
"""How waiting tasks that no queue hands out are found, and why no better way is used."""
_UNINDEXED = "index_misses"
"""How many waiting tasks Conductor's index doesn't know, as text; absent if none."""
_INDEX_FAILS = "index_fails"
"""Why the index can't be searched while events wait for it; absent if none waits."""
_FAILING_SINCE = "index_failing_since"
"""Since when the index can't be searched, in Unix milliseconds; absent if it can."""
_SEARCHED_TO = "index_searched_to"
"""The server's time up to which the index was searched, in milliseconds."""
_ALONE = "tasks_by_index_alone"
"""When a task was last found by the index alone, in Unix milliseconds."""


class Reporter:
    """Belongs to one term. What can't be written because the store is unavailable is written when it next comes up."""

    def __init__(self, store: Store, clock: MonotonicClock = time) -> None:
        self._store = store
        self._clock = clock
        self._written: dict[str, str | None] = {}
        """The facts that this leader has written."""
        self._conductor_at = float("-inf")
        self._alone_at = 0
        self._failing_since = float("inf")

    def write(self, fact: str, text: str | None) -> bool:
        """Writes the fact unless this leader last wrote the same; returns whether it is written, as the store may be
        unavailable."""
        if fact not in self._written or self._written[fact] != text:
            with suppress(StoreUnavailable):
                self._store.facts.set(fact, text)
                self._written[fact] = text
                return True
        return False

    # --- Conductor ---

    def conductor(self, text: str) -> None:
        """``up``, or why Conductor can't be used."""
        if self._clock.monotonic() - self._conductor_at > _REPEAT_EVERY:
            self._written.pop(_CONDUCTOR, None)
        if self.write(_CONDUCTOR, text):
            self._conductor_at = self._clock.monotonic()

    def offset(self, offset: int) -> None:
        """The clocks' offset, for explanations, which compare Conductor's times with ours as the decider does."""
        written = self._written.get(_OFFSET)
        if written is None or abs(offset - int(written)) > _OFFSET_CHANGE:
            self.write(_OFFSET, str(offset))

    # --- discovery ---

    def discovery(self, ladder: Ladder, outcome: Outcome | None = None) -> None:
        """Reports how tasks are found, if that has changed, and the outcome of a reconciliation."""
        way = f"{ladder.way}: {ladder.reason}" if ladder.reason else ladder.way
        if ladder.proven and self.write(_WAY, way):
            if ladder.way == "workflows":
                log.warning("waiting tasks can't be searched: reading all running workflows", reason=ladder.reason)
            else:
                log.info("waiting tasks are searched", way=way)
            metrics.discovery_way(ladder.way)
        if outcome is not None:
            metrics.INDEX_MISSES.set(outcome.unindexed)
            text = f"{outcome.unindexed} of {outcome.waiting} waiting tasks" if outcome.unindexed else None
            if text:
                log.warning("waiting tasks are missing from Conductor's index: it lags, or has lost them", missing=text)
            self.write(_UNINDEXED, text)

    def waiting_for_index(self, webhooks: Collection[str], reason: str) -> None:
        """Reports that events of these webhooks wait because the index can't be searched, and why."""
        metrics.INDEX_WAITS.set(len(webhooks))
        text = f"{', '.join(sorted(webhooks))}: {reason}" if webhooks else None
        self.write(_INDEX_FAILS, text)

    def index_failing_since(self, moment: float) -> None:
        """Records since when no search has succeeded, by the clock, so that the next leader doesn't wait for as long
        again; infinite if the last one has."""
        if moment != self._failing_since:
            failing = moment < float("inf")
            at = round(self._store.now() + (moment - self._clock.monotonic()) * 1000) if failing else None
            if self.write(_FAILING_SINCE, None if at is None else str(at)):
                self._failing_since = moment

    def found_by_index_alone(self, barrier: Barrier) -> None:
        """Reports a task that no queue has handed out. Raises StoreUnavailable."""
        if not barrier.needs_index:
            log.info("a task was found by the index alone: every scan searches the index from now on")
        barrier.found_alone(self._clock.monotonic())
        now = self._store.now()
        if abs(now - self._alone_at) > _ALONE_EVERY:
            self._store.facts.set(_ALONE, str(now))
            self._alone_at = now

    def searched_to(self, moment: int) -> None:
        """Records up to when, by the server's clock, the index was searched, and that what was found is stored.

        Raises StoreUnavailable.
        """
        self._store.facts.set(_SEARCHED_TO, str(moment))

    # --- what a predecessor has reported ---

    def recall(self, barrier: Barrier, suspects: Suspects) -> int:
        """Initializes the barrier and the suspects from the store; returns up to when the index was searched.

        Raises StoreUnavailable.
        """
        facts: Mapping[str, str] = self._store.facts.all()
        now, monotonic = self._store.now(), self._clock.monotonic()
        if (alone := facts.get(_ALONE)) is not None:
            self._alone_at = int(alone)
            barrier.found_alone(monotonic - max(0.0, (now - self._alone_at) / 1000))
        if (failing := facts.get(_FAILING_SINCE)) is not None:
            barrier.failing_since = self._failing_since = monotonic - max(0.0, (now - int(failing)) / 1000)
        for kind in KINDS:
            for item in self._store.quarantine.items(kind, limit=_REMEMBERED):
                suspects.remember(kind, item.id, item.reason, monotonic - (now - item.since) / 1000)
        return int(facts.get(_SEARCHED_TO, 0))
