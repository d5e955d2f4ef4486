"""What the worker does at intervals, on threads of its own; whatever is about a term gets it as its argument."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection
from typing import Any, get_args

import structlog

from store.errors import StoreUnavailable
from store.records import EventStatus, SetAsideKind
from worker import metrics
from worker.conductor.errors import ConductorError
from worker.health import OVERDUE
from worker.intervals import Intervals
from worker.leader.leader import Leader, TermOver
from worker.leader.means import Means

log = structlog.get_logger()

_HEARTBEAT = 1.5
_ONCES_A_STEP = 100
"""Once keys that are read, and forgotten, at a time."""
_ONCE_GAP = 0.01
"""Seconds between two questions to Conductor about once keys, at least."""
_FAILURES = 3
"""Questions in a row that Conductor leaves unanswered before it is asked no more for now."""
_PRUNE_STEP = 200
_PRUNE_GAP = 0.05
"""Seconds between two steps, in which the relay's commits have the database to themselves."""


class Schedule:
    """The jobs of one worker."""

    def __init__(self, means: Means, leader: Callable[[], Leader | None], wake: Callable[[], None]):
        """`term` says which one there is now, if there is one; `wake` has the loop look for something to do."""
        self._means = means
        self._leader = leader
        self._onces_seen = ""
        self._intervals = Intervals()
        settings = means.settings
        every: dict[str, tuple[Callable[[], object], float]] = {
            "sweep": (wake, settings.bridge_poll_interval),
            "heartbeat": (self._as_leader(Leader.renew), _HEARTBEAT),
            "discovery": (self._as_leader(Leader.discover), settings.bridge_discovery_interval),
            "what couldn't be read": (self._as_leader(Leader.read_suspects), 1.0),
            "a look at what Conductor lacks": (
                self._as_leader(Leader.see_what_lacks),
                settings.bridge_discovery_interval,
            ),
            "task time-outs": (self._as_leader(Leader.extend_timeouts), 0.2),
            "definitions": (means.watcher.check, 2.0),
            "once keys": (self._as_leader(self.forget_onces), 60.0),
            "retention": (self._as_leader(self.prune), min(60.0, max(1.0, settings.bridge_retention / 4))),
            "upkeep": (self._as_leader(lambda _: means.store.maintenance.run()), 1.0),
            "metrics": (self._as_leader(self.measure), 10.0),
            "progress": (self.see_progress, 10.0),
        }
        for name, (job, seconds) in every.items():
            self._intervals.every(seconds, name, _logged(name, job))

    def start(self) -> None:
        """Begins."""
        self._intervals.start()

    def stop(self) -> None:
        """Begins no job any more. Those that run end soon: what they are about is over."""
        self._intervals.stop()

    def _as_leader(self, job: Callable[[Leader], object]) -> Callable[[], None]:
        def run() -> None:
            if (leader := self._leader()) is not None:
                job(leader)

        return run

    def prune(self, leader: Leader) -> None:
        """Deletes what is older than the retention, in small steps, for as long as the worker decides."""
        store = self._means.store
        before = store.now() - int(self._means.settings.bridge_retention * 1000)
        pruned = 0
        more = True
        while more and not leader.heartbeat.over:
            step = store.maintenance.prune(before, _PRUNE_STEP)
            pruned, more = pruned + step.events, step.more
            if more and self._means.stop.wait(_PRUNE_GAP):
                break
        if pruned:
            log.info("old events pruned", events=pruned)

    def forget_onces(self, leader: Leader) -> None:
        """Forgets once keys whose events were pruned and whose workflows have ended since: all of them, one by one.

        Conductor is asked about one at a time, with a pause as long as its answer took: half of what it could do at
        most. One that can't be asked about is asked about again the next time, and keeps the others waiting no longer.
        """
        store = self._means.store
        failures = 0
        while (found := store.once_keys.pruned(self._onces_seen, _ONCES_A_STEP)) and not leader.heartbeat.over:
            ended: list[str] = []
            for key, workflow_id in found:
                began = time.monotonic()
                try:
                    if not self._means.conductor.runs(workflow_id):
                        ended.append(key)
                    failures = 0
                except ConductorError:
                    failures += 1
                    if failures == _FAILURES:  # it isn't about one of them
                        raise
                took = time.monotonic() - began
                if self._means.stop.wait(max(_ONCE_GAP, took)) or leader.heartbeat.over:
                    return
            store.once_keys.forget(ended)
            self._onces_seen = found[-1][0]
        self._onces_seen = ""

    def measure(self, leader: Leader) -> None:
        """Sets the gauges of what is in the store. Only the deciding worker has them: counting once is enough."""
        store = self._means.store
        counts = store.queries.event_counts()
        set_aside = store.quarantine.counts()
        oldest = store.queries.oldest_pending()
        waiting = store.queries.waiting_count()
        for status in get_args(EventStatus):
            metrics.EVENTS.labels(status).set(counts.get(status, 0))
        for kind in get_args(SetAsideKind):
            metrics.SET_ASIDE.labels(kind).set(set_aside.get(kind, 0))
        metrics.OLDEST_PENDING.set(max(0.0, (store.now() - oldest) / 1000) if oldest else 0)
        metrics.WAITING_TASKS.set(waiting)
        if leader.heartbeat.over:  # it ended meanwhile
            metrics.leadership_over()

    def see_progress(self) -> None:
        """Looks whether what is overdue gets done.

        While Conductor can't be used nothing can be done, and that is told and has its alert: the worker isn't stuck.
        """
        store, progress = self._means.store, self._means.health.progress
        waiting: Collection[str] = ()
        if (leader := self._leader()) is not None:
            progress.leads()
            waiting = leader.decider.waiting  # for Conductor's index, which is told too
        away = store.facts.all().get("conductor", "up") != "up"
        paced = [*self._means.watcher.current.paces]
        before = store.now() - int(OVERDUE * 1000)
        progress.see(() if away else store.queries.overdue(before, waiting, paced))
        metrics.STUCK.set(progress.stuck_for)


def _logged(name: str, job: Callable[[], Any]) -> Callable[[], None]:
    """The job with its failures logged: the next run tries again."""

    @functools.wraps(job)
    def run() -> None:
        try:
            job()
        except TermOver:
            pass
        except (ConductorError, StoreUnavailable) as error:
            log.warning(f"{name} failed; trying again at its next time", error=str(error))
        except Exception:
            log.exception(f"{name} failed unexpectedly")

    return run
