"""One term of a deciding worker: all that it owns is dropped when it ends."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import structlog

from config.webhooks import Definitions
from store.bisect import OF_ALL, narrowed
from store.records import Event, Task, Term
from store.rows import steps
from worker import metrics
from worker.conductor.backoff import wait_before
from worker.conductor.errors import ConductorError
from worker.discovery.discovery import Discovery, Ended
from worker.discovery.index import Index
from worker.discovery.probe import what_lacks
from worker.discovery.scanner import Scanner
from worker.discovery.state import DiscoveryState
from worker.leader.decider import Decider
from worker.leader.heartbeat import Heartbeat
from worker.leader.matching import parse_task
from worker.leader.means import LOOK_UPS, Means
from worker.leader.reporting import Telling
from worker.leader.workflows import Workflows

log = structlog.get_logger()

_EVENTS_A_DECISION = 500
_SCAN_GAP = 0.02
"""Seconds between two scans at least: under load it is better to decide several events after one scan."""
_BUSY_SCAN_GAP = 0.1
"""The same while there are targets enough in hand: what is decided sooner isn't called sooner."""
_AFTERMATH = 2.0
"""Seconds after the end of a worker that ended without a word, in which a poll of its may still take effect."""
_LONGEST_WAIT = 5.0
"""Seconds between tries while Conductor is away."""
_INBOX = 8
"""Messages after which a thread that finds faster than the loop stores has to wait."""
_REFUSED = 1000
"""Polled tasks that the store refuses and that are kept: of more the index is asked again."""
_SEARCHED_FACT = "index_searched_to"
LACKS_FACT = "conductor_lacks"
"""Which calls Conductor hasn't got, or our key may not make; no such fact if none."""


class TermOver(Exception):
    """Another thread had something for a term that has ended."""


class Leader:
    """Belongs to the loop's thread. What other threads may call stands at the end; they send it messages."""

    def __init__(self, means: Means, term: Term):
        """Begins, and has nothing read yet. Raises StoreUnavailable."""
        self.term = term
        self._means = means
        self._store = store = means.store
        self.heartbeat = Heartbeat(store.leadership, term)
        self._definitions = means.watcher.current
        workflows = Workflows(store, means.conductor, means.workflows, LOOK_UPS)
        skew = means.settings.bridge_clock_skew
        self.decider = Decider(store, workflows, means.conductor.server_clock, means.timeouts, skew)
        self.telling = Telling(store)
        self.state = DiscoveryState()
        self._index = Index(means.conductor, means.look_ups, self.decider.tasks, self.state)
        domains = means.settings.bridge_task_domains
        self.scanner = Scanner(means.conductor, self._index, term.holder, domains)
        self.discovery = Discovery(means.conductor, self._index)
        self._inbox: queue.Queue[Callable[[], None]] = queue.Queue(maxsize=_INBOX)
        self._polled: list[Task] = []
        """Taken from the queue and not yet stored: no queue hands them out again."""
        self._refused: dict[str, Task] = {}
        """Those of them that the store refuses, which are tried again."""
        self._scanned = float("-inf")
        self.quiet_until = float("-inf")
        """When what the worker before had on its way has taken effect, by `time.monotonic`."""
        if term.predecessor is not None:
            # It may have polled as it died: Conductor then gives the tasks to nobody, and soon after knows them by its
            # index only. An event that is decided in between would miss them.
            ago = (store.now() - term.predecessor_until) / 1000
            self.quiet_until = time.monotonic() + _AFTERMATH - max(0.0, ago)
        self._failures = 0
        self._lacks: str | None = None
        """What Conductor lacked when it was last asked; None before."""
        self._listener = store.signals.listener("events")

    def load(self) -> None:
        """Reads what the store knows. Raises StoreUnavailable."""
        started = time.monotonic()
        self._means.health.progress.leads()
        self._set_definitions(self._definitions)
        given = self.decider.load(self.term, self._means.alive)
        self._means.timeouts.load(given)
        facts = self._store.facts.all()
        self.telling.recall_alone(facts, self.state)
        self.telling.remembered(self._index.suspects)
        self.scanner.searched_to = int(facts.get(_SEARCHED_FACT, 0))
        metrics.DECIDING.set(1)
        log.info(
            "this worker decides",
            waiting_tasks=len(self.decider.tasks),
            held_events=len(self.decider.held),
            seconds=round(time.monotonic() - started, 3),
        )

    def end(self) -> list[Task]:
        """Ends the term: nobody finds it any more. Returns what was polled and not yet stored."""
        self.heartbeat.over = True
        self._listener.close()
        metrics.leadership_over()
        return [*self._polled, *self._refused.values()]

    # --- one step ---

    def step(self) -> None:
        """Decides what there is to decide, and waits for more.

        Raises LeadershipLost and StoreUnavailable: the term has to end.
        """
        self.heartbeat.check()
        try:
            more = self.decide()
        except ConductorError as error:  # of a scan: a look-up of one workflow holds up that one's tasks alone
            self._conductor_is_away(error)
            return
        self._conductor_answers()
        if not more:
            longest = self._means.settings.bridge_poll_interval + 1
            due = min(self.state.search_due_in(), self.decider.workflows.due_in())
            self._listener.wait(min(longest, due))

    def decide(self) -> bool:
        """One scan and the decisions after it; True if there is more to decide at once. Raises ConductorError too."""
        store, executor, decider = self._store, self._means.executor, self.decider
        self._use_definitions()
        self.read_inbox()
        gap = _BUSY_SCAN_GAP if executor.busy else _SCAN_GAP
        self._means.stop.wait(max(self._scanned + gap, self.quiet_until) - time.monotonic())
        # Read before the scan begins: whatever they are, they arrived before it.
        waiting = () if self.state.must_search() else decider.waiting
        agenda = store.decisions.agenda(_EVENTS_A_DECISION, [*decider.undefined(store.now()), *waiting])
        decider.set_paused(agenda.paused)
        events, freed = agenda.undecided, agenda.freed
        if any(event.webhook not in self._definitions.by_name for event in events):
            self._means.watcher.check()
            self._use_definitions()
        if agenda.returned:
            self._look_again(agenda.returned)
        self._scan(events)
        claim = (self._means.worker_id, executor.free)
        claimed = decider.decide(
            self.term, events, freed, self.scanner.began, store.now(), claim, self.scanner.complete
        )
        self.telling.waits(decider.waiting, self.scanner.failure)
        if decider.newly_held:
            self.state.want_search()  # an index may know a task a moment later
        executor.submit(claimed)
        if events or freed:
            executor.wake()
        return agenda.more or decider.unfinished

    def _use_definitions(self) -> None:
        current: Definitions = self._means.watcher.current
        if current is not self._definitions:
            self._set_definitions(current)

    def _set_definitions(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self.decider.set_definitions(definitions)
        self._index.receivers = self.decider.receivers

    def _scan(self, events: Sequence[Event]) -> None:
        started = time.monotonic()
        try:
            # Checked before each poll, so that a process that was frozen takes no tasks that the leader now looks for.
            self.heartbeat.check()
            for tasks in self.scanner.scan():
                self._adopt(tasks)
                self.heartbeat.check()
            if self.state.may_search() and self.decider.lacks_taker(events):
                for tasks in self.scanner.search():
                    self._adopt(tasks)
        except ConductorError:
            metrics.SWEEPS.labels("failed").inc()
            raise
        self._scanned = time.monotonic()
        metrics.SWEEPS.labels("done").inc()
        metrics.SWEEP_SECONDS.observe(self._scanned - started)
        self.telling.discovery(self.state)

    def read_inbox(self) -> None:
        """Does what other threads ask for."""
        while True:
            try:
                message = self._inbox.get_nowait()
            except queue.Empty:
                return
            try:
                message()
            except OF_ALL:
                raise
            except Exception:  # what else there is to do doesn't depend on it
                log.exception("a message failed unexpectedly")

    # --- whether Conductor can be used ---

    def _conductor_answers(self) -> None:
        if self._failures:
            log.info("Conductor answers again")
            self.state.conductor_was_away()
        self._failures = 0
        metrics.conductor_up(True)
        self._means.executor.conductor_is_up()
        self.telling.conductor("up")
        self.telling.offset(round(self._means.conductor.server_clock.offset))

    def _conductor_is_away(self, error: ConductorError) -> None:
        self._failures += 1
        metrics.conductor_up(False)
        pause = min(_LONGEST_WAIT, wait_before(self._failures))
        log.warning(
            "Conductor can't be used; trying again",
            error=str(error),
            url=self._means.settings.conductor_server_url,
            seconds=round(pause, 2),
        )
        self.telling.conductor(str(error))
        self._means.stop.wait(pause)

    # --- what was found ---

    def _adopt(self, tasks: list[Task], suspects: bool = False) -> None:
        """Stores the tasks, and has them wait. Of `suspects` it isn't known whether the queue has handed them out."""
        self._means.alive()
        tasks = [replace(task, broken=parse_task(task)[1]) for task in tasks]
        self._polled += [task for task in tasks if task.found_by == "queue"]
        fresh: list[Task] = []

        def adopt(some: Sequence[Task]) -> None:
            for part in steps(some):  # as the store commits them: what it took before it refused some is known here
                fresh.extend(self._store.tasks.adopt(self.term, part, self._store.now()))

        for task, error in narrowed(tasks, adopt):
            self._refuse(task, error)
        for task in tasks:
            if not self.decider.aside.has_failed("task", task.id):
                self._refused.pop(task.id, None)
        self._polled = []
        self.decider.add_tasks(fresh)
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
        if not suspects and any(task.found_by == "index" for task in fresh):
            self.telling.found_alone(self.state)

    def _refuse(self, task: Task, error: Exception) -> None:
        """The store can't hold the task now. One that the index knows is found again by itself."""
        if task.found_by == "queue" and len(self._refused) < _REFUSED:
            self._refused[task.id] = task
        self.decider.aside.task_failed(task.id, error, lambda: self._adopt([task]))

    def _look_again(self, returned: Sequence[Task]) -> None:
        """Returned tasks wait again."""

        def look_again(tasks: Sequence[Task]) -> None:
            self._store.tasks.look_again(self.term, [task.id for task in tasks])
            self.decider.add_tasks(tasks)

        due = [task for task in returned if not self.decider.aside.waits(task.id)]
        for task, error in narrowed(due, look_again):
            self.decider.aside.task_failed(task.id, error, partial(look_again, [task]))

    def _drop(self, task_ids: list[str]) -> None:
        # Events may have taken some since Conductor was asked; of a large decision the store may not know that yet.
        task_ids = [task_id for task_id in task_ids if task_id in self.decider.tasks]

        def drop(ids: Sequence[str]) -> None:
            self._store.tasks.drop(self.term, ids, self._store.now())
            self.decider.drop_tasks(ids)

        for task_id, error in narrowed(task_ids, drop):  # the next discovery finds that it has ended
            self.decider.aside.task_failed(task_id, error, lambda: None)
        log.info("tasks wait no longer: Conductor has ended them", tasks=task_ids)

    # --- other threads ---

    def wake(self) -> None:
        """There may be something to decide. For signal handlers too."""
        self._listener.wake()

    def renew(self) -> None:
        """Renews the term. Raises StoreUnavailable."""
        if not self.heartbeat.renew():
            self.wake()

    def discover(self) -> None:
        """Looks at the index beside the scans. Raises ConductorError, and TermOver when that is."""
        if self.scanner.searched_to or self.state.failing:
            for found in self.discovery.run(self.scanner.searched_to):
                self._tell(
                    partial(self._drop, found.task_ids) if isinstance(found, Ended) else partial(self._adopt, found)
                )
            self.telling.discovery(self.state, self.discovery.outcome)
            # Not before what was found is stored.
            searched_to = str(self.discovery.searched_to)
            self._tell(lambda: self._store.facts.set(_SEARCHED_FACT, searched_to))

    def read_suspects(self) -> None:
        """Tries again to read the tasks and workflows that couldn't be read, those that are due, and says which can't.

        Raises ConductorError, StoreUnavailable, and TermOver when that is.
        """
        suspects = self._index.suspects
        try:
            for tasks in self._index.retry():
                self._tell(partial(self._adopt, tasks, suspects=True))
        finally:
            self.telling.suspects(suspects)

    def see_what_lacks(self) -> None:
        """Finds out which calls can't be made before an event needs them: at first, and until nothing lacks any more.

        Raises StoreUnavailable and ConductorError.
        """
        if not self.scanner.searched_to or self._lacks == "":
            return
        lacks = "; ".join(map(str, what_lacks(self._means.conductor, self._definitions.starts)))
        if lacks == self._lacks:
            return
        if lacks:
            log.error("Conductor can't be used for everything", error=lacks)
        self._store.facts.set(LACKS_FACT, lacks or None)
        self._lacks = lacks

    def extend_timeouts(self) -> None:
        """Puts off the time-outs of tasks that this bridge answers for, and of those that its events have taken."""
        decider = self.decider
        timed = [task for task in list(decider.tasks.timed.values()) if decider.is_receiver(task.workflow)]
        self._means.timeouts.extend(timed, decider.tasks, self.heartbeat)

    def _tell(self, action: Callable[[], None]) -> None:
        """Has the loop's thread do it. Raises TermOver if it won't."""
        while not self.heartbeat.over:
            with suppress(queue.Full):
                self._inbox.put(action, timeout=0.5)
                self.wake()
                return
        raise TermOver
