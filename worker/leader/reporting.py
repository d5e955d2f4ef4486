"""What a term tells people of Conductor: facts in the store, which command line and page show, metrics and the log."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

import structlog

from store.bisect import narrowed
from store.errors import StoreUnavailable
from store.protocols import Store
from store.records import SetAside
from worker import metrics
from worker.discovery.reconciliation import Outcome
from worker.discovery.state import DiscoveryState, Way
from worker.discovery.suspects import Kind, Suspect, Suspects

log = structlog.get_logger()

_SAY_AGAIN = 60.0
"""Seconds after which it is said anew whether Conductor can be used: who lost leadership may have said otherwise."""
_OFFSET_WORTH_SAYING = 5
"""Milliseconds by which the clocks' offset must have changed to be said again."""
_REMEMBERED = 100_000
"""Items that the worker before has set aside and that are tried again."""
OFFSET_FACT = "conductor_clock_offset"
"""Milliseconds that Conductor's clock is ahead of ours."""
MISSED_FACT = "index_misses"
"""How many waiting tasks Conductor's index doesn't know, as text; no such fact if none."""
WAITS_FACT = "index_fails"
"""Why the index can't be searched while events wait for it; no such fact if none waits."""
_ALONE_FACT = "tasks_by_index_alone"
"""When a task was last found by the index alone, in Unix milliseconds; older workers wrote 1, for ever."""
_ALONE_EVERY = 3_600_000
"""Milliseconds after which that fact is written anew."""
_KINDS: tuple[Kind, ...] = ("task", "workflow")


class Telling:
    """One term's. What isn't said now, as the store can't be written, is said when it comes up again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._said = ""
        self._said_at = float("-inf")
        self._way: tuple[Way, str] | None = None
        self._offset: int | None = None
        self._waits: str | None = ""
        self._alone = 0

    def conductor(self, text: str) -> None:
        """``up``, or why Conductor can't be used."""
        now = time.monotonic()
        if text != self._said or now - self._said_at > _SAY_AGAIN:
            with suppress(StoreUnavailable):
                self._store.facts.set("conductor", text)
                self._said, self._said_at = text, now

    def offset(self, offset: int) -> None:
        """Leaves the clocks' offset to those who explain: they compare Conductor's times with ours as we do."""
        if self._offset is None or abs(offset - self._offset) > _OFFSET_WORTH_SAYING:
            with suppress(StoreUnavailable):
                self._store.facts.set(OFFSET_FACT, str(offset))
                self._offset = offset

    def discovery(self, state: DiscoveryState, outcome: Outcome | None = None) -> None:
        """How waiting tasks are found that no queue hands out, if that has changed, and why in no better way; what a
        reconciliation has shown."""
        if state.proven and (state.way, state.reason) != self._way:
            self._way = state.way, state.reason
            self._say_way(*self._way)
        if outcome is not None:
            self._say_unindexed(outcome)

    def _say_way(self, way: Way, reason: str) -> None:
        if way == "workflows":
            log.warning("waiting tasks can't be searched: all running workflows are read instead", reason=reason)
        else:
            log.info("waiting tasks are searched", way=way, **({"reason": reason} if reason else {}))
        metrics.discovery_way(way)
        with suppress(StoreUnavailable):
            self._store.facts.set("discovery", f"{way}: {reason}" if reason else way)

    def _say_unindexed(self, outcome: Outcome) -> None:
        metrics.INDEX_MISSES.set(outcome.unindexed)
        text = f"{outcome.unindexed} of {outcome.waiting} waiting tasks" if outcome.unindexed else None
        if text:
            log.warning("tasks that wait are not in Conductor's index: it lags, or has lost them", missing=text)
        with suppress(StoreUnavailable):
            self._store.facts.set(MISSED_FACT, text)

    def waits(self, webhooks: Collection[str], reason: str) -> None:
        """Events of these webhooks wait as the index can't be searched, for that reason; of none, if it can."""
        metrics.INDEX_WAITS.set(len(webhooks))
        text = f"{', '.join(sorted(webhooks))}: {reason}" if webhooks else None
        if text != self._waits:
            with suppress(StoreUnavailable):
                self._store.facts.set(WAITS_FACT, text)
                self._waits = text

    def recall_alone(self, facts: Mapping[str, str], state: DiscoveryState) -> None:
        """Has the state know what the worker before has left in these facts. Raises StoreUnavailable."""
        if (alone := facts.get(_ALONE_FACT)) is not None:
            now = self._store.now()
            self._alone = now if alone == "1" else int(alone)
            state.found_by_index_alone((now - self._alone) / 1000)
            if alone == "1":
                self._store.facts.set(_ALONE_FACT, str(now))

    def found_alone(self, state: DiscoveryState) -> None:
        """A task was found by the index alone. Raises StoreUnavailable."""
        if state.need() == "queue":
            log.info("a task was found by the index alone: from now on every sweep searches the index too")
        state.found_by_index_alone()
        now = self._store.now()
        if abs(now - self._alone) > _ALONE_EVERY:
            self._store.facts.set(_ALONE_FACT, str(now))
            self._alone = now

    def suspects(self, suspects: Suspects) -> None:
        """Sets aside in the store what goes on failing, and takes back what can be read again.

        Raises StoreUnavailable.
        """
        show, gone = suspects.news()
        for item, error in narrowed(self._set_aside(show), self._store.quarantine.set_aside):
            log.error("what can't be read can't be set aside either", kind=item.kind, id=item.id, error=str(error))
        for kind in _KINDS:
            if ids := [id_ for of, id_ in gone if of == kind]:
                self._store.quarantine.take_back(kind, ids)
        suspects.told(show, gone)

    def _set_aside(self, suspects: Sequence[Suspect]) -> list[SetAside]:
        now, monotonic = self._store.now(), time.monotonic()

        def at(seconds: float) -> int:
            return now + round((seconds - monotonic) * 1000)

        return [SetAside(s.kind, s.id, None, s.reason, at(s.since), s.tries, at(s.due_at)) for s in suspects]

    def remembered(self, suspects: Suspects) -> None:
        """Has the suspects of the worker before tried again. Raises StoreUnavailable."""
        now, monotonic = self._store.now(), time.monotonic()
        for kind in _KINDS:
            for item in self._store.quarantine.items(kind, limit=_REMEMBERED):
                since = monotonic - (now - item.since) / 1000
                suspects.remember(kind, item.id, item.reason, since)
