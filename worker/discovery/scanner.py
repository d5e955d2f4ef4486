"""Finds waiting tasks: by polling Conductor's queue, and by searching its index
(`worker.discovery.index`).

Both are always used: a server may queue the tasks, or know them only by its index; a poll's answer
may get lost, and another worker may have polled a task. `worker.discovery.watermark` tells when the
index is to be searched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import structlog

from store.records import Task
from worker.conductor.client import POLL_BATCH, Conductor
from worker.conductor.errors import ConductorError, OutcomeUnknown, is_of_an_item
from worker.conductor.responses import Unreadable
from worker.discovery.index import Index, Way
from worker.discovery.watermark import Watermark

log = structlog.get_logger()

OVERLAP = 15_000
"""Milliseconds by which a search overlaps the last one, since an index may lag."""
_LATER = 1000
"""Milliseconds after a scan's beginning from which a task counts as newer than the scan: clocks
differ a little."""
_RESTS: dict[Way, int] = {"search": 4, "workflows": 9}
"""After a search there is none for this many times as long as it took: searches take at most a
fifth of the time, and reads of running workflows a tenth."""
_QUICK = 0.05
"""Seconds up to which a search may be followed by another at once."""
_FAILED_POLLS = 5
"""Polls in a row that may fail for a single task, or return only unreadable ones, before Conductor
counts as away."""


class Scanner:
    """Finds tasks for the leader."""

    def __init__(
        self,
        conductor: Conductor,
        index: Index,
        watermark: Watermark,
        worker_id: str,
        domains: Sequence[str],
    ):
        """`worker_id` identifies the poller to Conductor. `domains`: task domains whose queues are
        polled too."""
        self._conductor = conductor
        self._index = index
        self._watermark = watermark
        self._worker_id = worker_id
        self._queues: tuple[str | None, ...] = (None, *domains)
        self.began = 0
        """When the last scan began, in milliseconds."""
        self._emptied = False
        """Whether it has found the queues empty."""
        self.failure = ""
        """Why the index can't be searched; empty if it can."""
        self.searched_to = 0
        """The server's time up to which the index was searched; 0 before the first search, which
        reads everything."""
        self.unsearched: set[str] = set()
        """Receivers for whose tasks, from before that time too, it wasn't searched."""

    def scan(self, not_after: Callable[[], float] = lambda: float("inf")) -> Iterator[list[Task]]:
        """Empties the queues, and searches the index if needed.

        Each poll leaves before `not_after` returns just before it (`time.monotonic`), or not at
        all. Yields after every poll, even without tasks, so that the caller can store them, or
        abandon the scan, before the next poll takes more. Raises ConductorError if the queues
        couldn't be emptied.
        """
        self._emptied = False
        # What comes to wait in this very millisecond may miss the poll.
        self.began = self._conductor.now() - 1
        if self._lacks_search:
            self._watermark.want_look(self.began)
        try:
            for number, domain in enumerate(self._queues):
                if number:  # the last poll of the previous queue returned nothing
                    yield []
                yield from self._empty(domain, not_after)
        except OutcomeUnknown:
            self._poll_lost()
            raise
        self._emptied = True
        now = self._conductor.now()
        if not self._watermark.look_due_in(now):
            yield from self.search()
        elif not self._lacks_search and not self._watermark.needs_look(now):
            self._complete()

    @property
    def _lacks_search(self) -> bool:
        """Whether tasks may wait that no search was made for yet."""
        return self.searched_to <= 1 or bool(self.unsearched)

    def _complete(self) -> None:
        self._watermark.unread(self._index.unread())
        self._watermark.scanned(self.began)

    def _poll_lost(self) -> None:
        """A poll may have taken a task unseen. The index knows it a moment later."""
        self._watermark.owe_look(self._conductor.now())

    def _empty(self, domain: str | None, not_after: Callable[[], float]) -> Iterator[list[Task]]:
        """Takes all tasks off the queue that were waiting when the scan began.

        If polls are slow and tasks keep coming, a queue is never found empty. It also counts as
        emptied once a poll returns everything left, all of it newer than the scan.

        A poll may fail because of a single task: then tasks are polled one at a time, and in larger
        numbers again later. The index knows what a failed poll took. Raises ConductorError if
        single polls keep failing.
        """
        count, failed = POLL_BATCH, 0
        while True:
            refused: list[Unreadable] = []
            try:
                tasks = self._conductor.poll(self._worker_id, domain, refused, count, not_after())
            except ConductorError as error:
                failed += 1
                if not is_of_an_item(error) or failed > _FAILED_POLLS:
                    raise
                self._poll_lost()
                count = 1
                yield []
                continue
            if not self._index.suspect(refused):
                self._poll_lost()
            if tasks:
                # Whatever the clocks say, they began to wait before this.
                answered = self._conductor.now()
                yield [replace(task, seen_at=answered) for task in tasks]
                if len(tasks) < count and self._are_new(tasks):
                    return
                count, failed = min(2 * count, POLL_BATCH), 0
            elif refused:
                failed += 1
                if failed > _FAILED_POLLS:
                    raise OutcomeUnknown("Conductor's queue hands out only unreadable tasks")
                yield []
            else:
                return

    def _are_new(self, tasks: Sequence[Task]) -> bool:
        """Whether all of them came after the scan began. After a batch that isn't full, no older
        one is left then: queues hand out the oldest first, unless workflows have priorities."""
        later = self.began + self._conductor.server_clock.offset + _LATER
        return all(task.scheduled_at > later for task in tasks)

    def search(self) -> Iterator[list[Task]]:
        """Searches the index for tasks since the last search, which it overlaps. If it fails, it is
        repeated after a while."""
        began, to = self._conductor.now(), self._conductor.server_now()
        start = max(0, self.searched_to - OVERLAP)
        try:
            patience = self._watermark.patience()
            took = yield from self._index.waiting_since(start, patience)
            for workflow in sorted(self.unsearched):
                yield from self._index.waiting_of(workflow, patience)
        except ConductorError as error:
            self.searched_to = self.searched_to or 1
            self.failure = str(error)
            now = self._conductor.now()
            self._watermark.look_failed(now)
            log.warning(
                "the index of waiting tasks can't be searched",
                error=self.failure,
                seconds=round(self._watermark.look_due_in(now), 2),
            )
            return
        self.failure, self.searched_to = "", to
        self.unsearched.clear()
        self._watermark.looked(began, self._rest(took, is_first=start == 0))
        if self._emptied and self._watermark.known.look_owed_since is None:
            self._complete()

    def _rest(self, took: float, is_first: bool) -> float:
        """Seconds from the search's beginning in which there is no other."""
        way = self._index.way
        # After the first search the next one asks only for what is new.
        is_repeated = not is_first or way == "workflows"
        return took * (1 + _RESTS[way]) if is_repeated and took > _QUICK else 0.0
