"""One worker's term as leader: owns everything that the term knows, and is dropped when it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor as Pool
from dataclasses import dataclass, replace
from functools import partial

import structlog

from config.logs import some_of
from config.urls import without_user
from criteria.matches import BadMatches, Criteria
from store.records import Task
from store.sql.tasks import Asks
from worker import metrics
from worker.conductor.errors import ConductorError
from worker.context import Context, Inbox
from worker.decision.decider import Decider, Request
from worker.decision.keys import asks_of
from worker.decision.lookups import Lookups
from worker.delivery.executor import Executor
from worker.discovery.discovery import Discovery, Ended, Found, Reconciled
from worker.discovery.index import Index
from worker.discovery.scanner import Scanner
from worker.discovery.watermark import LOOK_GAP, Watermark
from worker.leader.heartbeat import Heartbeat
from worker.leader.reporting import Checks, Reporter
from worker.leader.task_timeouts import TaskTimeouts
from worker.retries import failing_items, wait_before

log = structlog.get_logger()

_EVENTS_A_DECISION = 500
_READ_AGAIN = 1000
"""Tasks that look for an event again in one round, after a reconciliation."""
_RECENT = 600_000
"""Milliseconds for which times of tasks are corrected when Conductor's clock turns out otherwise."""
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
        self._listener = listener = store.signals.listener("events")
        self._lookups = Lookups(store, conductor, pools.workflows, listener, clock)
        self._skew = settings.bridge_clock_skew
        self.decider = Decider(store, term, self._lookups, timeouts, self._skew)
        self._reporter = Reporter(store, clock)
        self.watermark = Watermark(
            self._reporter.known(),
            self._reporter.save,
            settings.bridge_call_timeout,
            tuning.search_gap,
        )
        self.checks = Checks(context)
        self._index = Index(conductor, pools.index, store.waiting.among, clock)
        self.scanner = Scanner(
            conductor, self._index, self.watermark, term.holder, settings.bridge_task_domains
        )
        self._discovery = Discovery(conductor, self._index, store.waiting, store.tasks.settled_by)
        self._scan_not_before = float("-inf")
        """While Conductor is away."""
        self._read_again_after: str | None = None
        """The last task that was to look for an event again; None if none is to."""
        self._offset: float | None = None
        """Conductor's clock's, by which tasks' times were last converted."""
        self.inbox = Inbox("the leader")
        self._scanned_at = float("-inf")
        # A predecessor that died may have polled just then. Conductor then hands out these tasks to
        # no other poll, and soon only its index knows them.
        if term.predecessor is not None:
            self.watermark.owe_look(term.predecessor_until)
        self._failures = 0

    def load(self) -> None:
        """Reads everything from the store. Raises LeadershipLost and StoreUnavailable."""
        started = self._clock.monotonic()
        self._context.health.progress.leads()
        self.decider.set_definitions(self._definitions)
        self._index.receivers = receivers = self._definitions.by_receiver.keys()
        self._timeouts.load()
        self.scanner.searched_to = self._reporter.recall(self._discovery.missing)
        if self.scanner.searched_to:
            self.scanner.unsearched |= receivers - self._reporter.searched_for()
        metrics.DECIDING.set(1)
        log.info(
            "this worker is leader",
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
        if not self.decide():
            due = min(
                self.watermark.look_due_in(self._store.now()),
                self._lookups.due_in(),
                max(0.0, self._scan_not_before - self._clock.monotonic()),
            )
            self._listener.wait(min(self._context.settings.bridge_poll_interval, due))

    def decide(self) -> bool:
        """One scan and the decisions after it; True if there is more to decide right away. What is
        known is decided while Conductor is away, too."""
        store, executor, decider = self._store, self._executor, self.decider
        self._use_definitions()
        self.inbox.handle()
        tuning = self._tuning
        gap = tuning.busy_scan_gap if executor.busy else tuning.scan_gap
        self._stop.wait(self._scanned_at + gap - self._clock.monotonic())
        agenda = store.decisions.agenda(_EVENTS_A_DECISION, decider.waiting)
        decider.set_paused(agenda.paused)
        if any(event.webhook not in self._definitions.by_name for event in agenda.undecided):
            self._context.definitions.check()
            self._use_definitions()
        if self._clock.monotonic() >= self._scan_not_before:
            try:
                self._scan()
                self._conductor_answers()
            except ConductorError as error:
                self._conductor_is_away(error)
        self._read_again()
        request = Request(
            agenda.undecided,
            agenda.freed,
            self.scanner.began,
            store.now(),
            executor.free,
            self.watermark,
        )
        claimed = decider.decide(request)
        # Before anything that may fail: no other worker makes these calls until their claims run
        # out.
        executor.submit(claimed)
        self._reporter.index_fails(self.scanner.failure)
        if decider.newly_held:
            self.watermark.want_look(store.now())  # an index may know a task a moment later
        if decider.decided:
            executor.wake()
        return agenda.more or decider.unfinished

    def _read_again(self) -> None:
        """Has the next few tasks look for an event again, after a reconciliation."""
        if self._read_again_after is not None:
            joins = self._store.joins
            self._read_again_after = (
                joins.read_again(self.term, self._read_again_after, _READ_AGAIN) or None
            )

    def _use_definitions(self) -> None:
        definitions = self._context.definitions.current
        if definitions is self._definitions:
            return
        self._definitions = definitions
        self.decider.set_definitions(definitions)
        added = definitions.by_receiver.keys() - self._index.receivers
        if added:
            self.scanner.unsearched |= added
        self._index.receivers = definitions.by_receiver.keys()

    def _scan(self) -> None:
        """Adopts every waiting task."""
        began = self._clock.monotonic()
        try:
            # Check before each poll, so that a process that was frozen takes no tasks that the new
            # leader is looking for. If it is frozen just afterwards, the poll is too late to leave.
            self.heartbeat.check()
            for tasks in self.scanner.scan(lambda: self.heartbeat.certain_until):
                self.adopt(tasks)
                self.heartbeat.check()
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
        found = [self._found(task, now) for task in tasks]
        versioned = {task.workflow_id for task, _ in found if self._names_versions(task.workflow)}
        if versioned:  # a workflow that is restarted or upgraded may have another version
            self._lookups.read_again(versioned)
        fresh = self._store_tasks(found, now)
        for task in fresh:
            self._timeouts.add(task)
            _log_waiting(task)
        if not suspects and any(task.found_by == "index" for task in fresh):
            self.watermark.found_alone(now)
            self._reporter.found_by_index_alone()

    def _found(self, task: Task, now: int) -> tuple[Task, Asks | None]:
        """The task as it is kept, and what it asks for."""
        asks, broken = None, None
        try:
            asks = asks_of(Criteria.parse(task.matches))
        except BadMatches as error:
            broken = str(error)
        scheduled_at = round(self._context.conductor.server_clock.to_local(task.scheduled_at))
        if task.found_by == "queue" and task.seen_at:
            # Whatever the clocks say, it was scheduled before the poll's answer.
            scheduled_at = min(scheduled_at, task.seen_at)
        kept = replace(
            task,
            broken=broken,
            seen_at=task.seen_at or now,
            shown_at=task.scheduled_at,
            scheduled_at=scheduled_at,
            adopted_at=now,
        )
        return kept, asks

    def _names_versions(self, workflow: str) -> bool:
        """Whether any webhook receives only some versions of it."""
        webhooks = self._definitions.by_receiver.get(workflow, ())
        return any(webhook.receivers[workflow] is not None for webhook in webhooks)

    def _store_tasks(self, found: Sequence[tuple[Task, Asks | None]], now: int) -> list[Task]:
        """Stores the tasks, and returns those that are new. The ones that the store refuses are set
        aside."""
        fresh: list[Task] = []
        holds = {
            workflow: max(int(webhook.hold * 1000) for webhook in webhooks)
            for workflow, webhooks in self._definitions.by_receiver.items()
        }

        def adopt(some: Sequence[tuple[Task, Asks | None]]) -> None:
            fresh.extend(self._store.tasks.adopt(self.term, some, now, holds))

        try:
            refused = failing_items(found, adopt)
        except Exception:
            if any(task.found_by == "queue" for task, _ in found):  # no queue hands them out again
                self.watermark.owe_look(now)
            raise
        for (task, _), error in refused:
            again = replace(task, scheduled_at=task.shown_at)
            self.decider.quarantine.task_failed(task.id, error, partial(self.adopt, [again]))
        return fresh

    def drop(self, task_ids: Sequence[str]) -> None:
        """These tasks no longer wait: they are over, or a person has forgotten them. Raises
        LeadershipLost and StoreUnavailable."""

        def drop(ids: Sequence[str]) -> None:
            self._store.tasks.drop(self.term, ids, self._store.now())
            for task_id in ids:
                self.decider.quarantine.task_is_gone(task_id)

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
        self._reporter.server(right_at, absent)

    def _conductor_answers(self) -> None:
        now = self._store.now()
        outage = self.watermark.conductor_is_back(now)
        if outage is not None:
            # While it was away no task could come to wait.
            self._store.joins.lengthen_holds(self.term, outage.since, outage.until)
        if self._failures:
            log.info("Conductor answers again")
            self._discovery.conductor_was_away()
        self._failures = 0
        self._correct_times(now)
        metrics.CONDUCTOR_UP.set(True)
        self._executor.conductor_is_up()
        self._reporter.conductor("up")

    def _correct_times(self, now: int) -> None:
        """Converts the times of recent tasks again if Conductor's clock turns out otherwise."""
        offset = self._context.conductor.server_clock.offset
        self._reporter.offset(round(offset))
        if self._offset is not None and abs(offset - self._offset) > self._skew * 1000:
            self._store.joins.convert(self.term, round(offset), now - _RECENT)
            self._offset = offset
        self._offset = offset if self._offset is None else self._offset

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
        self.watermark.conductor_is_away(self._store.now())
        self._scan_not_before = self._clock.monotonic() + pause

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
            case Reconciled(began, complete):
                self.watermark.reconciled(began, complete)
                # Heals whatever was forgotten.
                self._read_again_after = ""
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
        self._timeouts.extend(self._definitions.by_receiver, self.heartbeat)

    def forget_keys(self, limit: int) -> int:
        """Forgets up to this many events' keys by which no task joins them any more; returns how
        many. Raises StoreUnavailable."""
        return self.decider.forget_keys(self.watermark, limit)

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
