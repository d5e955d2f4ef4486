"""The scheduled search of the index, besides the scans: finds what they missed, and what has ended.

A Conductor that is killed after storing that a task was polled, but before updating its index,
leaves a task that no queue hands out and no search ever finds (measured). Only its workflow shows
it. So from time to time a reconciliation reads the whole index and then, in steps, all running
workflows of the receivers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Container, Generator, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import structlog

from store.records import Task
from worker.conductor.client import Conductor
from worker.conductor.errors import ConductorError
from worker.conductor.responses import TaskStatus
from worker.discovery.index import CANNOT, LAG, NEVER, Index
from worker.discovery.missing import Missing
from worker.discovery.scanner import OVERLAP

log = structlog.get_logger()

STEP = 500
"""Workflows that are read in one step of a reconciliation."""
_RECONCILE_EVERY = 40
"""Discoveries between two reconciliations."""
AGAIN_AFTER = 60.0
"""Seconds until another reconciliation, after one that wasn't enough."""
_NOW, _NEVER = float("-inf"), float("inf")
_EMPTY_EVERY = 120.0
"""Seconds between two of them while the index shows nothing: either nothing waits, or indexing is
off."""
_READS_AT_MOST = 10
"""Reading all running workflows takes at most one part in this many of the time."""
_CHECKS = 50
"""Waiting tasks whose status is requested one by one at each discovery, and as many missing ones.
"""
_WITNESSES = 20
"""Waiting tasks that are asked for to tell whether the server is the right one, and as many settled
ones."""


@dataclass(frozen=True)
class Ended:
    """Tasks that, according to Conductor, no longer wait."""

    task_ids: list[str]


@dataclass(frozen=True)
class Reconciled:
    """The end of a reconciliation."""

    began: float
    """In seconds by the monotonic clock."""
    read: frozenset[str]
    """The receivers whose running workflows were all read, as far as this server ever shows them.
    """


@dataclass
class _Reconciliation:
    """One that is in progress."""

    began: float
    ahead: list[tuple[str, str]]
    """The workflows that it has still to read: ids with names."""
    listed: set[str]
    """The receivers whose workflows these are, as for `Index.running`."""


Found = list[Task] | Ended | Reconciled
"""What a discovery finds."""


class Known(Container[str], Protocol):
    """The ids of tasks known to wait."""

    def ids(self) -> list[str]:
        """All their ids."""

    def workflow_ids(self) -> set[str]:
        """Their workflows."""

    def seen_by(self, moment: int) -> list[str]:
        """The ids of those that were seen waiting by then, in Unix milliseconds by the bridge's
        clock."""


class Discovery:
    """For one thread."""

    def __init__(
        self,
        conductor: Conductor,
        index: Index,
        known: Known,
        settled_by: Callable[[int, int], list[str]],
        step: int = STEP,
    ):
        """`settled_by`: moment and number → the last tasks that had been settled by then. `step`:
        running workflows that are read at each discovery."""
        self._conductor = conductor
        self._index = index
        self._known = known
        self._settled_by = settled_by
        self.missing = Missing()
        self._clock = index.clock
        self._step = step
        self._runs = 0
        """Discoveries that have found all waiting tasks, whether or not they could tell which have
        ended."""
        self._reconciliation: _Reconciliation | None = None
        self._wanted_at = _NEVER
        """When a reconciliation is to begin, besides the regular ones."""
        self._empty_since: float | None = None
        """When the last reconciliation began, if the index has shown nothing since."""
        self._read_not_before = float("-inf")
        """When the running workflows may be read again, if there is no other way."""
        self._witness: tuple[str, float] | None = None
        """A task that is known, and since when."""
        self._to_check: deque[str] = deque()
        """Tasks whose turn comes before those that wait by then."""
        self.searched_to = 0

    def conductor_was_away(self) -> None:
        """Conductor may have been killed between updating its store and its index: the next run
        begins a reconciliation. Thread-safe."""
        self._wanted_at = _NOW

    def reconcile_again(self) -> None:
        """The last reconciliation wasn't enough: another begins a while after it. Thread-safe."""
        self._wanted_at = min(self._wanted_at, self._clock.monotonic() + AGAIN_AFTER)

    def run(self, searched_to: int) -> Iterator[Found]:
        """One discovery: yields waiting tasks, those that have ended, and that a reconciliation is
        complete. `searched_to` is the scanner's.

        Raises ConductorError.
        """
        try:
            ended = yield from self._search(searched_to)
        except ConductorError:
            yield from self._check()  # while the index can't be searched, this is the only way
            raise
        yield from self._check({task_id for task_id in ended if task_id in self._known})

    def _search(self, searched_to: int) -> Generator[Found, None, set[str]]:
        """Finds waiting tasks; returns the ids of tasks that seem to have ended since the last
        discovery."""
        now, began = self._conductor.server_now(), self._clock.monotonic()
        reconciles = self._reconciles(began)
        reads_all = reconciles or self._empty_since is not None
        since = 0 if reads_all else max(0, (self.searched_to or searched_to) - OVERLAP)
        if reconciles:
            self._wanted_at = _NEVER
        try:
            yield from self._find(since, began, reads_all, reconciles)
        except ConductorError:
            if reconciles:
                self._wanted_at = _NOW
            raise
        self._runs += 1
        ended = self._index.ended_since((self.searched_to or now - 3_600_000) - OVERLAP)
        self.searched_to = now
        return ended

    def _reconciles(self, now: float) -> bool:
        """Whether this discovery begins a reconciliation."""
        if now >= self._wanted_at:
            return True
        if self._reconciliation is not None:
            return False
        if self._runs % _RECONCILE_EVERY == 0:
            return True
        return self._empty_since is not None and now >= self._empty_since + _EMPTY_EVERY

    def _find(self, since: int, began: float, reads_all: bool, reconciles: bool) -> Iterator[Found]:
        """Yields the waiting tasks that started after `since`, and those of a reconciliation."""
        seen, listed = set[str](), set[str]()
        if self._index.way != "workflows" or began >= self._read_not_before:
            witness = self._find_witness(began)
            # An index that is empty after all tasks have ended is right.
            must_show = reads_all and witness is not None and self._waits(witness)
            waiting = self._index.waiting_since(since, seen, must_show=must_show, listed=listed)
            yield from filter(None, waiting)
            self._read_not_before = began + _READS_AT_MOST * (self._clock.monotonic() - began)
        if self._index.way == "workflows":  # all of them are read anyway
            if listed:
                yield Reconciled(began, frozenset(listed - self._index.unread_workflows()))
            elif reconciles or self._reconciliation is not None:
                self._wanted_at = _NOW  # but not now: such reads rest
            self._reconciliation = None
            return
        if seen:
            self._empty_since = None
        elif reconciles:
            self._empty_since = began
        yield from self._reconcile(began, reconciles)

    def _find_witness(self, now: float) -> str | None:
        """A task that has been known for so long that a working index shows it if it still waits;
        None if there is none."""
        if self._witness is None or self._witness[0] not in self._known:
            oldest = next(iter(self._known.ids()), None)
            self._witness = None if oldest is None else (oldest, now)
        if self._witness is None or now < self._witness[1] + LAG / 1000:
            return None
        return self._witness[0]

    def _reconcile(self, now: float, begins: bool) -> Iterator[Found]:
        """Begins a reconciliation, or reads the next workflows of the one in progress, if there is
        one; yields their unknown tasks.

        Raises ConductorError; the next discovery then reads the same workflows again.
        """
        try:
            if begins:
                self._reconciliation = self._begin(now)
            one = self._reconciliation
            if one is None:
                return
            was_all_read = not one.ahead
            yield from self._index.waiting_in(dict(one.ahead[: self._step]))
        except ConductorError as error:
            if error.status not in CANNOT:
                raise
            self._reconciliation = None
            log.warning(
                "running workflows can't be read: tasks missing from the index aren't found",
                error=str(error),
            )
            read = self._index.receivers if error.status in NEVER else ()
            yield Reconciled(now, frozenset(read))
            return
        del one.ahead[: self._step]
        unread = self._index.unread_workflows()
        # What can't be read is tried again until the next discovery, at which it ends.
        if was_all_read or not (one.ahead or unread):
            self._reconciliation = None
            yield Reconciled(one.began, frozenset(one.listed - unread))

    def _begin(self, now: float) -> _Reconciliation:
        listed = set[str]()
        running, known = self._index.running(listed), self._known.workflow_ids()
        interrupted = self._reconciliation.ahead if self._reconciliation is not None else []
        turns = {id_: turn for turn, (id_, _) in enumerate(interrupted)}

        def place(workflow: tuple[str, str]) -> tuple[bool, int]:
            """First come those without a known waiting task, as a missed one is more likely there,
            and of those the ones that weren't read before an interruption."""
            id_, _ = workflow
            return id_ in known, turns.get(id_, len(turns))

        return _Reconciliation(now, sorted(running.items(), key=place), listed)

    def _waits(self, task_id: str) -> bool:
        status = self._index.statuses_of([task_id]).get(task_id)
        return status is not None and not status.terminal

    def _turn(self) -> list[str]:
        """The next few waiting tasks, in rotation, and of the missing ones. No more if many wait."""
        if not self._to_check:
            self._to_check.extend(self._known.ids())
        missing = self.missing.tasks
        for task_id in [task_id for task_id in missing if task_id not in self._known]:
            del missing[task_id]
        turn: list[str] = []
        while self._to_check and len(turn) < _CHECKS:
            task_id = self._to_check.popleft()
            if task_id in self._known and task_id not in missing:
                turn.append(task_id)
        return turn + list(islice(missing, _CHECKS))

    def _check(self, ended: Collection[str] = ()) -> Iterator[Ended]:
        """Requests the status of the next few waiting tasks, and of those that have `ended`
        according to the index, which alone is no proof. Yields those that are over."""
        began = self._conductor.now()
        answers = self._index.statuses_of([*dict.fromkeys((*sorted(ended), *self._turn()))])
        was_another = self.missing.is_another_server
        over = self.missing.judge(began, answers, self._is_right_server(answers), ended)
        if over:
            yield Ended(over)
        # Meanwhile calls may have given up tasks that wait.
        if was_another and not self.missing.is_another_server:
            self._wanted_at = _NOW

    def _is_right_server(self, answers: Mapping[str, TaskStatus | None]) -> bool:
        """Whether the server knows a task, waiting or ended, by which the right one is told; or
        knows all, while no such task waits."""
        moment, missing = self.missing.right_at, self.missing.tasks
        waiting = self._known.seen_by(moment)
        if any(answers.get(task_id) is not None for task_id in waiting):
            return True
        if None not in answers.values():
            return bool(answers) and not waiting and not missing
        others = (
            task_id for task_id in waiting if task_id not in missing and task_id not in answers
        )
        witnesses = [*islice(others, _WITNESSES), *self._settled_by(moment, _WITNESSES)]
        return any(status is not None for status in self._index.statuses_of(witnesses).values())
