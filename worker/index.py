"""What knows waiting tasks that are in no queue, asked in the best way that the server has.

Which ways a server has depends on what is behind it: an index on PostgreSQL can't give whole tasks, and indexing may be
off. So it is found out by trying, and looked at again now and then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, get_args

from events.records import Task
from worker.conductor import Conductor, ConductorError

Way = Literal["search-v2", "search", "workflows"]
"""search-v2: the index gives whole tasks. search: it gives ids, and each task that is new is read. workflows: without a
search, the running workflows of all receivers are read."""
WAYS: tuple[Way, ...] = get_args(Way)
_LOOK_AGAIN = 60.0
"""Seconds until a better way than the one in force is tried again: one call."""
_OPINION_EVERY = 120.0
"""Seconds between two looks whether an index that knows nothing at all is right."""
LAG = 30_000
"""Milliseconds within which an index that works knows a task."""
_SHARE = 10
"""Reading all running workflows takes at most one part in so many of the time, unless it must be."""
_SAMPLE = 100
CANNOT = (403, 404, 405, 500, 501)
"""Answers to a search by which a server says that it can't do it, or that we may not; others say nothing of the search
itself."""


class Ways:
    """Which way is in force. Times are seconds of any clock."""

    def __init__(self) -> None:
        self.current: Way = WAYS[0]
        self.reason = ""
        """Why not a better one; empty for the best."""
        self.index_is_off = False
        """Whether tasks that it should know are not in the index."""
        self._again = float("inf")

    def to_try(self, now: float) -> tuple[Way, ...]:
        """The ways to try, one after the other until one works."""
        first = 0 if now >= self._again else WAYS.index(self.current)
        return WAYS[first:]

    def works(self, way: Way, reason: str, now: float) -> bool:
        """This way has worked, and a better one that was tried not, for that reason. Whether this changes anything."""
        before = self.current, self.reason
        if way != "workflows":
            self.index_is_off = False
        if way == WAYS[0]:
            self.current, self.reason, self._again = way, "", float("inf")
        else:
            if way != self.current or now >= self._again:
                self._again = now + _LOOK_AGAIN
            if way != self.current or reason:
                self.current, self.reason = way, reason
        return before != (self.current, self.reason)

    def is_off(self, now: float) -> bool:
        """The index answers, but doesn't know tasks that it should. Whether that is news."""
        news = not self.index_is_off
        self.index_is_off = True
        self.works("workflows", "the index doesn't know tasks that wait: indexing is off, or lags far behind", now)
        return news


class Index:
    """Asks Conductor for waiting tasks that no queue hands out. For any number of threads."""

    def __init__(
        self,
        conductor: Conductor,
        pool: ThreadPoolExecutor | None,
        receivers: Callable[[], Iterable[str]],
        known: Callable[[str], bool],
        changed: Callable[[Way, str], None],
        sample: int = _SAMPLE,
    ):
        """`receivers` are the workflows whose tasks a webhook may complete; `known` says whether a task is known to
        wait; what has to be read one by one is read on the `pool`; `changed` is told the way that is in force and why
        no better one is, at first and at each change; `sample` running workflows of each receiver are read to see
        whether an empty index is right."""
        self._conductor = conductor
        self._map = pool.map if pool is not None else map
        self._receivers = receivers
        self._known = known
        self._changed = changed
        self._sample = sample
        self._ways = Ways()
        self._told = False
        self._scan_again = self._opinion_again = float("-inf")
        self.proven = False
        """Whether a search has shown any task, since it last failed to show one that it should."""

    @property
    def way(self) -> Way:
        """The way in force."""
        return self._ways.current

    def waiting_since(self, start: int, must: bool = False, listed: set[str] | None = None) -> Iterator[list[Task]]:
        """Pages of tasks in progress, started after that time of the server's clock; all of them for 0.

        Tasks that are known need not be among them; the ids of all that there are go into `listed`. Where reading all
        running workflows is the only way, it is done `must` it be, or if it wasn't just now. Raises ConductorError.
        """
        listed = set() if listed is None else listed
        failed: ConductorError | None = None
        for way in self._ways.to_try(time.monotonic()):
            try:
                if way == "workflows":
                    yield from self._scan(must, listed)
                else:
                    yield from self._search(way, start, listed)
            except ConductorError as error:
                if error.status not in CANNOT:
                    raise
                failed = error
                continue
            if way != "workflows" and self._ways.index_is_off and not listed:
                continue  # it has proven nothing yet
            self.proven = way != "workflows" and (self.proven or bool(listed))
            if self._ways.works(way, str(failed or ""), time.monotonic()) or not self._told:
                self._tell()
            if way != "workflows" and start == 0 and not listed:
                yield from self._second_opinion(must)
            return
        assert failed is not None
        raise failed

    def ended_since(self, end: int) -> set[str]:
        """The ids of tasks that seem to have ended after that time of the server's clock. Raises ConductorError."""
        if self.way == "workflows":
            return set()
        return self._conductor.ended_since(end)

    def ended_of(self, task_ids: Sequence[str]) -> list[str]:
        """Those of the tasks that have ended, as Conductor says of each. Raises ConductorError."""
        found = self._map(self._conductor.task, task_ids)
        return [id_ for id_, status in zip(task_ids, found, strict=True) if status is None or status.terminal]

    def running(self) -> list[str]:
        """The ids of the receivers' running workflows. Raises ConductorError."""
        return [id_ for workflow in list(self._receivers()) for id_ in self._conductor.running(workflow)]

    def waiting_in(self, workflow_ids: Sequence[str]) -> Iterator[list[tuple[Task, int]]]:
        """The tasks in progress of each of these workflows that has any, each with its start by the server's clock.

        Raises ConductorError.
        """
        yield from filter(None, self._map(self._conductor.waiting_in, workflow_ids))

    def knows(self, task_id: str) -> bool:
        """Whether the task is known to wait."""
        return self._known(task_id)

    def _search(self, way: Way, start: int, listed: set[str]) -> Iterator[list[Task]]:
        if way == "search-v2":
            for tasks in self._conductor.waiting_since(start):
                listed.update(task.id for task in tasks)
                yield tasks
            return
        for ids in self._conductor.waiting_ids_since(start):
            new = [task_id for task_id in ids if task_id not in listed and not self._known(task_id)]
            listed.update(ids)
            yield [task for task in self._map(self._conductor.waiting_task, new) if task is not None]

    def _scan(self, must: bool, listed: set[str]) -> Iterator[list[Task]]:
        """The tasks of the receivers' running workflows."""
        began = time.monotonic()
        if began < self._scan_again and not must:
            return
        for found in self._read_running(None):
            listed.update(task.id for task, _ in found)
            yield [task for task, _ in found]
        self._scan_again = time.monotonic() + max(1.0, _SHARE * (time.monotonic() - began))

    def _read_running(self, limit: int | None) -> Iterator[list[tuple[Task, int]]]:
        for workflow in list(self._receivers()):
            yield from self.waiting_in(self._conductor.running(workflow)[:limit])

    def _second_opinion(self, must: bool) -> Iterator[list[Task]]:
        """An index that knows nothing at all: either nothing waits, or it is off."""
        now = time.monotonic()
        if now < self._opinion_again and not must:
            return
        self._opinion_again = now + _OPINION_EVERY
        old = self._conductor.now() + self._conductor.clock.offset - LAG
        off = False
        for found in self._read_running(self._sample):
            off = off or any(started < old for _, started in found)
            yield [task for task, _ in found]
        if off and self._ways.is_off(time.monotonic()):
            self._tell()

    def _tell(self) -> None:
        self._told = True
        self._changed(self._ways.current, self._ways.reason)
