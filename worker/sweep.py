"""Finds waiting tasks: by sweeping Conductor's queue, and by searching its index (`worker.index`).

Both are always used: a server may queue the tasks, or know them only by its index; a poll's answer may get lost, and
another worker may have polled a task.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import structlog

from events.records import Task
from worker.conductor import Conductor, ConductorError, OutcomeUnknown
from worker.index import CANNOT, Index
from worker.patrol import Patrol

log = structlog.get_logger()

_OVERLAP = 15_000
"""Milliseconds that a search reaches back behind the last one: an index may lag."""
_CHANCES = 3
"""Tries to search the index before a sweep does without."""
_AT_ONCE_EVERY = 1.0
"""Seconds between two searches at least that are made because an event found no taker."""
_FULL_READ_EVERY = 40
"""Discoveries until all waiting tasks are read from the index again."""
_CHECKS_A_DISCOVERY = 50
"""Waiting tasks whose status is asked one by one at each discovery: what remains when there is no index."""


class Sweeper:
    """Finds tasks for the deciding worker. `found` is given what was found, by the queue or the index, page by page."""

    def __init__(
        self,
        conductor: Conductor,
        index: Index,
        worker_id: str,
        domains: Sequence[str],
        may_poll: Callable[[], None],
        found: Callable[[list[Task]], None],
    ):
        """`may_poll` is asked before each poll, and raises if this worker must not."""
        self._may_poll = may_poll
        self._conductor = conductor
        self._index = index
        self._worker_id = worker_id
        self._queues: tuple[str | None, ...] = (None, *domains)
        self._found = found
        self._missed_searches = 0
        self._seen: set[str] = set()
        self._searched = float("-inf")
        self._wanted = False
        self.by_index_alone = False
        """Whether a task was ever found by the index alone: then no sweep is complete without a search."""
        self.search_next = True
        """Whether a poll's answer may have been lost, by this worker or the one before: only the index knows then."""
        self.searched_to = 0
        """The server's time up to which the index was searched; 0 before the first search, which reads everything."""

    def sweep(self) -> int:
        """Takes everything from the queues, and searches the index where that is needed.

        Returns when it began, in milliseconds. Raises ConductorError if it couldn't be completed.
        """
        began = int(self._conductor.now())
        try:
            for domain in self._queues:
                while tasks := self._poll(domain):
                    self._found(tasks)
        except OutcomeUnknown:
            self.search_next = True
            raise
        if self.by_index_alone or self.search_next or (self._wanted and self.may_search()):
            self.search()
        return began

    def _poll(self, domain: str | None) -> list[Task]:
        self._may_poll()
        return self._conductor.poll(self._worker_id, domain)

    def may_search(self) -> bool:
        """Whether an event that finds no taker may have the index searched now."""
        return time.monotonic() >= self._searched + _AT_ONCE_EVERY

    def want_search(self) -> None:
        """An event has found no taker: the first sweep that may search does."""
        self._wanted = True

    def search_due_in(self) -> float:
        """Seconds until a sweep is wanted to search; infinite if none is."""
        return max(0.0, self._searched + _AT_ONCE_EVERY - time.monotonic()) if self._wanted else float("inf")

    def search(self) -> None:
        """Searches the index for what has come since the last search.

        Raises ConductorError, unless nothing was ever found by the index alone and it has failed often.
        """
        to = self._server_time()
        seen: set[str] = set()
        try:
            for page in self._index.waiting_since(max(0, self.searched_to - _OVERLAP), must=self.search_next):
                # Searches overlap: what the last one saw need not be stored again.
                if fresh := [task for task in page if task.id not in self._seen]:
                    self._found(fresh)
                seen.update(task.id for task in page)
        except ConductorError as error:
            # Where the index has never been of use, the queue must do; but it gets a few chances.
            self._missed_searches += 1
            if self.by_index_alone or self._missed_searches < _CHANCES:
                raise
            log.warning("the task index can't be searched", error=str(error))
            self.searched_to = self.searched_to or 1
        else:
            self.searched_to = to
            self._seen = seen
        self._missed_searches = 0
        self._searched = time.monotonic()
        self.search_next = self._wanted = False

    def _server_time(self) -> int:
        return int(self._conductor.now() + self._conductor.clock.offset)


class Discovery:
    """The scheduled look at the index, beside the sweeps: finds what they missed and what has ended."""

    def __init__(
        self,
        conductor: Conductor,
        index: Index,
        found: Callable[[list[Task]], None],
        gone: Callable[[list[str]], None],
        patrol: Patrol,
    ):
        self._conductor = conductor
        self._index = index
        self._found = found
        self._gone = gone
        self._patrol = patrol
        self._distrust = False
        self._runs = 0
        self.searched_to = 0
        self._checked = ""

    def run(self, searched_to: int, waiting: Sequence[str]) -> None:
        """One discovery. `searched_to` is the sweeper's; `waiting` are the ids of all waiting tasks.

        Raises ConductorError.
        """
        try:
            ended = self._search(searched_to)
        except ConductorError:
            self._check_some(waiting)  # as long as the index can't be searched, this is the only way
            raise
        # The index alone is no proof that a task has ended.
        self._check([task_id for task_id in waiting if task_id in ended])
        self._check_some([task_id for task_id in waiting if task_id not in ended])

    def distrust(self) -> None:
        """Conductor was away: it may have been killed between its store and its index. Other threads may say so."""
        self._distrust = True

    def _search(self, searched_to: int) -> set[str]:
        """Finds waiting tasks; returns the ids of those that seem to have ended since the last time."""
        now = int(self._conductor.now() + self._conductor.clock.offset)
        new_round = self._runs % _FULL_READ_EVERY == 0 or self._distrust
        everything = new_round or not self._index.proven
        since = 0 if everything else max(0, (self.searched_to or searched_to) - _OVERLAP)
        listed: set[str] = set()
        if new_round:
            self._distrust = False
        try:
            for page in self._index.waiting_since(since, listed=listed):
                if page:
                    self._found(page)
            if self._index.way != "workflows":  # which reads them all anyway
                self._go_on_patrol(new_round, listed, now)
        except ConductorError:
            self._distrust = self._distrust or new_round
            raise
        ended = self._index.ended_since((self.searched_to or now - 3_600_000) - _OVERLAP)
        self.searched_to = now
        self._runs += 1
        return ended

    def _go_on_patrol(self, new_round: bool, listed: set[str], now: int) -> None:
        try:
            if new_round:
                self._patrol.begin(listed, now)
            self._patrol.step(listed)
        except ConductorError as error:
            if error.status not in CANNOT:
                raise
            self._patrol.end()
            log.warning("running workflows can't be read: what is in no index is not found", error=str(error))

    def _check_some(self, waiting: Sequence[str]) -> None:
        """Asks for the status of the next few waiting tasks, in turn."""
        ordered = sorted(waiting)
        turn = [task_id for task_id in ordered if task_id > self._checked][:_CHECKS_A_DISCOVERY]
        self._checked = turn[-1] if len(turn) == _CHECKS_A_DISCOVERY else ""
        self._check(turn)

    def _check(self, task_ids: Sequence[str]) -> None:
        """Asks for the status of these tasks, and lets go those that have ended."""
        if ended := self._index.ended_of(task_ids):
            self._gone(ended)
