"""The scheduled search of the index, besides the scans: finds what they missed, and what has ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass

import structlog

from store.records import Task
from worker.conductor.client import Conductor
from worker.conductor.errors import BrokenOff, ConductorError
from worker.discovery.index import CANNOT, Index, Seen
from worker.discovery.reconciliation import STEP, Outcome, Reconciliation
from worker.discovery.scanner import OVERLAP

log = structlog.get_logger()

_CHECKS = 50
"""Waiting tasks whose status is requested one by one at each discovery, if there is no index."""


@dataclass(frozen=True)
class Ended:
    """Tasks that, according to Conductor, no longer wait."""

    task_ids: list[str]


class Discovery:
    """For one thread."""

    def __init__(self, conductor: Conductor, index: Index, step: int = STEP):
        """`step`: running workflows that are read at each discovery."""
        self._conductor = conductor
        self._index = index
        self._state = index.state
        self._reconciliation = Reconciliation(index, step)
        self.searched_to = 0
        self.outcome: Outcome | None = None
        """The outcome of the reconciliation that the last discovery completed; None if it completed none."""
        self._to_check: deque[str] = deque()
        """Tasks whose turn comes before those that wait by then."""

    def run(self, searched_to: int) -> Iterator[list[Task] | Ended]:
        """One discovery: yields waiting tasks, and those that have ended. `searched_to` is the scanner's.

        Raises ConductorError.
        """
        self.outcome = None
        try:
            ended = yield from self._search(searched_to)
        except ConductorError:
            yield from self._check_some()  # while the index can't be searched, this is the only way
            raise
        # The index alone doesn't prove that a task has ended.
        yield from self._check(sorted(task_id for task_id in ended if task_id in self._index.known))
        yield from self._check_some(ended)

    def _search(self, searched_to: int) -> Generator[list[Task], None, set[str]]:
        """Finds waiting tasks; returns the ids of tasks that seem to have ended since the last discovery."""
        now = self._conductor.server_now()
        reconciles = self._state.reconciliation_is_due()
        since = 0 if self._state.reads_everything() else max(0, (self.searched_to or searched_to) - OVERLAP)
        seen = Seen()
        if reconciles:
            self._state.reconciliation_began()
        try:
            yield from self._read(since, seen)
            if self._state.way != "workflows":  # a reconciliation reads them all anyway
                yield from self._reconcile(reconciles, seen.ids, now)
        except ConductorError:
            if reconciles:
                self._state.reconciliation_broke_off()
            raise
        ended = self._index.ended_since((self.searched_to or now - 3_600_000) - OVERLAP)
        self.searched_to = now
        if awaited := self._index.awaited():  # the next leader, who doesn't know of them, finds them again
            oldest = min(since for since, _ in awaited.values())
            self.searched_to -= int((self._state.clock.monotonic() - oldest) * 1000)
        if seen.unidentified:  # keep searching for such a task at its old place until it can be read
            self.searched_to = max(1, min(self.searched_to, min(item.since for item in seen.unidentified) + OVERLAP))
        self._state.discovered()
        return ended

    def _read(self, since: int, seen: Seen) -> Iterator[list[Task]]:
        """Finds the tasks in progress that started after that time, however often the search breaks off."""
        while True:
            try:
                yield from filter(None, self._index.waiting_since(since, seen))
                return
            except BrokenOff as error:
                since = error.reached

    def _reconcile(self, begins: bool, shown: set[str], now: int) -> Iterator[list[Task]]:
        try:
            if begins:
                self._reconciliation.begin(shown, now)
            yield from self._reconciliation.step(shown)
            self.outcome = self._reconciliation.outcome
        except ConductorError as error:
            if error.status not in CANNOT:
                raise
            self._reconciliation.end()
            log.warning("running workflows can't be read: tasks missing from the index aren't found", error=str(error))

    def _check_some(self, without: Collection[str] = ()) -> Iterator[Ended]:
        """Requests the status of the next few waiting tasks, in rotation. Costs no more if many wait."""
        if not self._to_check:
            self._to_check.extend(self._index.known.ids())
        turn: list[str] = []
        while self._to_check and len(turn) < _CHECKS:
            task_id = self._to_check.popleft()
            if task_id in self._index.known and task_id not in without:
                turn.append(task_id)
        yield from self._check(turn)

    def _check(self, task_ids: Sequence[str]) -> Iterator[Ended]:
        """Requests the status of these tasks; yields those that have ended."""
        if ended := self._index.ended_of(task_ids):
            yield Ended(ended)
