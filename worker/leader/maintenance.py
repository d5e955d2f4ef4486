"""The leader's scheduled jobs for the store and for monitoring, on separate threads."""

from __future__ import annotations

from collections.abc import Collection
from typing import get_args

import structlog

from store.records import EventStatus, SetAsideKind
from worker import metrics
from worker.conductor.errors import ConductorError
from worker.context import Context
from worker.health import OVERDUE
from worker.leader.leader import Leader

log = structlog.get_logger()

_KEYS_A_STEP = 100
"""Once keys that are read at a time."""
_FAILURES = 3
"""Consecutive unanswered questions after which Conductor is left alone for now."""
_HOUR = 3_600_000
"""Milliseconds."""
_PRUNE_STEP = 200
_PRUNE_GAP = 0.05
"""Seconds between two steps, which leave the database to the relay's commits."""


class Maintenance:
    """One worker's jobs. Each may raise StoreUnavailable; the next run tries again."""

    def __init__(self, context: Context, once_key_gap: float):
        """`once_key_gap`: minimum seconds between two questions about once keys."""
        self._context = context
        self._store = context.store
        self._once_key_gap = once_key_gap
        self._clock = context.clock
        self._once_keys_to = ""

    def prune(self, leader: Leader) -> None:
        """Deletes what is older than the retention, in small steps, for as long as the term lasts."""
        before = self._store.now() - int(self._context.settings.bridge_retention * 1000)
        pruned, more = 0, True
        while more and not leader.heartbeat.over:
            step = self._store.maintenance.prune(before, _PRUNE_STEP)
            pruned, more = pruned + step.events, step.more
            if more and self._context.stop.wait(_PRUNE_GAP):
                break
        if pruned:
            log.info("old events pruned", events=pruned)

    def forget_keys(self, leader: Leader) -> None:
        """Forgets by what events are found that no task joins any more, in small steps."""
        while leader.forget_keys(_PRUNE_STEP) == _PRUNE_STEP and not leader.heartbeat.over:
            if self._context.stop.wait(_PRUNE_GAP):
                break

    def forget_once_keys(self, leader: Leader) -> None:
        """Forgets the once keys whose events were pruned and whose workflows have since ended.

        Asks Conductor about one at a time, and pauses for as long as the answer took, so that it
        uses at most half of Conductor's capacity. One without an answer is asked about again at the
        next run, and holds up no other. Raises ConductorError.
        """
        keys, failures = self._store.once_keys, 0
        while (
            found := keys.pruned(self._once_keys_to, _KEYS_A_STEP)
        ) and not leader.heartbeat.over:
            for key, workflow_id in found:
                self._once_keys_to = key  # whatever comes of it, the next run goes on behind it
                began = self._clock.monotonic()
                try:
                    if not self._context.conductor.runs(workflow_id):
                        keys.forget([(key, workflow_id)])
                    failures = 0
                except ConductorError:
                    failures += 1
                    if failures == _FAILURES:  # the failure isn't about a single key
                        raise
                pause = max(self._once_key_gap, self._clock.monotonic() - began)
                if self._context.stop.wait(pause) or leader.heartbeat.over:
                    return
        self._once_keys_to = ""

    def measure(self, leader: Leader) -> None:
        """Sets the gauges about the store. Only the leader has them: counting once is enough."""
        counts = self._store.queries.event_counts()
        set_aside = self._store.quarantine.counts()
        oldest = self._store.queries.oldest_pending()
        waiting = self._store.queries.waiting_count()
        unresolved = self._store.queries.unresolved()
        for status in get_args(EventStatus):
            metrics.EVENTS.labels(status).set(counts.get(status, 0))
        for kind in get_args(SetAsideKind):
            metrics.SET_ASIDE.labels(kind).set(set_aside.get(kind, 0))
        metrics.OLDEST_PENDING.set(max(0.0, (self._store.now() - oldest) / 1000) if oldest else 0)
        self._measure_webhooks()
        metrics.WAITING_TASKS.set(waiting)
        metrics.UNRESOLVED.set(unresolved)
        if leader.heartbeat.over:  # the term ended meanwhile
            metrics.leadership_over()

    def _measure_webhooks(self) -> None:
        now = self._store.now()
        expired = self._store.queries.expired_since(now - _HOUR)
        pauses = self._store.pauses.lasting()
        metrics.EXPIRED.clear()
        for webhook, number in expired.items():
            metrics.EXPIRED.labels(webhook).set(number)
        metrics.PAUSED_SECONDS.clear()
        for webhook, pause in pauses.items():
            if pause.waiting:
                metrics.PAUSED_SECONDS.labels(webhook).set(max(0.0, (now - pause.since) / 1000))

    def see_progress(self, leader: Leader | None) -> None:
        """Checks whether overdue work gets done.

        While Conductor can't be used nothing can be done, which is reported and has its own alert:
        the worker isn't stuck.
        """
        progress = self._context.health.progress
        waiting: Collection[str] = ()
        if leader is not None:
            progress.leads()
            waiting = leader.decider.waiting  # their definitions may come soon
        away = self._store.reports.read().conductor_error is not None
        before = self._store.now() - int(OVERDUE * 1000)
        paced = [*self._context.definitions.current.paces]
        progress.see(() if away else self._store.queries.overdue(before, waiting, paced))
        metrics.STUCK.set(progress.stuck_for)
