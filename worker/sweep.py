"""Finds waiting tasks: by sweeping Conductor's queue, and by searching its index (`worker.index`).

Both are always used: a server may queue the tasks, or know them only by its index; a poll's answer may get lost, and
another worker may have polled a task. What is asked when is `worker.discovery`'s to say.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import structlog

from events.records import Task
from worker.answers import Unreadable
from worker.conductor import Conductor
from worker.errors import ConductorError, Garbled, OutcomeUnknown
from worker.index import CANNOT, Index
from worker.patrol import Patrol

log = structlog.get_logger()

_OVERLAP = 15_000
"""Milliseconds that a search reaches back behind the last one: an index may lag."""
_UNREADABLE_POLLS = 20
"""Polls one after the other that may give nothing that can be read."""
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
        self._state = index.state
        self._worker_id = worker_id
        self._queues: tuple[str | None, ...] = (None, *domains)
        self._found = found
        self._seen: set[str] = set()
        self.whole = False
        """Whether the last sweep has found every task that was waiting as it began; if not, the index is missing."""
        self.failure = ""
        """Why the index can't be searched, if it can't."""
        self.searched_to = 0
        """The server's time up to which the index was searched; 0 before the first search, which reads everything."""

    def sweep(self) -> int:
        """Takes everything from the queues, and searches the index where that is needed; see then whether it is
        `whole`.

        Returns when it began, in milliseconds. Raises ConductorError if the queues couldn't be emptied.
        """
        began = int(self._conductor.now())
        self.whole = False
        try:
            for domain in self._queues:
                while tasks := self._poll(domain):
                    self._found(tasks)
        except OutcomeUnknown:
            self._state.poll_lost()
            raise
        if self._state.must_search(time.monotonic()):
            self.search()
        self.whole = self._state.whole(time.monotonic())
        return began

    def _poll(self, domain: str | None) -> list[Task]:
        self._may_poll()
        for _ in range(_UNREADABLE_POLLS):
            unreadable: list[Unreadable] = []
            tasks = self._conductor.poll(self._worker_id, domain, unreadable)
            if tasks:
                self._state.queued(time.monotonic())
            if self._index.suspect(unreadable):
                self._state.poll_lost()
            if tasks or not unreadable:
                return tasks
        raise Garbled("Conductor's queue hands out nothing but tasks that can't be read")

    def search(self) -> None:
        """Searches the index for what has come since the last search. One that fails is made again after a while."""
        to = int(self._conductor.now() + self._conductor.clock.offset)
        seen: set[str] = set()
        must = self._state.need(time.monotonic()) == "unsure"
        try:
            with self._conductor.within(self._state.patience()):
                for page in self._index.waiting_since(max(0, self.searched_to - _OVERLAP), must=must):
                    # Searches overlap: what the last one saw need not be stored again.
                    if fresh := [task for task in page if task.id not in self._seen]:
                        self._found(fresh)
                    seen.update(task.id for task in page)
        except ConductorError as error:
            self.failure = str(error)
            self._state.search_failed(time.monotonic())
            log.warning(
                "the index of waiting tasks can't be searched; events that it may know a taker for wait"
                if not self._state.whole(time.monotonic())
                else "the index of waiting tasks can't be searched",
                error=str(error),
                seconds=round(self._state.search_due_in(time.monotonic()), 2),
            )
            if self._state.need(time.monotonic()) != "unsure":
                self.searched_to = self.searched_to or 1
        else:
            self.failure = ""
            self.searched_to = to
            self._seen = seen
            self._state.searched(time.monotonic())


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
        self._state = index.state
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

    def _search(self, searched_to: int) -> set[str]:
        """Finds waiting tasks; returns the ids of those that seem to have ended since the last time."""
        now = int(self._conductor.now() + self._conductor.clock.offset)
        new_round = self._state.round_is_due()
        since = 0 if self._state.reads_everything() else max(0, (self.searched_to or searched_to) - _OVERLAP)
        listed: set[str] = set()
        unknown: list[Unreadable] = []
        if new_round:
            self._state.round_began()
        try:
            for page in self._index.waiting_since(since, listed=listed, unknown=unknown):
                if page:
                    self._found(page)
            if self._index.way != "workflows":  # which reads them all anyway
                self._go_on_patrol(new_round, listed, now)
        except ConductorError:
            if new_round:
                self._state.round_broke_off()
            raise
        ended = self._index.ended_since((self.searched_to or now - 3_600_000) - _OVERLAP)
        self.searched_to = now
        if unknown:  # a task that can't be told is looked for where it was until it can be read
            self.searched_to = max(1, min(now, min(item.since for item in unknown) + _OVERLAP))
        self._state.discovered()
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
