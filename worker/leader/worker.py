"""The worker process: as the leader it decides; as a follower it only makes calls."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import structlog

from config.settings import Settings
from config.wakeup import WakeUp
from config.watch import DefinitionsSource
from store.bisect import narrowed
from store.clock import MonotonicClock
from store.errors import LeadershipLost, StoreUnavailable
from store.protocols import Store
from store.records import Task
from worker.conductor.client import Conductor
from worker.conductor.errors import ConductorError
from worker.delivery.executor import Executor
from worker.health import Health
from worker.intervals import Intervals
from worker.leader.heartbeat import TERM_SECONDS
from worker.leader.leader import Leader, TermOver
from worker.leader.maintenance import Maintenance
from worker.leader.task_timeouts import TaskTimeouts
from worker.leader.tuning import Pools, Tuning

log = structlog.get_logger()

_TUNING = Tuning()
_HEARTBEAT = 1.5
"""Seconds between renewals of the term."""
_ELECT_EVERY = 0.5
"""Seconds between tries to become leader."""
_AFTER_STORE = 0.5
"""Seconds until the store is tried again."""
_AFTER_BUG = 2.0
"""Seconds until the worker tries to be elected again after an unforeseen error."""


class Worker:
    """Several workers may run on one store: one is leader, all make calls.

    Its state is the loop's thread's. Signal handlers set flags, and wake it through descriptors only.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        source: DefinitionsSource,
        health: Health,
        conductor: Conductor,
        worker_id: str | None = None,
        tuning: Tuning = _TUNING,
        clock: MonotonicClock = time,
    ):
        """`worker_id` differs from every other worker's, also from that of an earlier one on this machine; made up by
        default."""
        self.id = worker_id or f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._settings = settings
        self._store = store
        self._source = source
        self._stop = WakeUp()
        self._stopping = False
        self._reload = False
        self._health = health
        self._conductor = conductor
        self._tuning = tuning
        self._clock = clock
        self._executor = Executor(store, conductor, self.id, source, health, settings.bridge_calls, clock=clock)
        self._timeouts = TaskTimeouts(conductor, store.task_locks, store, self.id, steady=clock)
        index_threads = settings.bridge_calls if tuning.index_threads is None else tuning.index_threads
        self._pools = Pools(index_threads, tuning.workflow_threads)
        self._maintenance = Maintenance(
            settings, store, conductor, source, health, self._stop, tuning.once_key_gap, clock
        )
        self._intervals = Intervals()
        self.leader: Leader | None = None
        """Of the present term; None for a follower. Other threads read it once, and keep to that one, over or not."""
        self._unstored: list[Task] = []
        """Tasks that were polled in a term that ended before they were stored."""
        self._listener = store.signals.listener("targets")

    @property
    def is_leader(self) -> bool:
        """Whether this worker is leader now. Other threads may ask."""
        return self.leader is not None

    # --- life ---

    def run(self) -> None:
        """Works until `stop`."""
        self._schedule()
        self._intervals.start()
        self._executor.start()
        log.info("worker started", worker=self.id, conductor=self._settings.conductor_server_url)
        try:
            while not self._stopping:
                self.step()
        finally:
            self.shut_down()

    def stop(self) -> None:
        """Asks the worker to finish the calls in flight and end. For signal handlers too."""
        self._stopping = True
        self._executor.drain()  # now, since the loop may be waiting for Conductor or the store
        self._stop.ring()
        self.wake()

    def wake(self) -> None:
        """There may be something to do. For signal handlers too."""
        self._listener.wake()
        if (leader := self.leader) is not None:
            leader.wake()

    def reload(self) -> None:
        """Reads the definitions again at the next step. For signal handlers too."""
        self._source.force()
        self._reload = True
        self.wake()

    def shut_down(self) -> None:
        """Resigns, begins no new calls, and waits for those in flight to end and be recorded.

        Within seconds, whatever hangs: what isn't done then is looked up by other workers, as after a crash.
        """
        log.info("worker stopping")
        self._executor.drain()
        self._intervals.stop()
        try:
            self.end_term()
        except Exception:
            log.exception("ending the term failed unexpectedly; it runs out")
        self._executor.stop()
        self._pools.shut_down()
        self.close()
        log.info("worker stopped")

    def close(self) -> None:
        """Closes what a worker has open even if it never ran."""
        self._listener.close()
        self._stop.close()

    # --- jobs, each on a thread of its own ---

    def _schedule(self) -> None:
        settings, jobs = self._settings, self._maintenance
        always: dict[str, tuple[float, Callable[[], object]]] = {
            "scan": (settings.bridge_poll_interval, self.wake),
            "definitions": (2.0, self._source.check),
            "progress": (10.0, lambda: jobs.see_progress(self.leader)),
        }
        as_leader: dict[str, tuple[float, Callable[[Leader], object]]] = {
            "heartbeat": (_HEARTBEAT, Leader.renew),
            "discovery": (settings.bridge_discovery_interval, Leader.discover),
            "suspects": (1.0, Leader.read_suspects),
            "missing calls": (settings.bridge_discovery_interval, Leader.check_calls),
            "Conductor's webhooks": (settings.bridge_discovery_interval, Leader.look_at_webhooks),
            "task time-outs": (0.2, Leader.extend_timeouts),
            "once keys": (60.0, jobs.forget_once_keys),
            "retention": (min(60.0, max(1.0, settings.bridge_retention / 4)), jobs.prune),
            "upkeep": (1.0, lambda _: self._store.maintenance.run()),
            "metrics": (10.0, jobs.measure),
        }
        for name, (seconds, job) in always.items():
            self._intervals.every(seconds, name, partial(_run, name, job))
        for name, (seconds, leaders_job) in as_leader.items():
            self._intervals.every(seconds, name, partial(_run, name, partial(self.as_leader, leaders_job)))

    def as_leader(self, job: Callable[[Leader], object]) -> None:
        """Does the job if this worker is leader. The job keeps the term that it was begun in, over or not."""
        if (leader := self.leader) is not None:
            job(leader)

    # --- the loop ---

    def step(self) -> None:
        """Decides once as leader, or makes calls for a while. After an error the next step reads the store again."""
        self._health.beat("the loop")
        try:
            if self._reload:
                self._reload = False
                self._source.check()
            self.hand_over()
            if self.leader is None and not self.elect():
                self._call_only()
            else:
                assert self.leader is not None
                self.leader.step()
        except LeadershipLost:
            log.warning("leadership lost: another worker is leader")
            self.end_term()
        except StoreUnavailable as error:
            # What of the last steps is in the store is to be read from there, whenever that is possible again.
            log.error("the store can't be used; trying again", error=str(error))
            self.end_term()
            self._stop.wait(_AFTER_STORE)
        except Exception:
            # Deciding again from the store is safe, and better than no worker.
            log.exception("deciding failed unexpectedly; starting over from the store")
            self.end_term()
            self._stop.wait(_AFTER_BUG)

    def elect(self) -> bool:
        """Begins a term unless another worker is leader; whether it did. Raises LeadershipLost and StoreUnavailable."""
        asked_at = self._clock.monotonic()  # the term may run out while its answer is on its way
        term = self._store.leadership.elect(self.id, TERM_SECONDS)
        if term is None:
            return False
        # Before it is loaded, which may take longer than a term lasts: from here on it has a heartbeat.
        self.leader = leader = Leader(
            term,
            asked_at,
            settings=self._settings,
            store=self._store,
            conductor=self._conductor,
            source=self._source,
            executor=self._executor,
            timeouts=self._timeouts,
            health=self._health,
            stop=self._stop,
            pools=self._pools,
            tuning=self._tuning,
            clock=self._clock,
        )
        if self._stopping:  # the signal came before there was a term to be woken
            leader.wake()
        leader.load()
        return True

    def end_term(self) -> None:
        """Ends the term, if there is one, and resigns."""
        leader, self.leader = self.leader, None
        if leader is None:
            return
        self._unstored += leader.end()
        # The next leader may give a task to an event, and no extension of its time-out may be in flight then.
        finished = self._timeouts.finish()
        with suppress(StoreUnavailable):
            self.hand_over()
        if not finished:  # then the term runs out
            log.warning("a task's time-out is still being extended: not resigning")
            return
        with suppress(StoreUnavailable):
            self._store.leadership.resign(leader.term)

    def hand_over(self) -> None:
        """Leaves what was polled and couldn't be stored to the present leader. Raises StoreUnavailable."""
        if self._unstored:
            refused = narrowed(self._unstored, lambda tasks: self._store.tasks.hand_over(tasks, self._store.now()))
            for task, error in refused:  # the index knows it
                log.error("a polled task can't be stored", task_id=task.id, error=str(error))
            self._unstored = []

    def _call_only(self) -> None:
        until = self._clock.monotonic() + _ELECT_EVERY
        while not self._stopping and (rest := until - self._clock.monotonic()) > 0:
            self._listener.wait(rest)
            self._executor.wake()


def _run(name: str, job: Callable[[], object]) -> None:
    """Does the job, and logs why it failed: the next run tries again."""
    try:
        job()
    except TermOver:
        pass
    except (ConductorError, StoreUnavailable) as error:
        log.warning(f"{name} failed; trying again at its next time", error=str(error))
    except Exception:
        log.exception(f"{name} failed unexpectedly")
