"""The worker process: one loop that decides, threads that call Conductor, and a schedule that sets both going."""

from __future__ import annotations

import functools
import os
import queue
import socket
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from config.settings import Settings
from config.watch import DefinitionsWatcher
from events.records import Event, Task, Workflow
from events.store import LeadLost, Listener, Store, StoreUnavailable
from worker import metrics
from worker.backoff import wait_before
from worker.calls import THREADS, Caller
from worker.conductor import Conductor, ConductorError
from worker.decide import Decider
from worker.health import Health
from worker.matching import parse_task
from worker.sweep import Discovery, Sweeper
from worker.task_timeouts import Leases

log = structlog.get_logger()

_LEAD = 6.0
"""Seconds without a heartbeat after which another worker may decide."""
_HEARTBEAT = 1.5
_EVENTS_A_DECISION = 500
_SWEEP_GAP = 0.02
"""Seconds between two sweeps at least: under load it is better to decide several events after one sweep."""
_BUSY_SWEEP_GAP = 0.1
"""The same while there are targets enough in hand: what is decided sooner isn't called sooner."""
_SETTLE = 2.0
"""Seconds after the end of a worker that ended without a word, in which a poll of its may still take effect."""
_PRUNE_STEP = 500
_LONGEST_WAIT = 5.0
"""Seconds between tries while Conductor is away."""
_INDEX_FACT = "tasks_by_index_alone"
_SEARCHED_FACT = "index_searched_to"


class Worker:
    """Several workers may run on one store: one decides, all call."""

    def __init__(self, settings: Settings, store: Store, watcher: DefinitionsWatcher, health: Health):
        self.id = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._settings = settings
        self._store = store
        self._watcher = watcher
        self._health = health
        secret = settings.conductor_auth_secret
        self._conductor = Conductor(
            settings.conductor_server_url,
            settings.bridge_call_timeout,
            settings.conductor_auth_key,
            secret.get_secret_value() if secret else None,
        )
        self._leases = Leases(self._conductor)
        self._caller = Caller(store, self._conductor, self.id, self._output, health, self._paces)
        self._look_ups = ThreadPoolExecutor(THREADS, thread_name_prefix="look-up")
        self._inbox: queue.Queue[Callable[[], None]] = queue.Queue(maxsize=8)
        self._stopping = threading.Event()
        self._reload = False
        self._leading = False
        self._lost = False
        self._polled: list[Task] = []
        """Taken from the queue and not yet stored: no queue hands them out again."""
        self._news_of_targets = store.listener("targets")
        self._news_of_events: Listener | None = None
        self._decider: Decider | None = None
        self._sweeper: Sweeper | None = None
        self._discovery: Discovery | None = None
        self._swept = 0.0
        self._settled = 0.0
        """When what the worker before had on its way has taken effect."""
        self._definitions: Any = None
        self._failures = 0
        self._conductor_fact = ""
        self._scheduler = BackgroundScheduler(
            timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": 30}
        )

    # --- life ---

    def run(self) -> None:
        """Works until `stop`."""
        self._schedule()
        self._caller.start()
        log.info("worker started", worker=self.id, conductor=self._settings.conductor_server_url)
        try:
            while not self._stopping.is_set():
                self._step()
        finally:
            self._shut_down()

    def stop(self) -> None:
        """Asks the worker to finish what is in hand and end; may be called from a signal handler."""
        self._stopping.set()
        self.wake()

    def wake(self) -> None:
        """There may be something to decide."""
        self._news_of_targets.wake()
        if (listener := self._news_of_events) is not None:
            listener.wake()

    def reload(self) -> None:
        """Reads the definitions anew at the next step; may be called from a signal handler."""
        self._watcher.force()
        self._reload = True
        self.wake()

    def _schedule(self) -> None:
        settings = self._settings
        every = {
            "sweep": (self.wake, settings.bridge_poll_interval),
            "heartbeat": (self._heartbeat, _HEARTBEAT),
            "discovery": (self._discover, settings.bridge_discovery_interval),
            "leases": (self._extend_leases, 0.5),
            "definitions": (self._watcher.check, 2.0),
            "retention": (self._prune, min(60.0, max(1.0, settings.bridge_retention / 4))),
            "checkpoint": (self._checkpoint, 1.0),
            "metrics": (self._measure, 10.0),
        }
        for name, (job, seconds) in every.items():
            self._scheduler.add_job(_logged(name, job), "interval", seconds=seconds, id=name)
        self._scheduler.start()

    def _shut_down(self) -> None:
        log.info("worker stopping")
        self._scheduler.shutdown(wait=False)
        self._caller.stop()
        self._look_ups.shutdown(wait=False, cancel_futures=True)
        with suppress(StoreUnavailable):
            self._hand_over()
        self._step_down()
        log.info("worker stopped")

    # --- the loop ---

    def _step(self) -> None:
        self._alive()
        try:
            if self._reload:
                self._reload = False
                self._watcher.check()
            if self._lost:
                raise LeadLost
            if self._decider is None and not self._take_lead():
                self._follow()
                return
            more = self._decide()
            self._conductor_answers()
            if not more:
                self._wait(self._settings.bridge_poll_interval + 1)
        except LeadLost:
            log.warning("another worker decides now")
            self._step_down()
        except ConductorError as error:
            self._conductor_is_away(error)
        except StoreUnavailable as error:
            # What of the last steps is in the store is to be read from there, whenever that is possible again.
            log.error("the store can't be used; trying again", error=str(error))
            self._step_down()
            self._stopping.wait(0.5)
        except Exception:
            # Deciding again from the store is safe, and better than no worker.
            log.exception("deciding failed unexpectedly; starting over from the store")
            self._step_down()
            self._stopping.wait(2)

    def _alive(self) -> None:
        self._health.beat("the loop")

    def _take_lead(self) -> bool:
        lead = self._store.take_lead(self.id, _LEAD)
        if lead is None:
            return False
        if lead.predecessor is not None:
            # It may have polled as it died: Conductor then gives the tasks to nobody, and soon after knows them by its
            # index only. An event that is decided in between would miss them.
            self._settled = time.monotonic() + _SETTLE - (self._store.now() - lead.predecessor_until) / 1000
        self._lost = False
        self._leading = True
        started = time.monotonic()
        decider = Decider(
            self._store,
            self.id,
            self._workflow,
            self._conductor.clock,
            self._settings.bridge_clock_skew,
            self._look_ups,
            self._leases.paused,
        )
        self._definitions = self._watcher.current
        decider.set_definitions(self._definitions)
        decider.load()
        facts = self._store.facts()
        self._sweeper = Sweeper(self._conductor, self.id, self._settings.bridge_task_domains, self._adopt)
        self._sweeper.by_index_alone = _INDEX_FACT in facts
        self._sweeper.searched_to = int(facts.get(_SEARCHED_FACT, 0))
        self._discovery = Discovery(self._conductor, self._found, self._gone)
        self._decider = decider
        self._news_of_events = self._store.listener("events")
        metrics.DECIDING.set(1)
        log.info(
            "this worker decides",
            waiting_tasks=len(decider.tasks),
            held_events=len(decider.held),
            seconds=round(time.monotonic() - started, 3),
        )
        return True

    def _step_down(self) -> None:
        self._decider = self._sweeper = self._discovery = None
        led, self._leading, self._lost = self._leading, False, False
        listener, self._news_of_events = self._news_of_events, None
        if listener is not None:
            listener.close()
        with suppress(queue.Empty):
            while True:
                self._inbox.get_nowait()
        if led:
            with suppress(StoreUnavailable):
                self._store.resign(self.id)
        metrics.DECIDING.set(0)

    def _follow(self) -> None:
        """Another worker decides: this one only calls."""
        self._hand_over()
        until = time.monotonic() + 0.5
        while (rest := until - time.monotonic()) > 0 and not self._stopping.is_set():
            self._news_of_targets.wait(rest)
            self._caller.look()

    def _decide(self) -> bool:
        """One sweep and the decisions after it; True if there is more to decide at once."""
        decider, sweeper = self._decider, self._sweeper
        assert decider is not None and sweeper is not None
        if self._definitions is not self._watcher.current:
            self._definitions = self._watcher.current
            decider.set_definitions(self._definitions)
        self._hand_over()
        self._read_inbox()
        gap = _SWEEP_GAP if self._caller.free() > THREADS else _BUSY_SWEEP_GAP
        if (pause := max(self._swept + gap, self._settled) - time.monotonic()) > 0:
            self._stopping.wait(pause)
        # Read before the sweep begins: whatever they are, they arrived before it.
        left_out = decider.left_out(int(time.time() * 1000))
        events = self._store.undecided(_EVENTS_A_DECISION, left_out)
        freed = self._store.freed(_EVENTS_A_DECISION, left_out)
        if any(event.webhook not in self._definitions.by_name for event in events) and self._watcher.check():
            self._definitions = self._watcher.current
            decider.set_definitions(self._definitions)
        if returned := self._store.returned_tasks():
            self._store.look_again(self.id, [task.id for task in returned])
            decider.add_tasks(returned)
        started = time.monotonic()
        try:
            began = sweeper.sweep()
        except ConductorError:
            metrics.SWEEPS.labels("failed").inc()
            raise
        self._swept = time.monotonic()
        metrics.SWEEPS.labels("done").inc()
        metrics.SWEEP_SECONDS.observe(time.monotonic() - started)
        now = int(time.time() * 1000)
        claimed = decider.decide(events, freed, began, now, (self.id, self._caller.free()))
        self._caller.submit(claimed)
        if events or freed:
            self._caller.look()
        return len(events) == _EVENTS_A_DECISION or len(freed) == _EVENTS_A_DECISION

    def _wait(self, seconds: float) -> None:
        """Until there is something to do: an event was committed, the schedule or another thread asks."""
        assert self._news_of_events is not None
        self._news_of_events.wait(seconds)

    def _conductor_answers(self) -> None:
        if self._failures:
            log.info("Conductor answers again")
        self._failures = 0
        metrics.conductor_up(True)
        self._caller.conductor_is_up()
        self._say_conductor("up")

    def _conductor_is_away(self, error: ConductorError) -> None:
        self._failures += 1
        metrics.conductor_up(False)
        pause = min(_LONGEST_WAIT, wait_before(self._failures))
        log.warning(
            "Conductor can't be used; trying again",
            error=str(error),
            url=self._settings.conductor_server_url,
            seconds=round(pause, 2),
        )
        self._say_conductor(str(error))
        self._stopping.wait(pause)

    def _say_conductor(self, text: str) -> None:
        if text != self._conductor_fact:
            with suppress(StoreUnavailable):
                self._store.set_fact("conductor", text)
                self._conductor_fact = text

    # --- what was found ---

    def _adopt(self, tasks: list[Task]) -> None:
        assert self._decider is not None and self._sweeper is not None
        self._alive()
        tasks = [replace(task, broken=parse_task(task)[1]) for task in tasks]
        self._polled += [task for task in tasks if task.found_by == "queue"]
        fresh = self._store.adopt(self.id, tasks, int(time.time() * 1000))
        self._polled = []
        self._decider.add_tasks(fresh)
        for task in fresh:
            log.info(
                "task waits",
                task_id=task.id,
                workflow=task.workflow,
                workflow_id=task.workflow_id,
                reference_name=task.reference_name,
                found_by=task.found_by,
                **({"broken": task.broken} if task.broken else {}),
            )
        if any(task.found_by == "index" for task in fresh) and not self._sweeper.by_index_alone:
            log.info("a task was found by the index alone: from now on every sweep searches the index too")
            self._sweeper.by_index_alone = True
            self._store.set_fact(_INDEX_FACT, "1")

    def _hand_over(self) -> None:
        """Leaves what was polled and couldn't be stored as this worker decided to the one that decides now."""
        if self._polled:
            self._store.hand_over(self._polled, int(time.time() * 1000))
            self._polled = []

    def _read_inbox(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._inbox.get_nowait()()

    def _post(self, action: Callable[[], None]) -> None:
        """Has the deciding loop do it."""
        while not self._stopping.is_set() and self._decider is not None:
            with suppress(queue.Full):
                self._inbox.put(action, timeout=0.5)
                self.wake()
                return

    def _found(self, tasks: list[Task]) -> None:
        self._post(lambda: self._adopt(tasks))

    def _gone(self, task_ids: list[str]) -> None:
        if task_ids:
            self._post(lambda: self._drop(task_ids))

    def _drop(self, task_ids: list[str]) -> None:
        assert self._decider is not None
        self._store.drop(self.id, task_ids, int(time.time() * 1000))
        self._decider.drop_tasks(task_ids)
        log.info("tasks wait no longer: Conductor has ended them", tasks=task_ids)

    def _workflow(self, workflow_id: str) -> Workflow | None:
        found = self._conductor.workflow(workflow_id)
        self._alive()  # many look-ups on a slow server take their time
        return found

    def _paces(self) -> dict[str, float]:
        """webhook → calls a second, at most."""
        return {webhook.name: webhook.pace for webhook in self._watcher.current.webhooks if webhook.pace is not None}

    def _output(self, event: Event) -> dict[str, Any]:
        webhook = self._watcher.current.by_name.get(event.webhook)
        return event.document(metadata=webhook is None or webhook.metadata)

    # --- scheduled ---

    def _heartbeat(self) -> None:
        if self._leading and not self._store.keep_lead(self.id, _LEAD) and self._leading:
            self._lost = True
            self.wake()

    def _discover(self) -> None:
        decider, sweeper, discovery = self._decider, self._sweeper, self._discovery
        if decider is not None and sweeper is not None and discovery is not None and sweeper.searched_to:
            discovery.run(sweeper.searched_to, decider.tasks.ids())
            # Not before what was found is stored.
            searched_to = str(discovery.searched_to)
            self._post(lambda: self._store.set_fact(_SEARCHED_FACT, searched_to))

    def _extend_leases(self) -> None:
        decider = self._decider
        if decider is not None and decider.tasks.timed:
            timed = [task for task in list(decider.tasks.timed.values()) if decider.is_receiver(task.workflow)]
            self._leases.extend(timed, lambda task_id: self._decider is decider and task_id in decider.tasks)

    def _prune(self) -> None:
        if self._decider is None:
            return
        before = int((time.time() - self._settings.bridge_retention) * 1000)
        pruned = 0
        while (step := self._store.prune(before, _PRUNE_STEP)) and not self._stopping.is_set():
            pruned += step
            time.sleep(0.05)  # between two steps the relay's commits have the database to themselves
        if pruned:
            log.info("old events pruned", events=pruned)

    def _checkpoint(self) -> None:
        if self._decider is not None:
            self._store.tend()

    def _measure(self) -> None:
        counts = self._store.event_counts()
        for status in ("pending", "delivered", "expired", "ignored", "failed"):
            metrics.EVENTS.labels(status).set(counts.get(status, 0))
        oldest = self._store.oldest_pending()
        metrics.OLDEST_PENDING.set(max(0.0, time.time() - oldest / 1000) if oldest else 0)
        metrics.WAITING_TASKS.set(self._store.waiting_count())


def _logged(name: str, job: Callable[[], Any]) -> Callable[[], None]:
    """The job with its failures logged: the next run tries again."""

    @functools.wraps(job)
    def run() -> None:
        try:
            job()
        except (ConductorError, StoreUnavailable) as error:
            log.warning(f"{name} failed; trying again at its next time", error=str(error))
        except Exception:
            log.exception(f"{name} failed unexpectedly")

    return run
