"""The scheduled search of the index, besides the scans: finds what they missed, and what has ended.

A Conductor that is killed after storing that a task was polled, but before updating its index, leaves a task that no
queue hands out and no search ever finds (measured). Only its workflow shows it. So from time to time a reconciliation
reads all running workflows, and finds which of their waiting tasks the index doesn't know.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass

import structlog

from store.records import Task
from worker.conductor.client import Conductor
from worker.conductor.errors import BrokenOff, ConductorError
from worker.discovery.index import CANNOT, LAG, Index, Seen
from worker.discovery.scanner import OVERLAP

log = structlog.get_logger()

STEP = 500
"""Workflows that are read in one step of a reconciliation."""
_FULL_READ_EVERY = 40
"""Discoveries between two reconciliations."""
_CHECKS = 50
"""Waiting tasks whose status is requested one by one at each discovery, if there is no index."""


@dataclass(frozen=True)
class Outcome:
    """What a reconciliation found."""

    waiting: int
    """Waiting tasks."""
    unindexed: int
    """Waiting tasks that the index doesn't know although it has had time to."""


class Reconciliation:
    """Goes through all running workflows of the receivers, in steps. For one thread."""

    def __init__(self, index: Index, step: int = STEP):
        self._index = index
        self._step = step
        self.outcome: Outcome | None = None
        """The outcome, if the last step completed a reconciliation."""
        self._ahead: list[str] = []
        self._shown: set[str] = set()
        self._seen: set[str] = set()
        self._unindexed: set[str] = set()
        self._before = 0
        self._under_way = False

    def begin(self, shown: set[str], now: int) -> None:
        """Begins a new one. `shown`: the ids of all tasks that the index has just shown; `now`: the server's time just
        before that, in milliseconds. Raises ConductorError."""
        # Workflows without a known waiting task come first: a missed task is more likely there.
        occupied = self._index.known.workflow_ids()
        self._ahead = sorted(self._index.running(), key=occupied.__contains__)
        self._shown, self._before = set(shown), now - LAG
        self._seen, self._unindexed = set(), set()
        self._under_way = True

    def step(self, shown: set[str]) -> Iterator[list[Task]]:
        """Reads the next workflows, and yields their unknown tasks.

        `shown`: the ids of the tasks that the index has shown since the last step. Raises ConductorError; the next step
        then reads the same workflows again.
        """
        self.outcome = None
        if not self._under_way:
            return
        self._shown |= shown
        for tasks in self._index.waiting_in(self._ahead[: self._step]):
            if unknown := [task for task, _ in tasks if task.id not in self._index.known]:
                yield unknown
            self._seen |= {task.id for task, _ in tasks}
            self._unindexed |= {task.id for task, at in tasks if at < self._before and task.id not in self._shown}
        del self._ahead[: self._step]
        if not self._ahead:
            self.outcome = Outcome(len(self._seen), len(self._unindexed))
            self.end()

    def end(self) -> None:
        """Ends it, if one is in progress."""
        self._under_way = False
        self._ahead.clear()
        self._shown, self._seen, self._unindexed = set(), set(), set()


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
        self._runs = 0
        """Discoveries that have succeeded."""
        self._distrusted = False
        self.searched_to = 0
        self.outcome: Outcome | None = None
        """The outcome of the reconciliation that the last discovery completed; None if it completed none."""
        self._to_check: deque[str] = deque()
        """Tasks whose turn comes before those that wait by then."""

    def conductor_was_away(self) -> None:
        """Conductor may have been killed between updating its store and its index: the next run begins a
        reconciliation. Thread-safe."""
        self._distrusted = True

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
        reconciles = self._runs % _FULL_READ_EVERY == 0 or self._distrusted
        whole = reconciles or self._state.shown != "tasks"
        since = 0 if whole else max(0, (self.searched_to or searched_to) - OVERLAP)
        seen = Seen()
        if reconciles:
            self._distrusted = False
        try:
            yield from self._read(since, seen)
            if self._state.way != "workflows":  # a reconciliation reads them all anyway
                yield from self._reconcile(reconciles, seen.ids, now)
        except ConductorError:
            self._distrusted |= reconciles
            raise
        ended = self._index.ended_since((self.searched_to or now - 3_600_000) - OVERLAP)
        self.searched_to = now
        if awaited := self._index.awaited():  # the next leader, who doesn't know of them, finds them again
            oldest = min(since for since, _ in awaited.values())
            self.searched_to -= int((self._state.clock.monotonic() - oldest) * 1000)
        if seen.unidentified:  # keep searching for such a task at its old place until it can be read
            self.searched_to = max(1, min(self.searched_to, min(item.since for item in seen.unidentified) + OVERLAP))
        self._runs += 1
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
