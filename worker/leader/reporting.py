"""What a leader reports about Conductor: facts in the store, which command line and page show, metrics and the log."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

import structlog

from store.bisect import narrowed
from store.clock import MonotonicClock
from store.errors import StoreUnavailable
from store.protocols import Store
from store.records import SetAside
from worker import metrics
from worker.conductor.server_webhooks import FACT, Remark, ServerWebhook, as_text
from worker.discovery.reconciliation import Outcome
from worker.discovery.state import DiscoveryState
from worker.discovery.suspects import Kind, Suspect, Suspects

log = structlog.get_logger()

_REPEAT_EVERY = 60.0
"""Seconds after which whether Conductor can be used is reported again: a leader of before may have said otherwise."""
_OFFSET_CHANGE = 5
"""Milliseconds by which the clocks' offset must have changed to be reported again."""
_REMEMBERED = 100_000
"""Items in quarantine that a new leader tries again."""
_ALONE_EVERY = 3_600_000
"""Milliseconds after which it is written again that tasks are found by the index alone."""
_KINDS: tuple[Kind, ...] = ("task", "workflow")

# Facts of the store.
_CONDUCTOR = "conductor"
"""``up``, or why Conductor can't be used."""
_OFFSET = "conductor_clock_offset"
"""Milliseconds that Conductor's clock is ahead of ours."""
_MISSING_CALLS = "conductor_lacks"
"""Which calls Conductor hasn't got, or our key may not make; no such fact if none."""
_WAY = "discovery"
"""How waiting tasks are found that no queue hands out, and why in no better way."""
_UNINDEXED = "index_misses"
"""How many waiting tasks Conductor's index doesn't know, as text; no such fact if none."""
_INDEX_FAILS = "index_fails"
"""Why the index can't be searched while events wait for it; no such fact if none waits."""
_SEARCHED_TO = "index_searched_to"
"""The server's time up to which the index was searched, in milliseconds."""
_ALONE = "tasks_by_index_alone"
"""When a task was last found by the index alone, in Unix milliseconds; older workers wrote 1, for ever."""


class Reporter:
    """Of one term. What can't be written now, as the store is unavailable, is written when it comes up again."""

    def __init__(self, store: Store, clock: MonotonicClock = time) -> None:
        self._store = store
        self._clock = clock
        self._written: dict[str, str | None] = {}
        """The facts as this leader has written them."""
        self._conductor_at = float("-inf")
        self._way: str | None = None
        self._said_of_webhooks: Sequence[Remark] = ()
        self._alone_at = 0

    def _write(self, fact: str, text: str | None) -> bool:
        """Writes the fact if this leader hasn't written just that; whether it did, for the store may be unavailable."""
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
        if self._write(_CONDUCTOR, text):
            self._conductor_at = self._clock.monotonic()

    def offset(self, offset: int) -> None:
        """The clocks' offset, for whoever explains: they compare Conductor's times with ours as the decider does."""
        written = self._written.get(_OFFSET)
        if written is None or abs(offset - int(written)) > _OFFSET_CHANGE:
            self._write(_OFFSET, str(offset))

    def missing_calls(self, text: str) -> None:
        """Which calls can't be made; empty if all can. Raises StoreUnavailable."""
        if text:
            log.error("Conductor can't be used for everything", error=text)
        self._store.facts.set(_MISSING_CALLS, text or None)

    def webhooks(self, theirs: Sequence[ServerWebhook] | None, said: Sequence[Remark]) -> None:
        """The webhooks that Conductor has of its own, None if it can have none, and what there is to say about them."""
        self._write(FACT, as_text(theirs))
        if said != self._said_of_webhooks:
            for remark in said:
                tell = log.warning if remark.level == "warning" else log.info
                tell(remark.text, remedy=remark.remedy, webhooks=list(remark.details))
            self._said_of_webhooks = said

    # --- discovery ---

    def discovery(self, state: DiscoveryState, outcome: Outcome | None = None) -> None:
        """The way in which tasks are found, if it has changed; the outcome of a reconciliation."""
        way = f"{state.way}: {state.reason}" if state.reason else state.way
        if state.proven and way != self._way:
            self._way = way
            if state.way == "workflows":
                log.warning("waiting tasks can't be searched: reading all running workflows", reason=state.reason)
            else:
                log.info("waiting tasks are searched", way=way)
            metrics.discovery_way(state.way)
        if state.proven:
            self._write(_WAY, way)
        if outcome is not None:
            metrics.INDEX_MISSES.set(outcome.unindexed)
            text = f"{outcome.unindexed} of {outcome.waiting} waiting tasks" if outcome.unindexed else None
            if text:
                log.warning("tasks that wait are not in Conductor's index: it lags, or has lost them", missing=text)
            self._write(_UNINDEXED, text)

    def waiting_for_index(self, webhooks: Collection[str], reason: str) -> None:
        """Events of these webhooks wait because the index can't be searched, for that reason."""
        metrics.INDEX_WAITS.set(len(webhooks))
        text = f"{', '.join(sorted(webhooks))}: {reason}" if webhooks else None
        self._write(_INDEX_FAILS, text)

    def found_by_index_alone(self, state: DiscoveryState) -> None:
        """A task was found that no queue has handed out. Raises StoreUnavailable."""
        if state.need() == "queue":
            log.info("a task was found by the index alone: every scan searches the index from now on")
        state.found_by_index_alone()
        now = self._store.now()
        if abs(now - self._alone_at) > _ALONE_EVERY:
            self._store.facts.set(_ALONE, str(now))
            self._alone_at = now

    def searched_to(self, moment: int) -> None:
        """The index was searched up to then by the server's clock, and what was found is stored.

        Raises StoreUnavailable.
        """
        self._store.facts.set(_SEARCHED_TO, str(moment))

    def suspects(self, suspects: Suspects) -> None:
        """Puts what goes on failing into the quarantine, and takes back what can be read again.

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
        now, monotonic = self._store.now(), self._clock.monotonic()

        def at(seconds: float) -> int:
            return now + round((seconds - monotonic) * 1000)

        return [SetAside(s.kind, s.id, None, s.reason, at(s.since), s.tries, at(s.due_at)) for s in suspects]

    # --- what a predecessor has reported ---

    def recall(self, state: DiscoveryState, suspects: Suspects) -> int:
        """Tells the state and the suspects what the store still knows; returns up to when the index was searched.

        Raises StoreUnavailable.
        """
        facts: Mapping[str, str] = self._store.facts.all()
        now, monotonic = self._store.now(), self._clock.monotonic()
        if (alone := facts.get(_ALONE)) is not None:
            self._alone_at = now if alone == "1" else int(alone)
            state.found_by_index_alone((now - self._alone_at) / 1000)
            if alone == "1":
                self._store.facts.set(_ALONE, str(now))
        for kind in _KINDS:
            for item in self._store.quarantine.items(kind, limit=_REMEMBERED):
                suspects.remember(kind, item.id, item.reason, monotonic - (now - item.since) / 1000)
        return int(facts.get(_SEARCHED_TO, 0))
