"""What a leader finds out about Conductor, and reports: in metrics, in the log, and in the store,
for people."""

from __future__ import annotations

import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

import structlog

from config.logs import some_of
from config.webhooks import Definitions
from store.clock import MonotonicClock
from store.errors import StoreUnavailable
from store.processes import WorkerStore
from store.reports import Reports
from worker import metrics
from worker.conductor.errors import ConductorError
from worker.conductor.workflow_definitions import check_workflows
from worker.context import Context
from worker.discovery.index import Index
from worker.discovery.missing import Missing
from worker.discovery.probe import missing_calls
from worker.discovery.suspects import KINDS
from worker.discovery.watermark import Known
from worker.misfits import misfits_of

log = structlog.get_logger()

_OFFSET_CHANGE = 5
"""Milliseconds by which the clocks' offset must change before it is reported again."""
_TAKEN_BACK = 100_000
"""Set-aside items of a kind that a new leader takes back."""
_ALONE_EVERY = 3_600_000
"""Milliseconds after which it is recorded again that tasks are found by the index alone."""
CHECKS_EVERY = 300.0
"""Seconds between two checks of the same definitions."""
_WORKFLOWS_TAKE = 60.0
"""Seconds that comparing definitions with Conductor's workflows takes at most: here nobody waits
for it."""


class ReportWriter:
    """Writes reports, each only if it differs from what was last written here. For one thread."""

    def __init__(self, store: WorkerStore):
        self._store = store
        self.written = Reports()

    def write(self, news: Reports) -> bool:
        """Whether anything was written: nothing may have changed, or the store be unavailable."""
        after = self.written.updated(news)
        if after == self.written:
            return False
        try:
            self._store.reports.write(news)
        except StoreUnavailable:
            return False
        self.written = after
        return True


class Reporter:
    """Belongs to one term. What can't be written because the store is unavailable is written when
    it next comes up."""

    def __init__(self, store: WorkerStore, clock: MonotonicClock = time) -> None:
        self._store = store
        self._clock = clock
        self._reports = ReportWriter(store)
        self._alone_at = 0
        self._searched_for: AbstractSet[str] | None = None
        """The receivers that this leader last recorded as searched for."""

    # --- Conductor ---

    def conductor(self, text: str) -> None:
        """``up``, or why Conductor can't be used."""
        self._reports.write(Reports(conductor=text))

    def offset(self, offset: int) -> None:
        """The clocks' offset, for explanations, which compare Conductor's times with ours as the
        decider does."""
        written = self._reports.written.clock_offset
        if written is None or abs(offset - written) > _OFFSET_CHANGE:
            self._reports.write(Reports(clock_offset=offset))

    # --- discovery ---

    def discovery(self, index: Index) -> None:
        """Reports how tasks are found, if that has changed."""
        way: str = index.way
        if index.reason:
            way += f": {index.reason}"
        if index.proven and self._reports.write(Reports(discovery=way)):
            if index.way == "workflows":
                log.warning(
                    "waiting tasks can't be searched: reading all running workflows",
                    reason=index.reason,
                )
            else:
                log.info("waiting tasks are searched", way=way)
            metrics.discovery_way(index.way)

    def index_fails(self, reason: str) -> None:
        """Reports why the index can't be searched; empty if it can."""
        self._reports.write(Reports(index_fails=reason))

    def found_by_index_alone(self) -> None:
        """Reports a task that no queue has handed out. Raises StoreUnavailable."""
        now = self._store.now()
        if abs(now - self._alone_at) > _ALONE_EVERY:
            log.info(
                "a task was found by the index alone: every scan searches the index from now on"
            )
            self._store.reports.write(Reports(found_by_index_alone_at=now))
            self._alone_at = now

    def searched(self, moment: int, receivers: AbstractSet[str]) -> None:
        """Records up to when, by the server's clock, and for which receivers' tasks the index was
        searched, and that what was found is stored. Raises StoreUnavailable."""
        report = Reports(index_searched_to=moment)
        if receivers != self._searched_for:
            report = replace(report, index_searched_for=receivers)
        self._store.reports.write(report)
        self._searched_for = receivers

    def searched_for(self) -> set[str]:
        """The receivers for whose tasks the last leader searched the index. Raises
        StoreUnavailable."""
        return set(self._store.reports.read().index_searched_for or ())

    def server(self, right_at: int, absent: Sequence[str]) -> None:
        """Reports when Conductor was last the right server; and the tasks that it doesn't know, if
        it is another one now."""
        self._reports.write(Reports(right_server_at=right_at))
        metrics.ANOTHER_SERVER.set(bool(absent))
        tasks = some_of(sorted(absent))
        if self._reports.write(Reports(another_server=", ".join(tasks))) and tasks:
            what = (
                "Conductor knows none of the tasks that waited before: it is another server, or"
                " empty. They are kept"
            )
            log.error(what, tasks=tasks)

    # --- what a predecessor has reported ---

    def recall(self, missing: Missing) -> int:
        """Initializes this from the store; returns up to when the index was searched. Raises
        StoreUnavailable.

        Takes back the tasks and workflows that were set aside: those that still fail are set aside
        again.
        """
        reports = self._store.reports.read()
        self._alone_at = reports.found_by_index_alone_at or 0
        missing.right_at = self._store.now()
        if reports.right_server_at is not None:
            missing.right_at = reports.right_server_at
        for kind in KINDS:
            items = self._store.quarantine.items(kind, limit=_TAKEN_BACK)
            self._store.quarantine.take_back(kind, [item.id for item in items])
        return reports.index_searched_to or 0

    def known(self) -> Known:
        """What the last leader knew of the tasks. Raises StoreUnavailable."""
        return Known.read(self._store.reports.read().watermark or "")

    def save(self, known: Known) -> None:
        """Keeps it for the next leader. Raises StoreUnavailable."""
        self._store.reports.write(Reports(watermark=known.text()))


class Checks:
    """What is checked about Conductor. Of one term. For one thread."""

    def __init__(self, context: Context):
        self._store = context.store
        self._conductor = context.conductor
        self._clock = context.clock
        self._reports = ReportWriter(context.store)
        self._missing_calls: str | None = None
        self._due = float("-inf")
        self._checked: Definitions | None = None
        self._failure = ""
        """Why workflow definitions couldn't be read, in the log's words."""

    def run(self, definitions: Definitions) -> None:
        """Checks new definitions at once, and the same ones from time to time. Raises
        ConductorError and StoreUnavailable."""
        now = self._clock.monotonic()
        if definitions is self._checked and now < self._due:
            return
        self._calls(definitions)
        self._workflows(definitions)
        self._checked, self._due = definitions, now + CHECKS_EVERY

    def _calls(self, definitions: Definitions) -> None:
        """Finds out which calls can't be made before an event needs them, until none is missing."""
        if self._missing_calls == "":
            return
        missing = "; ".join(map(str, missing_calls(self._conductor, definitions.starts)))
        if missing != self._missing_calls:
            if missing:
                log.error("some calls to Conductor can't be made", error=missing)
            self._store.reports.write(Reports(missing_calls=missing))
            self._missing_calls = missing

    def _workflows(self, definitions: Definitions) -> None:
        """Compares the definitions with Conductor's workflows."""
        try:
            checked = check_workflows(self._conductor, definitions, seconds=_WORKFLOWS_TAKE)
        except ConductorError as error:
            self._note(str(error))
            return
        self._note(checked.unread)
        metrics.WORKFLOW_PROBLEMS.set(len(checked.problems))
        misfits = misfits_of(checked.problems)
        if self._reports.write(Reports(misfits=misfits)) and misfits:
            causes = list(map(str, misfits))
            log.warning("webhooks don't fit Conductor's workflow definitions", problems=causes)

    def _note(self, failure: str) -> None:
        """Logs why workflow definitions can't be read, once for each reason."""
        if failure and failure != self._failure:
            log.warning(
                "not all receivers, starts and messages can be checked against Conductor's"
                " workflows",
                error=failure,
            )
        self._failure = failure
