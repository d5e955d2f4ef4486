"""One worker's term as leader: owns everything that the term knows, and is dropped when it ends."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor as Pool
from dataclasses import dataclass, replace
from functools import partial

import structlog

from config.logs import some_of
from config.urls import without_user
from store.records import Event, Task
from store.sql.rows import steps
from worker import metrics
from worker.conductor.errors import ConductorError
from worker.context import Context, Inbox
from worker.decision.callbacks import Callbacks
from worker.decision.decider import Decider, Request
from worker.decision.matching import parse_task
from worker.decision.workflows import Workflows
from worker.delivery.executor import Executor
from worker.discovery.barrier import LOOK_GAP, Barrier
from worker.discovery.discovery import Discovery, Ended, Found, Reconciled
from worker.discovery.index import Index
from worker.discovery.scanner import Scanner
from worker.leader.heartbeat import Heartbeat
from worker.leader.reporting import Checks, Reporter
from worker.leader.task_timeouts import TaskTimeouts
from worker.retries import failing_items, wait_before

log = structlog.get_logger()

_EVENTS_A_DECISION = 500
_BLOCKED_GAP = 0.5
"""Seconds between two reads of events that wait."""
_FULL_GAP = 0.05
"""Seconds between two looks whether there is room for another thread's message."""
_LONGEST_PAUSE = 5.0
"""Seconds between tries while Conductor is away."""


@dataclass(frozen=True)
class Tuning:
    """Intervals and bounds that aren't settings. Times are in seconds. Tests set them."""

    scan_gap: float = 0.02
    """Minimum between two scans: under load it is better to decide several events after one scan.
    """
    busy_scan_gap: float = 0.1
    """Minimum between two scans while enough targets are in flight: deciding sooner wouldn't call
    sooner."""
    search_gap: float = LOOK_GAP
    once_key_gap: float = 0.01
    """Minimum between two questions to Conductor about once keys."""
    inbox: float = 8
    """Messages after which a thread that finds tasks faster than the loop stores them must wait."""


@dataclass
class Pools:
    """Threads for look-ups, which outlive a term since a call may hang."""

    index: Pool
    """For tasks and workflows that no queue hands out."""
    workflows: Pool
    """Separate threads: whatever hangs elsewhere, decisions have room for the look-ups they depend
    on."""


class TermOver(Exception):
    """Another thread sent something to a term that has ended."""


class Leader:
    """Belongs to the loop's thread. Methods for other threads, which send it messages, are at the
    end."""

    def __init__(
        self,
        context: Context,
        heartbeat: Heartbeat,
        executor: Executor,
        timeouts: TaskTimeouts,
        pools: Pools,
        tuning: Tuning,
    ):
        """Reads nothing yet. Raises StoreUnavailable."""
        settings, clock, conductor = context.settings, context.clock, context.conductor
        self._context = context
        self._store = store = context.store
        self._definitions = context.definitions.current
        self._executor = executor
        self._timeouts = timeouts
        self._stop = context.stop
        self._tuning = tuning
        self._clock = clock
        self.heartbeat = heartbeat
        self.term = term = heartbeat.term
        workflows = Workflows(store, conductor, pools.workflows, clock)
        self._listener = store.signals.listener("events")
        callbacks = Callbacks(conductor, pools.workflows, store, self._listener, clock)
        skew = settings.bridge_clock_skew
        self.decider = Decider(store, workflows, conductor.server_clock, timeouts, callbacks, skew)
        self.barrier = Barrier(clock, tuning.search_gap)
        self._reporter = Reporter(store, clock)
        self.checks = Checks(context)
        self._index = Index(conductor, pools.index, self.decider.tasks, clock)
        self.scanner = Scanner(
            conductor, self._index, self.barrier, term.holder, settings.bridge_task_domains
        )
        self._discovery = Discovery(
            conductor, self._index, self.decider.tasks, store.tasks.settled_by
        )
        self._blocked_due = float("-inf")
        """When blocked webhooks' events are read again."""
        self.inbox = Inbox("the leader")
        self._scanned_at = float("-inf")
        # A predecessor that died may have polled just then. Conductor then hands out these tasks to
        # no other poll, and soon only its index knows them.
        if term.predecessor is None:
            self.barrier.term_began()
        else:
            ago = max(0.0, (store.now() - term.predecessor_until) / 1000)
            self.barrier.term_began(clock.monotonic() - ago)
        self._failures = 0

    def load(self) -> None:
        """Reads everything from the store. Raises LeadershipLost and StoreUnavailable."""
        started = self._clock.monotonic()
        self._context.health.progress.leads()
        self.decider.set_definitions(self._definitions)
        self._index.receivers = receivers = self._definitions.by_receiver.keys()
        self.decider.load(self._context.health)
        self._timeouts.load()
        self.scanner.searched_to = self._reporter.recall(self.barrier, self._discovery.missing)
        if self.scanner.searched_to:
            self.scanner.unsearched |= receivers - self._reporter.searched_for()
        metrics.DECIDING.set(1)
        log.info(
            "this worker is leader",
            waiting_tasks=len(self.decider.tasks),
            held_events=len(self.decider.held.index),
            seconds=round(self._clock.monotonic() - started, 3),
        )

    def end(self) -> None:
        """Ends the term, in which nothing more is done."""
        self.heartbeat.over = True
        self._listener.close()
        metrics.leadership_over()

    # --- one step ---

    def step(self) -> None:
        """Decides everything there is to decide, and waits for more.

        Raises LeadershipLost and StoreUnavailable; the term must then end.
        """
        self.heartbeat.check()
        try:
            more = self.decide()
        except ConductorError as error:
            # From the scan: a failed look-up of a workflow holds up only that workflow's tasks.
            self._conductor_is_away(error)
            return
        self._conductor_answers()
        if not more:
            decider = self.decider
            due = min(
                self.barrier.look_due_in(),
                decider.workflows.due_in(),
                decider.held.callbacks.due_in(),
            )
            self._listener.wait(min(self._context.settings.bridge_poll_interval, due))

    def decide(self) -> bool:
        """One scan and the decisions after it; True if there is more to decide right away. Raises
        ConductorError too."""
        store, executor, decider = self._store, self._executor, self.decider
        self._use_definitions()
        self.inbox.handle()
        tuning = self._tuning
        gap = tuning.busy_scan_gap if executor.busy else tuning.scan_gap
        self._stop.wait(self._scanned_at + gap - self._clock.monotonic())
        # Read them before the scan begins, so that all of them arrived before it.
        blocked: Collection[str] = decider.blocked
        now = self._clock.monotonic()
        if now >= self._blocked_due:
            blocked, self._blocked_due = (), now + _BLOCKED_GAP
        agenda = store.decisions.agenda(_EVENTS_A_DECISION, blocked)
        decider.set_paused(agenda.paused)
        events, freed = agenda.undecided, agenda.freed
        if any(event.webhook not in self._definitions.by_name for event in events):
            self._context.definitions.check()
            self._use_definitions()
        if agenda.returned:
            self._wait_again(agenda.returned)
        self._scan(events)
        scan, barrier = self.scanner, self.barrier
        unread = self._index.unread()
        self.inbox.handle()  # what could be read meanwhile, and isn't awaited any more
        barrier.unread(unread)
        request = Request(events, freed, scan.began, store.now(), executor.free, barrier, blocked)
        claimed = decider.decide(self.term, request)
        # Before anything that may fail: no other worker makes these calls until their claims run
        # out.
        executor.submit(claimed)
        found = decider.addressed.newly_found()
        if found:
            self.adopt(found, suspects=True)  # the queue may be about to hand them out
        waiting = decider.blocked if scan.failure else ()
        self._reporter.waiting_for_index(waiting, scan.failure)
        if decider.newly_held:
            barrier.want_look()  # an index may know a task a moment later
        if decider.decided:
            executor.wake()
        return agenda.more or decider.unfinished or bool(found)

    def _use_definitions(self) -> None:
        definitions = self._context.definitions.current
        if definitions is self._definitions:
            return
        self._definitions = definitions
        self.decider.set_definitions(definitions)
        added = definitions.by_receiver.keys() - self._index.receivers
        if added:
            self.scanner.unsearched |= added
            self.barrier.receivers_added(added)
        self._index.receivers = definitions.by_receiver.keys()

    def _scan(self, events: Sequence[Event]) -> None:
        """Adopts every waiting task. Also searches the index if one of these events has no taker."""
        began = self._clock.monotonic()
        try:
            # Check before each poll, so that a process that was frozen takes no tasks that the new
            # leader is looking for. If it is frozen just afterwards, the poll is too late to leave.
            self.heartbeat.check()
            for tasks in self.scanner.scan(lambda: self.heartbeat.certain_until):
                self.adopt(tasks)
                self.heartbeat.check()
            if self.barrier.may_look() and self.decider.lacks_taker(events):
                for tasks in self.scanner.search():
                    self.adopt(tasks)
        except ConductorError:
            metrics.SWEEPS.labels("failed").inc()
            self.heartbeat.check()  # a poll that was too late says nothing about Conductor
            raise
        self._scanned_at = self._clock.monotonic()
        metrics.SWEEPS.labels("done").inc()
        metrics.SWEEP_SECONDS.observe(self._scanned_at - began)
        self._reporter.discovery(self._index)

    # --- found tasks: what the store refuses is narrowed down to single ones ---

    def adopt(self, tasks: Sequence[Task], suspects: bool = False) -> None:
        """Stores the tasks; new ones wait from now on. Raises LeadershipLost and StoreUnavailable.

        `suspects` may have been handed out by the queue earlier, when they couldn't be read.
        """
        self._context.health.beat("the loop")
        now = self._store.now()
        tasks = [
            replace(task, broken=parse_task(task)[1], seen_at=task.seen_at or now) for task in tasks
        ]
        self.decider.read_versions_again(tasks)
        fresh = self._store_tasks(tasks)
        self.decider.add_tasks(fresh)
        for task in fresh:
            _log_waiting(task)
        if not suspects and any(task.found_by == "index" for task in fresh):
            self._reporter.found_by_index_alone(self.barrier)

    def _store_tasks(self, tasks: Sequence[Task]) -> list[Task]:
        """Stores the tasks, and returns those that are new. The ones that the store refuses are set
        aside."""
        fresh: list[Task] = []

        def adopt(some: Sequence[Task]) -> None:
            # As the store commits them: those before a refused one are known here too.
            for part in steps(some):
                fresh.extend(self._store.tasks.adopt(self.term, part, self._store.now()))

        try:
            refused = failing_items(tasks, adopt)
        except Exception:
            if any(task.found_by == "queue" for task in tasks):  # no queue hands them out again
                self.barrier.poll_lost(sent=float("-inf"))
            raise
        for task, error in refused:
            self.decider.quarantine.task_failed(task.id, error, partial(self.adopt, [task]))
        return fresh

    def _wait_again(self, returned: Sequence[Task]) -> None:
        def wait(tasks: Sequence[Task]) -> None:
            self._store.tasks.wait_again(self.term, [task.id for task in tasks])
            self.decider.add_tasks(tasks)

        quarantine = self.decider.quarantine
        due = [task for task in returned if not quarantine.has_task(task.id)]
        for task, error in failing_items(due, wait):
            quarantine.task_failed(task.id, error, partial(wait, [task]))

    def drop(self, task_ids: Sequence[str]) -> None:
        """These tasks no longer wait: they are over, or a person has forgotten them. Raises
        LeadershipLost and StoreUnavailable."""

        def drop(ids: Sequence[str]) -> None:
            self._store.tasks.drop(self.term, ids, self._store.now())
            self.decider.drop_tasks(ids)

        # The next discovery finds out that it has ended.
        for task_id, error in failing_items(task_ids, drop):
            self.decider.quarantine.task_failed(task_id, error, lambda: None)
        log.info("tasks no longer wait: Conductor has ended or lost them", tasks=some_of(task_ids))

    def _searched(self, moment: int) -> None:
        """The index was searched up to then, by the server's clock."""
        self._reporter.searched(
            moment, self._definitions.by_receiver.keys() - self.scanner.unsearched
        )

    # --- whether Conductor can be used ---

    def _see_server(self, right_at: int, absent: Sequence[str]) -> None:
        """When Conductor was last the right server; and the tasks that it doesn't know, if it is
        another one now."""
        self.decider.addressed.right_at = right_at
        self._reporter.server(right_at, absent)

    def _conductor_answers(self) -> None:
        if self._failures:
            log.info("Conductor answers again")
            self.barrier.index_may_lack_tasks()
            self._discovery.conductor_was_away()
        self._failures = 0
        metrics.CONDUCTOR_UP.set(True)
        self._executor.conductor_is_up()
        self._reporter.conductor("up")
        self._reporter.offset(round(self._context.conductor.server_clock.offset))

    def _conductor_is_away(self, error: ConductorError) -> None:
        self._failures += 1
        metrics.CONDUCTOR_UP.set(False)
        pause = min(_LONGEST_PAUSE, wait_before(self._failures))
        log.warning(
            "Conductor can't be used; trying again",
            error=str(error),
            url=without_user(self._context.settings.conductor_server_url),
            seconds=round(pause, 2),
        )
        self._reporter.conductor(str(error))
        self.barrier.index_may_lack_tasks()
        self._reporter.unreconciled(True)
        self._stop.wait(pause)

    # --- other threads ---

    def wake(self) -> None:
        """There may be something to decide. Safe in signal handlers."""
        self._listener.wake()

    def renew(self) -> None:
        """Renews the term. Raises StoreUnavailable."""
        if not self.heartbeat.renew():
            self.wake()

    def discover(self) -> None:
        """Searches the index besides the scans. Raises ConductorError, StoreUnavailable, or
        TermOver."""
        if not self.scanner.searched_to:
            return
        missing = self._discovery.missing
        forgotten = self._store.tasks.not_waiting(list(missing.tasks))
        if forgotten:
            self._send(partial(self.drop, forgotten))
        try:
            for found in self._discovery.run(self.scanner.searched_to):
                self._send(partial(self._handle, found))
        finally:
            absent = list(missing.tasks) if missing.is_another_server else []
            self._send(partial(self._see_server, missing.right_at, absent))
        # Last, since what was found must be stored by then.
        self._send(partial(self._searched, self._discovery.searched_to))

    def _handle(self, found: Found) -> None:
        """Takes in what a discovery has found."""
        match found:
            case Ended(task_ids):
                self.drop(task_ids)
            case Reconciled(began, read):
                unread = frozenset(self._index.receivers) - read
                if self.barrier.reconciled(began, unread):
                    self._reporter.unreconciled(False)
                else:
                    self._discovery.reconcile_again()
            case _:
                self.adopt(found)

    def read_suspects(self) -> None:
        """Retries the unreadable tasks and workflows that are due.

        Raises ConductorError, StoreUnavailable, or TermOver.
        """
        try:
            for tasks in self._index.retry():
                self._send(partial(self.adopt, tasks, suspects=True))
        finally:
            self._index.suspects.show(self._store)

    def check(self) -> None:
        """Finds out more about Conductor, once it has answered. Raises ConductorError and
        StoreUnavailable."""
        if self.scanner.searched_to:
            self.checks.run(self._definitions)
            if self.heartbeat.over:  # the term ended meanwhile
                metrics.WORKFLOW_PROBLEMS.set(0)

    def extend_timeouts(self) -> None:
        """Extends the time-outs of the receivers' waiting tasks, and of tasks that events have
        taken."""
        self._timeouts.extend(self.decider.tasks, self._definitions.by_receiver, self.heartbeat)

    def _send(self, message: Callable[[], None]) -> None:
        """Runs it on the loop's thread. Raises TermOver if the term ends first, or is about to and
        there is no room."""
        while not self.heartbeat.over:
            if len(self.inbox) < self._tuning.inbox:
                self.inbox.put(message)
                self.wake()
                return
            if self._stop.wait(_FULL_GAP):
                break
        raise TermOver


def _log_waiting(task: Task) -> None:
    broken = {"broken": task.broken} if task.broken else {}
    log.info(
        "task waits",
        task_id=task.id,
        workflow=task.workflow,
        workflow_id=task.workflow_id,
        reference_name=task.reference_name,
        found_by=task.found_by,
        **broken,
    )
