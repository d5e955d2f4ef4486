"""What knows waiting tasks that are in no queue, asked in the best way that the server has.

Which ways a server has depends on what is behind it: an index on PostgreSQL can't give whole tasks, and indexing may be
off. So the worker tries them, and tries again now and then (`worker.discovery.state`). A task or a workflow that
can't be read though others can is a suspect (`worker.discovery.suspects`): the others are found without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from store.records import Task
from worker.conductor.answers import Unreadable
from worker.conductor.client import Conductor
from worker.conductor.errors import ConductorError, Garbled, NotNow, NotThere, Unreachable
from worker.discovery.state import DiscoveryState, Way
from worker.discovery.suspects import Kind, Suspects

log = structlog.get_logger()

LAG = 30_000
"""Milliseconds within which an index that works knows a task."""
_SAMPLE = 100
_RETRIES = 4
"""Suspects that are read at a time: those that hang must not hold up what others are read for."""
_HANG = 3
"""Items read for the first time that may hang together, before it is taken for Conductor's slowness."""
_NOBODY = "webhook-bridge-nobody"
"""No workflow and no task has this id."""
CANNOT = (403, 404, 405, 500, 501)
"""Answers to a search by which a server says that it can't do it, or that we may not; others say nothing of the search
itself."""

_T = TypeVar("_T")


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
        self._told = False
        self.state = DiscoveryState()
        self.suspects = Suspects()

    @property
    def way(self) -> Way:
        """The way in force."""
        return self.state.way

    def waiting_since(
        self,
        start: int,
        must: bool = False,
        listed: set[str] | None = None,
        unknown: list[Unreadable] | None = None,
        hidden: list[Unreadable] | None = None,
        patience: float = float("inf"),
    ) -> Iterator[list[Task]]:
        """Pages of tasks in progress, started after that time of the server's clock; all of them for 0.

        `patience` are the seconds to wait for each page. Tasks that are known need not be among them; the ids of all
        that there are go into `listed`, and those that can't be read nor told by an id into `unknown`; those that the
        search had to find its way around into `hidden`. Where reading all running workflows is the only way, it is
        done `must` it be, or if it wasn't just now. Raises ConductorError; BrokenOff if it is to go on from where it
        ended.
        """
        listed = set() if listed is None else listed
        unknown = [] if unknown is None else unknown
        hidden = [] if hidden is None else hidden
        conductor = self._conductor.within(patience)
        failed: ConductorError | None = None
        for way in self.state.ways(time.monotonic()):
            try:
                if way == "workflows":
                    yield from self._scan(conductor, must, listed)
                else:
                    yield from self._search(conductor, way, start, listed, unknown, hidden)
            except ConductorError as error:
                if error.status not in CANNOT:
                    raise
                failed = error
                continue
            if not self.state.counts(way, bool(listed)):
                continue
            reason = str(failed or "")
            if self.state.works(way, reason, start == 0, bool(listed), time.monotonic()) or not self._told:
                self._tell()
            if way != "workflows" and start == 0 and not listed:
                yield from self._second_opinion(conductor, must)
            return
        assert failed is not None
        raise failed

    def ended_since(self, end: int) -> set[str]:
        """The ids of tasks that seem to have ended after that time of the server's clock. Raises ConductorError."""
        if self.way == "workflows":
            return set()
        return self._conductor.ended_since(end)

    def ended_of(self, task_ids: Sequence[str]) -> list[str]:
        """Those of the tasks that have ended, as Conductor says of each. What it doesn't say is left for another time.

        Raises ConductorError if it says nothing of any task.
        """
        found, failed = self._each(self._conductor.task, task_ids)
        if failed and not found:
            self._must_answer(self._conductor, "task", failed[0][1])
        return [id_ for id_, status in found if status is None or status.terminal]

    def running(self) -> list[str]:
        """The ids of the receivers' running workflows; a receiver for which they can't be read is left out.

        Raises ConductorError if they can't be read for any.
        """
        return [id_ for ids in self._running() for id_ in ids]

    def waiting_in(self, workflow_ids: Sequence[str]) -> Iterator[list[tuple[Task, int]]]:
        """The tasks in progress of each of these workflows that has any, each with its start by the server's clock.

        Raises ConductorError if none can be read.
        """
        yield from self._waiting_in(self._conductor, workflow_ids)

    def _waiting_in(self, conductor: Conductor, workflow_ids: Sequence[str]) -> Iterator[list[tuple[Task, int]]]:
        read = self._conductor.within(self.state.patience() / 2).waiting_in
        yield from filter(None, self._read(conductor, "workflow", read, workflow_ids))

    def knows(self, task_id: str) -> bool:
        """Whether the task is known to wait."""
        return self._known(task_id)

    def suspect(self, items: Iterable[Unreadable]) -> list[Unreadable]:
        """Items of a list that can't be read are from now on read by their ids; those that have none are returned."""
        unknown: list[Unreadable] = []
        for item in items:
            if item.id is None:
                unknown.append(item)
                log.warning("a waiting task can't be read, and which one it is can't be told", error=item.reason)
            elif not self._known(item.id) and ("task", item.id) not in self.suspects:
                self._failed("task", item.id, item.reason)  # once: it has times of its own then
        return unknown

    def retry(self) -> Iterator[list[Task]]:
        """Reads the suspects that are due again; what waits of them. Raises ConductorError if Conductor is away."""
        due = self.suspects.due(time.monotonic(), 25 * _RETRIES)
        for first in range(0, len(due), _RETRIES):
            some = due[first : first + _RETRIES]
            tasks = [suspect.id for suspect in some if suspect.kind == "task"]
            workflows = [suspect.id for suspect in some if suspect.kind == "workflow"]
            conductor = self._conductor.within(max(suspect.patience for suspect in some))
            found = [*filter(None, self._read(self._conductor, "task", conductor.waiting_task, tasks, first=False))]
            for waiting in self._read(self._conductor, "workflow", conductor.waiting_in, workflows, first=False):
                found += [task for task, _ in waiting]
            if new := [task for task in found if not self._known(task.id)]:
                yield new

    def _search(
        self,
        conductor: Conductor,
        way: Way,
        start: int,
        listed: set[str],
        unknown: list[Unreadable],
        hidden: list[Unreadable],
    ) -> Iterator[list[Task]]:
        unreadable: list[Unreadable] = []
        try:
            yield from self._pages(conductor, way, start, listed, unreadable)
        finally:
            listed.update(item.id for item in unreadable if item.id is not None)
            hidden += [item for item in unreadable if item.hidden]
            unknown += self.suspect(unreadable)

    def _pages(
        self, conductor: Conductor, way: Way, start: int, listed: set[str], unreadable: list[Unreadable]
    ) -> Iterator[list[Task]]:
        if way == "search-v2":
            for tasks in conductor.waiting_since(start, unreadable):
                listed.update(task.id for task in tasks)
                self.suspects.read("task", [task.id for task in tasks])
                yield tasks
        else:
            for ids in conductor.waiting_ids_since(start, unreadable):
                new = [task_id for task_id in ids if task_id not in listed and not self._known(task_id)]
                listed.update(ids)
                new = [task_id for task_id in new if ("task", task_id) not in self.suspects]
                read = self._conductor.within(self.state.patience() / 2).waiting_task
                yield [*filter(None, self._read(conductor, "task", read, new))]

    def _scan(self, conductor: Conductor, must: bool, listed: set[str]) -> Iterator[list[Task]]:
        """The tasks of the receivers' running workflows."""
        began = time.monotonic()
        if not self.state.may_scan(began) and not must:
            return
        for found in self._read_running(conductor, None):
            listed.update(task.id for task, _ in found)
            yield [task for task, _ in found]
        self.state.scanned(began, time.monotonic())

    def _running(self) -> Iterator[list[str]]:
        names = list(self._receivers())
        found, failed = self._each(self._conductor.running, names)
        if failed and not found:
            raise failed[0][1]
        for name, error in failed:
            log.warning("the running workflows of a receiver can't be read", workflow=name, error=str(error))
        yield from (ids for _, ids in found)

    def _read_running(self, conductor: Conductor, limit: int | None) -> Iterator[list[tuple[Task, int]]]:
        for ids in self._running():
            unsuspected = [id_ for id_ in ids if ("workflow", id_) not in self.suspects]
            yield from self._waiting_in(conductor, unsuspected[:limit])

    def _second_opinion(self, conductor: Conductor, must: bool) -> Iterator[list[Task]]:
        """An index that knows nothing at all: either nothing waits, or it is off."""
        if not self.state.may_sample(time.monotonic(), must):
            return
        old = self._conductor.server_now() - LAG
        off = False
        for found in self._read_running(conductor, self._sample):
            off = off or any(started < old for _, started in found)
            yield [task for task, _ in found]
        if off and self.state.is_off(time.monotonic()):
            self._tell()

    # --- one by one ---

    def _read(
        self, conductor: Conductor, kind: Kind, read: Callable[[str], _T], ids: Sequence[str], first: bool = True
    ) -> Iterator[_T]:
        """What `read` gives for each of these ids; those for which it fails alone are suspects then.

        `first` says that they are read for the first time. Raises ConductorError if it fails for all, and `conductor`
        doesn't answer either for something that isn't there; or if so many hang at first that it may be Conductor that
        is slow.
        """
        found, failed = self._each(read, ids)
        if failed and not found:
            self._must_answer(conductor, kind, failed[0][1])
        self.suspects.read(kind, [id_ for id_, _ in found])
        for id_, error in failed:
            self._failed(kind, id_, str(error))
        hang = [error for _, error in failed if not error.status and not isinstance(error, (Garbled, NotThere))]
        if first and len(hang) > max(_HANG, len(ids) // 2):
            raise hang[0]  # they have their own next tries all the same: this can't go on for ever
        return (answer for _, answer in found)

    def _failed(self, kind: Kind, id_: str, reason: str) -> None:
        if (kind, id_) not in self.suspects:
            log.warning(f"a {kind} can't be read; the others are found without it", id=id_, error=reason)
        self.suspects.failed(kind, id_, reason, time.monotonic())

    def _each(
        self, read: Callable[[str], _T], ids: Sequence[str]
    ) -> tuple[list[tuple[str, _T]], list[tuple[str, ConductorError]]]:
        """What `read` gives for each of these ids, and for which it fails.

        Raises ConductorError if that isn't a matter of single items: Conductor can't be reached, or lets nobody in.
        """

        def attempt(id_: str) -> tuple[str, _T | None, ConductorError | None]:
            try:
                return id_, read(id_), None
            except ConductorError as error:
                return id_, None, error

        found: list[tuple[str, _T]] = []
        failed: list[tuple[str, ConductorError]] = []
        for id_, answer, error in self._map(attempt, ids):
            if error is None:
                found.append((id_, answer))  # type: ignore[arg-type]
            elif isinstance(error, Unreachable) or (isinstance(error, NotNow) and error.status != 403):
                raise error
            else:
                failed.append((id_, error))
        return found, failed

    def _must_answer(self, conductor: Conductor, kind: Kind, error: ConductorError) -> None:
        """Raises the error unless Conductor answers such calls for something else: then it is a matter of the items."""
        try:
            if kind == "task":
                conductor.task(_NOBODY)
            else:
                conductor.runs(_NOBODY)
        except ConductorError:
            raise error from None

    def _tell(self) -> None:
        self._told = True
        self._changed(self.state.way, self.state.reason)
