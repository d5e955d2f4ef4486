"""The scheduled search of the index, besides the scans: finds what they missed, and what has ended.

From time to time it begins a reconciliation (`worker.discovery.reconciliation`), of which each
discovery reads a part. Where one part of a discovery fails, the others are done all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from store.records import Task
from store.sql.waiting import WaitingTasks
from worker.conductor.client import HANDED_OUT_WITHIN, Conductor
from worker.conductor.errors import ConductorError
from worker.conductor.responses import TaskStatus
from worker.discovery.index import LAG, Index
from worker.discovery.missing import Missing
from worker.discovery.reconciliation import Reconciliation
from worker.discovery.scanner import OVERLAP

STEP = 500
"""Workflows that are read in one step of a reconciliation."""
_RECONCILE_EVERY = 40
"""Discoveries between two reconciliations."""
AGAIN_AFTER = 60.0
"""Seconds until receivers that aren't complete are read again; each time as many more."""
SETTLED = HANDED_OUT_WITHIN + 2.0
"""Seconds after an outage until running workflows tell which tasks are in no queue."""
_EMPTY_EVERY = 120.0
"""Seconds between two reconciliations while the index shows nothing: either nothing waits, or
indexing is off."""
_REST = 9
"""Running workflows aren't read for this many times as long as a step took: they are a tenth of the
time."""
_CHECKS = 50
"""Waiting tasks whose status is requested one by one at each discovery, and as many missing ones.
"""
_WITNESSES = 20
"""Waiting tasks that are asked for to tell whether the server is the right one, and as many settled
ones."""
_NEVER = float("-inf")


@dataclass(frozen=True)
class Ended:
    """Tasks that, according to Conductor, no longer wait."""

    task_ids: list[str]


@dataclass(frozen=True)
class Reconciled:
    """All running workflows were read, as far as they could be."""

    began: int
    """In Unix milliseconds by the store's clock."""
    complete: bool
    """Whether every receiver is complete, as far as this server ever shows its workflows. If not,
    another one follows once it is."""


Found = list[Task] | Ended | Reconciled
"""What a discovery finds."""


class Discovery:
    """For one thread."""

    def __init__(
        self,
        conductor: Conductor,
        index: Index,
        waiting: WaitingTasks,
        settled_by: Callable[[int, int], list[str]],
        step: int = STEP,
    ):
        """`settled_by`: moment and number → the last tasks that had been settled by then. `step`:
        running workflows that are read at each discovery."""
        self._conductor = conductor
        self._index = index
        self._waiting = waiting
        self._settled_by = settled_by
        self.missing = Missing()
        self._clock = index.clock
        self._step = step
        self._runs = 0
        """Discoveries that have found all waiting tasks."""
        self._reconciliation: Reconciliation | None = None
        self._began = _NEVER
        """When it began."""
        self._passes = 0
        """How often it was told that everything was read."""
        self._again_at = self._read_not_before = _NEVER
        self._back_at = _NEVER
        """When Conductor came back. Other threads set it."""
        self._empty_since: float | None = None
        """When the last reconciliation began, if the index has shown nothing since."""
        self._checked_to = ""
        """The last waiting task whose status was requested in its turn."""
        self._ended = set[str]()
        """Tasks that have ended according to the index."""
        self.searched_to = 0

    def conductor_was_away(self) -> None:
        """Conductor may have been killed between updating its store and its index: the next run
        begins a reconciliation, and one a minute later another. Thread-safe."""
        self._back_at = self._clock.monotonic()

    def run(self, searched_to: int) -> Iterator[Found]:
        """One discovery: yields waiting tasks, those that have ended, and that all running
        workflows were read. `searched_to` is the scanner's.

        Raises ConductorError, at its end, and StoreUnavailable.
        """
        failures: list[ConductorError] = []
        for part in (self._search(searched_to), self._reconcile(), self._check()):
            try:
                yield from part
            except ConductorError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    # --- what waits ---

    def _search(self, searched_to: int) -> Iterator[list[Task]]:
        """Yields waiting tasks that the index shows, and asks it which have ended."""
        now, began = self._conductor.server_now(), self._clock.monotonic()
        begins = self._is_reconciliation_due(began)
        if begins:
            self._begin(began)
        reads_all = begins or self._empty_since is not None
        since = 0 if reads_all else max(0, (self.searched_to or searched_to) - OVERLAP)
        seen = set[str]()
        took = yield from self._index.search(
            since, seen, must_show=lambda: reads_all and self._one_waits()
        )
        if took is None and self._is_read:
            self._begin(began)
        if seen:
            self._empty_since = None
        elif begins:
            self._empty_since = began
        self._runs += 1
        self._ended = self._index.ended_since((self.searched_to or now - 3_600_000) - OVERLAP)
        self.searched_to = now

    def _one_waits(self) -> bool:
        """Whether a task waits that a working index shows: one that is empty after all tasks have
        ended is right."""
        asked = self._waiting.seen_by(self._conductor.now() - LAG, 1)
        statuses = self._index.statuses_of(asked).values()
        return any(status is not None and not status.terminal for status in statuses)

    # --- through the running workflows ---

    @property
    def _is_read(self) -> bool:
        return self._reconciliation is None or self._reconciliation.is_read

    def _is_reconciliation_due(self, now: float) -> bool:
        """Whether this discovery begins a reconciliation."""
        if self._began < self._back_at or self._began < self._back_at + SETTLED <= now:
            return True
        is_empty_for_long = (
            self._empty_since is not None and now >= self._empty_since + _EMPTY_EVERY
        )
        return self._is_read and (self._runs % _RECONCILE_EVERY == 0 or is_empty_for_long)

    def _begin(self, now: float) -> None:
        former = self._reconciliation
        self._reconciliation = Reconciliation(
            self._index, self._waiting, self._conductor.now(), former
        )
        self._began, self._passes = now, 0

    def _reconcile(self) -> Iterator[list[Task] | Reconciled]:
        """Reads the next running workflows, and yields their unknown tasks."""
        one, began = self._reconciliation, self._clock.monotonic()
        if one is None or began < self._read_not_before:
            return
        if one.is_read and self._passes and began >= self._again_at:
            one.read_incomplete_again()
        was_read = one.is_read
        try:
            yield from one.step(self._step)
        finally:
            self._read_not_before = began + (1 + _REST) * (self._clock.monotonic() - began)
        self._index.workflows_are_read()
        if one.is_complete:
            self._reconciliation = None
            yield Reconciled(one.began, complete=True)
        elif one.is_read and not was_read:
            self._passes += 1
            self._again_at = began + AGAIN_AFTER * self._passes
            yield Reconciled(one.began, complete=False)

    # --- what has ended ---

    def _check(self) -> Iterator[Ended]:
        """Requests the status of the next few waiting tasks, and of those that have ended according
        to the index, which alone is no proof. Yields those that are over."""
        began, ended = self._conductor.now(), self._waiting.among(self._ended)
        answers = self._index.statuses_of([*dict.fromkeys((*sorted(ended), *self._turn()))])
        was_another = self.missing.is_another_server
        over = self.missing.judge(began, answers, self._is_right_server(answers), ended)
        self._ended = set()
        if over:
            yield Ended(over)
        # Meanwhile calls may have given up tasks that wait.
        if was_another and not self.missing.is_another_server:
            self.conductor_was_away()

    def _turn(self) -> list[str]:
        """The next few waiting tasks, in rotation, and of the missing ones. No more if many wait."""
        missing = self.missing.tasks
        first = list(islice(missing, _CHECKS))
        known = self._waiting.among(first)
        for task_id in first:
            if task_id not in known:
                del missing[task_id]
        page = self._waiting.page(self._checked_to, _CHECKS)
        self._checked_to = page[-1] if len(page) == _CHECKS else ""
        others = [task_id for task_id in page if task_id not in missing]
        return [*others, *(task_id for task_id in first if task_id in known)]

    def _is_right_server(self, answers: Mapping[str, TaskStatus | None]) -> bool:
        """Whether the server knows a task, waiting or ended, by which the right one is told; or
        knows all, while no such task waits."""
        moment, missing = self.missing.right_at, self.missing.tasks
        shown = [task_id for task_id, status in answers.items() if status is not None]
        if self._waiting.among(shown, seen_by=moment):
            return True
        waiting = self._waiting.seen_by(moment, len(missing) + len(answers) + _WITNESSES)
        if len(shown) == len(answers):
            return bool(answers) and not waiting and not missing
        others = (
            task_id for task_id in waiting if task_id not in missing and task_id not in answers
        )
        witnesses = [*islice(others, _WITNESSES), *self._settled_by(moment, _WITNESSES)]
        return any(status is not None for status in self._index.statuses_of(witnesses).values())
