"""Finds waiting tasks that are in no queue, in the best way that the server offers.

Which ways a server offers depends on its backend: an index on PostgreSQL can't return whole tasks, and indexing may be
off. So the worker tries them, and tries again from time to time (`worker.discovery.state`). A task or workflow that
can't be read although others can is a suspect (`worker.discovery.suspects`): the others are found without it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import structlog

from store.records import Task
from worker.conductor.client import Conductor
from worker.conductor.errors import ConductorError, Garbled, NotNow, NotThere, Unreachable
from worker.conductor.responses import Unreadable
from worker.conductor.search import fits_path
from worker.discovery.state import DiscoveryState, Way
from worker.discovery.suspects import Kind, Suspect, Suspects

log = structlog.get_logger()

LAG = 30_000
"""Milliseconds within which a working index knows a task."""
_SAMPLE = 100
_RETRIES = 4
"""Suspects that are read at a time: those that hang must not hold up other reads."""
_HANG = 3
"""Items hanging on their first read above which Conductor itself is taken to be slow."""
_NOBODY = "webhook-bridge-nobody"
"""An id that no workflow and no task has."""
CANNOT = (403, 404, 405, 500, 501)
"""Answers that mean a server can't do this search, or doesn't allow it. Others say nothing about the search itself."""

_T = TypeVar("_T")


class Known(Container[str], Protocol):
    """The ids of tasks known to wait."""

    def ids(self) -> list[str]:
        """All their ids."""

    def workflow_ids(self) -> set[str]:
        """Their workflows."""


@dataclass
class Seen:
    """What a search saw, besides the tasks that it returned."""

    ids: set[str] = field(default_factory=set)
    """The ids of all tasks in its results, known or not, readable or not."""
    unidentified: list[Unreadable] = field(default_factory=list)
    """Unreadable items whose id is unknown too."""
    hidden: list[Unreadable] = field(default_factory=list)
    """Tasks that make every page fail, so that the search had to work around them."""


class Index:
    """Asks Conductor for waiting tasks that no queue hands out. Thread-safe."""

    def __init__(
        self,
        conductor: Conductor,
        pool: ThreadPoolExecutor | None,
        known: Known,
        state: DiscoveryState,
        sample: int = _SAMPLE,
    ):
        """Single reads run on the `pool`. `sample`: running workflows per receiver that are read to check whether an
        empty index is right."""
        self._conductor = conductor
        self._map = pool.map if pool is not None else map
        self.known = known
        self.state = state
        self._sample = sample
        self.suspects = Suspects(state.clock)
        self.receivers: Collection[str] = ()
        """The workflows whose tasks a webhook may complete; the owner of the definitions sets them."""

    def waiting_since(
        self, start: int, seen: Seen | None = None, must: bool = False, patience: float = float("inf")
    ) -> Iterator[list[Task]]:
        """Pages of tasks in progress that started after that time by the server's clock; all of them for 0.

        `patience`: seconds to wait for each page. Known tasks may be left out; `seen` collects what else the search
        sees. If reading all running workflows is the only way, that happens if it `must`, or if the last time is long
        enough ago. Raises ConductorError; BrokenOff if the search should continue from where it stopped.
        """
        seen = Seen() if seen is None else seen
        conductor = self._conductor.within(patience)
        failed: ConductorError | None = None
        for way in self.state.ways():
            try:
                if way == "workflows":
                    yield from self._running_tasks(conductor, seen, must)
                else:
                    yield from self._search(conductor, way, start, seen)
            except ConductorError as error:
                if error.status not in CANNOT:
                    raise
                failed = error
                continue
            if not self.state.counts(way, bool(seen.ids)):
                continue
            self.state.worked(way, str(failed or ""), start == 0, bool(seen.ids))
            if way != "workflows" and start == 0 and not seen.ids:
                yield from self._check_empty(conductor, must)
            return
        assert failed is not None
        raise failed

    def ended_since(self, end: int) -> set[str]:
        """The ids of tasks that seem to have ended after that time by the server's clock. Raises ConductorError."""
        if self.state.way == "workflows":
            return set()
        return self._conductor.ended_since(end)

    def ended_of(self, task_ids: Sequence[str]) -> list[str]:
        """The tasks that have ended, according to Conductor. Those it doesn't answer for are left out.

        Raises ConductorError if it answers for none of them.
        """
        found, failed = self._each(self._conductor.task, task_ids)
        if failed and not found:
            self._must_answer(self._conductor, "task", failed[0][1])
        return [id_ for id_, status in found if status is None or status.terminal]

    def running(self) -> list[str]:
        """The ids of the receivers' running workflows; a receiver whose workflows can't be read is left out.

        Raises ConductorError if none can be read.
        """
        return [id_ for _, ids in self._running() for id_ in ids]

    def waiting_in(
        self, workflow_ids: Sequence[str], conductor: Conductor | None = None, name: str = ""
    ) -> Iterator[list[tuple[Task, int]]]:
        """The tasks in progress of these workflows, each with its start by the server's clock.

        `name`: the workflows', if all have the same. Raises ConductorError if none can be read.
        """
        read = self._conductor.within(self.state.patience() / 2).waiting_in
        found = self._read(conductor or self._conductor, "workflow", read, dict.fromkeys(workflow_ids, name))
        yield from (tasks for _, tasks in found if tasks)
        self.suspects.read("workflow", [id_ for id_, _ in found])

    def suspect(self, items: Iterable[Unreadable]) -> list[Unreadable]:
        """From now on, reads these list items by their ids; returns those without an id."""
        unidentified: list[Unreadable] = []
        for item in items:
            if item.id is None:
                unidentified.append(item)
                log.warning("neither a waiting task nor its id can be read", error=item.reason)
            elif item.id not in self.known and ("task", item.id) not in self.suspects:
                # Only once: from then on it has its own retry times.
                self._failed("task", item.id, item.reason, item.workflow)
        return unidentified

    def awaited(self) -> dict[Hashable, tuple[float, str]]:
        """Items that may hold tasks for events and can't be read right now: since when, by the clock, and the names of
        their workflows, empty if unknown."""
        unread = (item for item in self.suspects.awaited() if self._may_hold_a_task(item))
        return {(item.kind, item.id): (item.since, item.workflow) for item in unread}

    def _may_hold_a_task(self, item: Suspect) -> bool:
        # Where there is a search, workflows are read only to find what it missed.
        return self.state.way == "workflows" if item.kind == "workflow" else item.id not in self.known

    def retry(self) -> Iterator[list[Task]]:
        """Reads the suspects that are due; yields those that are waiting. Raises ConductorError if Conductor is
        away."""
        due = self.suspects.due(25 * _RETRIES)
        for first in range(0, len(due), _RETRIES):
            some = due[first : first + _RETRIES]
            tasks = {suspect.id: suspect.workflow for suspect in some if suspect.kind == "task"}
            workflows = {suspect.id: suspect.workflow for suspect in some if suspect.kind == "workflow"}
            conductor = self._conductor.within(max(suspect.patience for suspect in some))
            read = self._read(self._conductor, "task", conductor.waiting_task, tasks, first=False)
            read_in = self._read(self._conductor, "workflow", conductor.waiting_in, workflows, first=False)
            found = [task for _, task in read if task is not None]
            found += [task for _, waiting in read_in for task, _ in waiting]
            if new := [task for task in found if task.id not in self.known]:
                yield new
            # Only now: an event waits for them until the caller has the tasks.
            self.suspects.read("task", [id_ for id_, _ in read])
            self.suspects.read("workflow", [id_ for id_, _ in read_in])

    def _search(self, conductor: Conductor, way: Way, start: int, seen: Seen) -> Iterator[list[Task]]:
        unreadable: list[Unreadable] = []
        try:
            yield from self._pages(conductor, way, start, seen, unreadable)
        finally:
            seen.ids.update(item.id for item in unreadable if item.id is not None)
            seen.hidden += [item for item in unreadable if item.hidden]
            seen.unidentified += self.suspect(unreadable)

    def _pages(
        self, conductor: Conductor, way: Way, start: int, seen: Seen, unreadable: list[Unreadable]
    ) -> Iterator[list[Task]]:
        if way == "search-v2":
            for tasks in conductor.waiting_since(start, unreadable):
                seen.ids.update(task.id for task in tasks)
                yield tasks
                self.suspects.read("task", [task.id for task in tasks])
        else:
            for ids in conductor.waiting_ids_since(start, unreadable):
                new = {
                    task_id: workflow
                    for task_id, workflow in ids.items()
                    if task_id not in seen.ids and task_id not in self.known and ("task", task_id) not in self.suspects
                }
                seen.ids.update(ids)
                read = self._conductor.within(self.state.patience() / 2).waiting_task
                yield [task for _, task in self._read(conductor, "task", read, new) if task is not None]

    def _running_tasks(self, conductor: Conductor, seen: Seen, must: bool) -> Iterator[list[Task]]:
        """The tasks of the receivers' running workflows."""
        if not self.state.may_read_workflows() and not must:
            return
        began = self.state.clock.monotonic()
        for found in self._read_running(conductor, None):
            seen.ids.update(task.id for task, _ in found)
            yield [task for task, _ in found]
        self.state.workflows_read(self.state.clock.monotonic() - began)

    def _running(self) -> Iterator[tuple[str, list[str]]]:
        found, failed = self._each(self._conductor.running, list(filter(fits_path, self.receivers)))
        if failed and not found:
            raise failed[0][1]
        for name, error in failed:
            log.warning("the running workflows of a receiver can't be read", workflow=name, error=str(error))
        yield from found

    def _read_running(self, conductor: Conductor, limit: int | None) -> Iterator[list[tuple[Task, int]]]:
        for name, ids in self._running():
            unsuspected = [id_ for id_ in ids if ("workflow", id_) not in self.suspects]
            yield from self.waiting_in(unsuspected[:limit], conductor, name)

    def _check_empty(self, conductor: Conductor, must: bool) -> Iterator[list[Task]]:
        """Handles an empty index: either nothing waits, or indexing is off."""
        if not self.state.may_check_empty(must):
            return
        old = self._conductor.server_now() - LAG
        off = False
        for found in self._read_running(conductor, self._sample):
            off = off or any(started < old for _, started in found)
            yield [task for task, _ in found]
        if off:
            self.state.index_is_off()

    # --- one by one ---

    def _read(
        self, conductor: Conductor, kind: Kind, read: Callable[[str], _T], ids: Mapping[str, str], first: bool = True
    ) -> list[tuple[str, _T]]:
        """What `read` returns for each of these ids, which come with their workflows' names, or empty texts. Ids for
        which it fails alone become suspects.

        `first`: they are read for the first time. Raises ConductorError if it fails for all of them and Conductor
        doesn't answer for a made-up id either, or if so many hang on the first read that Conductor may be slow.
        """
        found, failed = self._each(read, ids)
        if failed and not found:
            self._must_answer(conductor, kind, failed[0][1])
        for id_, error in failed:
            self._failed(kind, id_, str(error), ids[id_])
        hang = [error for _, error in failed if not error.status and not isinstance(error, (Garbled, NotThere))]
        if first and len(hang) > max(_HANG, len(ids) // 2):
            raise hang[0]  # each still has its own retry times, so this can't go on forever
        return found

    def _failed(self, kind: Kind, id_: str, reason: str, workflow: str) -> None:
        if (kind, id_) not in self.suspects:
            log.warning(f"a {kind} can't be read; the others are found without it", id=id_, error=reason)
        self.suspects.failed(kind, id_, reason, workflow)

    def _each(
        self, read: Callable[[str], _T], ids: Iterable[str]
    ) -> tuple[list[tuple[str, _T]], list[tuple[str, ConductorError]]]:
        """What `read` returns for each of these ids, and the ids for which it failed.

        Raises ConductorError if single items aren't to blame: Conductor can't be reached, or refuses the key.
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
        """Raises the error unless Conductor answers the same call for something else: then the items are to blame."""
        try:
            if kind == "task":
                conductor.task(_NOBODY)
            else:
                conductor.runs(_NOBODY)
        except ConductorError:
            raise error from None
