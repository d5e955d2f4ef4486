"""Finds waiting tasks: by polling Conductor's queue, and by searching its index (`worker.discovery.index`).

Both are always used: a server may queue the tasks, or know them only by its index; a poll's answer may get lost, and
another worker may have polled a task. `worker.discovery.state` decides which is used when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import structlog

from store.records import Task
from worker.conductor.client import POLL_BATCH, Conductor
from worker.conductor.errors import BrokenOff, ConductorError, OutcomeUnknown, is_of_an_item
from worker.conductor.responses import Unreadable
from worker.discovery.index import Index, Seen

log = structlog.get_logger()

OVERLAP = 15_000
"""Milliseconds by which a search overlaps the last one, since an index may lag."""
_LATER = 1000
"""Milliseconds after a scan's beginning from which a task counts as newer than the scan: clocks differ a little."""
_AGAIN_EVERY = 2.0
_AGAIN_SHARE = 4
"""After a search that had to work around tasks, searches skip the part before its end: for this long, or this many
times as long as it took."""
_BARELY = 250
"""Milliseconds by which such a search still overlaps."""
_FAILED_POLLS = 5
"""Consecutive failed polls for a single task before Conductor counts as away."""
_UNREADABLE_POLLS = 20
"""Consecutive polls that may return only unreadable tasks."""


class Scanner:
    """Finds tasks for the leader."""

    def __init__(self, conductor: Conductor, index: Index, worker_id: str, domains: Sequence[str]):
        """`worker_id` identifies the poller to Conductor. `domains`: task domains whose queues are polled too."""
        self._conductor = conductor
        self._index = index
        self._state = index.state
        self._barrier = index.state.barrier
        self._sent = float("-inf")
        """When the last poll was sent."""
        self._clock = index.state.clock
        self._worker_id = worker_id
        self._queues: tuple[str | None, ...] = (None, *domains)
        self._seen: set[str] = set()
        self._read_to = 0
        """The server's time up to which the index needn't be read again before `_again_at`."""
        self._again_at = float("-inf")
        self.began = 0
        """When the last scan began, in milliseconds."""
        self._broken_off: float | None = None
        """When the search began that is to be continued."""
        self.failure = ""
        """Why the index can't be searched; None if it can."""
        self.searched_to = 0
        """The server's time up to which the index was searched; 0 before the first search, which reads everything."""

    def scan(self, not_after: Callable[[], float] = lambda: float("inf")) -> Iterator[list[Task]]:
        """Empties the queues, and searches the index if needed.

        Each poll leaves before `not_after` returns just before it (`time.monotonic`), or not at all. Yields after every
        poll, even without tasks, so that the caller can store them, or abandon the scan, before the next poll takes
        more. Raises ConductorError if the queues couldn't be emptied.
        """
        self.began = self._conductor.now()
        self._sent = self._clock.monotonic()
        try:
            for number, domain in enumerate(self._queues):
                if number:  # the last poll of the previous queue returned nothing
                    yield []
                yield from self._empty(domain, not_after)
        except OutcomeUnknown:
            self._barrier.poll_lost(self._sent)
            raise
        self._barrier.drained(self.began)
        if self._state.must_search():
            yield from self.search()

    def _empty(self, domain: str | None, not_after: Callable[[], float]) -> Iterator[list[Task]]:
        """Takes all tasks off the queue that were waiting when the scan began.

        If polls are slow and tasks keep coming, a queue is never found empty. It also counts as emptied once a poll
        returns everything left, all of it newer than the scan.

        A poll may fail because of a single task: then tasks are polled one at a time, and in larger numbers again
        later. The index knows what a failed poll took. Raises ConductorError if single polls keep failing.
        """
        count, failed, unreadable = POLL_BATCH, 0, 0
        while True:
            refused: list[Unreadable] = []
            self._sent = self._clock.monotonic()
            try:
                tasks = self._conductor.poll(self._worker_id, domain, refused, count, not_after())
            except ConductorError as error:
                failed += 1
                if not is_of_an_item(error) or failed > _FAILED_POLLS:
                    raise
                self._barrier.poll_lost(self._sent)
                count, unreadable = 1, 0
                yield []
                continue
            if self._index.suspect(refused):
                self._barrier.poll_lost(self._sent)
            if not tasks and refused:
                unreadable += 1
                if unreadable == _UNREADABLE_POLLS:
                    raise OutcomeUnknown("Conductor's queue hands out only unreadable tasks")
                yield []
                continue
            if not tasks:
                return
            yield tasks
            later = self.began + self._conductor.server_clock.offset + _LATER
            # Queues hand out the oldest first; a full batch may be an exception if workflows have priorities.
            if len(tasks) < count and all(task.scheduled_at > later for task in tasks):
                return
            count, failed, unreadable = min(2 * count, POLL_BATCH), 0, 0

    def search(self) -> Iterator[list[Task]]:
        """Searches the index for tasks since the last search. A failed search is repeated after a while.

        A search overlaps the last one. If it has to work around tasks there, which takes many calls, it does so only
        rarely: in between, searches begin after them.
        """
        now = self._clock.monotonic()
        began = now if self._broken_off is None else self._broken_off
        to = self._conductor.server_now()
        since = max(0, self.searched_to - OVERLAP)
        again = now >= self._again_at
        ids: set[str] = set()
        seen = Seen()
        try:
            start = since if again else max(since, self._read_to)
            for page in self._index.waiting_since(start, seen, must=True, patience=self._state.patience()):
                # Searches overlap: what the last one saw needn't be stored again.
                if fresh := [task for task in page if task.id not in self._seen]:
                    yield fresh
                ids.update(task.id for task in page)
        except ConductorError as error:
            self._search_failed(error, began)
            return
        self.failure, self._broken_off = "", None
        self.searched_to = to
        self._seen = ids if again else self._seen | ids
        took = self._clock.monotonic() - now
        if seen.hidden or self._again_at == float("inf"):
            self._again_at = now + took + max(_AGAIN_EVERY, _AGAIN_SHARE * took)
        self._read_to = to - _BARELY
        self._barrier.unread(self._index.awaited())
        self._state.searched(began)

    def _search_failed(self, error: ConductorError, began: float) -> None:
        self.failure = str(error)
        if isinstance(error, BrokenOff):  # the next search continues from there
            self._read_to, self._again_at, self._broken_off = error.reached, float("inf"), began
            self._state.search_broke_off()
        else:
            self._state.search_failed()
        log.warning(
            "the index of waiting tasks can't be searched; events that may have a taker there wait for a while",
            error=str(error),
            seconds=round(self._state.search_due_in(), 2),
        )
        self.searched_to = self.searched_to or 1
