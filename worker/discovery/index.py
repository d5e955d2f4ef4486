"""Finds waiting tasks that are in no queue: by a search, or in running workflows, as indexing may
be off.

A task or workflow that can't be read although
others can is a suspect (`worker.discovery.suspects`): the others are found without it.
"""

from __future__ import annotations

from collections.abc import (
    Callable,
    Collection,
    Container,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from concurrent.futures import Executor as Pool
from itertools import islice
from typing import Literal, TypeVar

import structlog

from store.clock import MonotonicClock
from store.records import Task
from worker.conductor.client import Conductor
from worker.conductor.errors import ConductorError, NotNow, Unreachable
from worker.conductor.responses import Listed, TaskStatus, Unreadable
from worker.conductor.search import fits_path
from worker.discovery.barrier import ShownAt
from worker.discovery.suspects import Kind, Suspect, Suspects

log = structlog.get_logger()

Way = Literal["search", "workflows"]
"""search: the index returns ids, and each new task is read. workflows: there is no search, so the
running workflows of all receivers are read."""
LAG = 30_000
"""Milliseconds within which a working index knows a task."""
_SEARCH_EVERY = 60.0
"""Seconds between two tries to search where that wasn't possible, which take one call each."""
_OFF = "the index lacks tasks that wait: indexing is off, or lags far behind"
_FIRST_READ = 1.0
"""Seconds that the first read of a single item waits for its answer. Later ones have their own
patience."""
_AT_ONCE = 100
"""Tasks that a search reads at once; further ones are read aside."""
_RETRIES = 4
"""Suspects that are read at a time: those that hang must not hold up other reads."""
_NOBODY = "webhook-bridge-nobody"
"""An id that no workflow and no task has."""
NEVER = (403, 404, 405, 501)
"""Answers that mean a server can't do this search, or doesn't allow it."""
CANNOT = (*NEVER, 500)
"""Answers to a search that may never work: some back ends answer 500 to one that they don't have.
Others say nothing about the search itself."""

_T = TypeVar("_T")


class Index:
    """Asks Conductor for waiting tasks that no queue hands out. Thread-safe."""

    def __init__(
        self,
        conductor: Conductor,
        pool: Pool | None,
        known: Container[str],
        clock: MonotonicClock,
    ):
        """Single reads run on the `pool`; one after the other if there is none. `known`: the ids of
        tasks known to wait."""
        self._conductor = conductor
        self._map = pool.map if pool is not None else map
        self.known = known
        self.clock = clock
        self.way: Way = "search"
        self.reason = ""
        """Why there is no search; empty if there is one."""
        self.proven = False
        """Whether any way has worked yet."""
        self._is_off = False
        """Whether the index has lacked tasks that it should know, and has shown none since."""
        self._search_at = float("inf")
        """When a search is tried again, if there is none."""
        self.suspects = Suspects(clock)
        self._over: dict[str, str] = {}
        """Tasks that have ended, and what the index said of them then, as of `Listed`."""
        self.receivers: Collection[str] = ()
        """The workflows whose tasks a webhook may complete; the owner of the definitions sets
        them."""

    def waiting_since(
        self,
        start: int,
        seen: set[str] | None = None,
        patience: float = float("inf"),
        must_show: bool = False,
        listed: set[str] | None = None,
    ) -> Generator[list[Task], None, float]:
        """Pages of tasks in progress that started after that time by the server's clock; all of
        them for 0, or if running workflows are read.

        Leaves out known tasks; `seen` collects the ids of all that a search shows. `patience`:
        seconds to wait for each page. `must_show`: whether a working index has something to show.
        `listed`: as for `running`; stays empty after a search. Returns the seconds that this took,
        without the reads of single tasks after a search. Raises ConductorError.
        """
        if seen is None:
            seen = set()
        conductor, why_not = self._conductor.within(patience), ""
        began = self.clock.monotonic()
        if self.way == "search" or self.clock.monotonic() >= self._search_at:
            try:
                took = yield from self._search(conductor, conductor.waiting_ids_since(start), seen)
            except ConductorError as error:
                if error.status not in CANNOT:
                    raise
                why_not = str(error)
            else:
                self._is_off = not seen and (must_show or self._is_off)
                if not self._is_off:
                    self.way, self.reason, self.proven = "search", "", True
                    self._over = {
                        id_: as_of for id_, as_of in list(self._over.items()) if id_ in seen
                    }
                    return took
                why_not = _OFF
        yield from self._running_tasks(conductor, set() if listed is None else listed)
        self.proven = True
        if why_not:
            self.way, self.reason = "workflows", why_not
            self._search_at = self.clock.monotonic() + _SEARCH_EVERY
        return self.clock.monotonic() - began

    def waiting_of(self, workflow: str, patience: float) -> Generator[list[Task], None, float]:
        """Pages of all tasks in progress of one receiver, as for `waiting_since`. None if running
        workflows are read: those are all receivers' anyway."""
        if self.way != "search":
            return 0.0
        conductor = self._conductor.within(patience)
        return (yield from self._search(conductor, conductor.waiting_ids_since(0, workflow), set()))

    def ended_since(self, end: int) -> set[str]:
        """The ids of tasks that seem to have ended after that time by the server's clock. Raises
        ConductorError."""
        if self.way == "workflows":
            return set()
        return self._conductor.ended_since(end)

    def statuses_of(self, task_ids: Sequence[str]) -> dict[str, TaskStatus | None]:
        """What Conductor says about each task: None if it doesn't know it. Those it doesn't answer
        for are left out.

        Raises ConductorError if it answers for none of them.
        """
        found, failed = self._each(self._conductor.task, task_ids)
        if failed and not found:
            self._must_answer(self._conductor, "task", failed[0][1])
        return dict(found)

    def running(self, listed: set[str]) -> dict[str, str]:
        """The ids of the receivers' running workflows, with their names.

        `listed` collects the receivers whose workflows are listed, or never can be on this server;
        others' may be later. Raises ConductorError if it lists none.
        """
        return {id_: name for name, ids in self._running_by_name(listed) for id_ in ids}

    def unread_workflows(self) -> set[str]:
        """The names of workflows of which one can't be read right now."""
        return {item.workflow for item in self.suspects.all() if item.kind == "workflow"}

    def waiting_in(
        self, workflows: Mapping[str, str], conductor: Conductor | None = None
    ) -> Iterator[list[Task]]:
        """The tasks in progress of these workflows, ids with names, that aren't known. Raises
        ConductorError if none can be read."""
        read = self._conductor.within(_FIRST_READ).waiting_in
        found = self._read(conductor or self._conductor, "workflow", read, workflows)
        for _, tasks in found:
            new = [task for task in tasks if task.id not in self.known]
            if new:
                yield new
        self.suspects.read("workflow", [id_ for id_, _ in found])

    def suspect(self, items: Iterable[Unreadable]) -> bool:
        """From now on, reads these list items by their ids; returns whether all have one."""
        have_ids = True
        for item in items:
            if item.id is None:
                have_ids = False
                log.warning("neither a waiting task nor its id can be read", error=item.reason)
            elif item.id not in self.known and ("task", item.id) not in self.suspects:
                # Only once: from then on it has its own retry times.
                self._failed("task", item.id, item.reason, item.workflow)
        return have_ids

    def unread(self) -> dict[ShownAt, bool]:
        """When items were shown that may hold tasks for events and can't be read right now, and
        whether new events wait for them."""
        found: dict[ShownAt, bool] = {}
        for item in self.suspects.all():
            if item.kind == "task" and item.id in self.known:
                continue
            at = ShownAt(item.workflow, int(item.since))  # there may be thousands of items
            found[at] = found.get(at, False) or self._is_awaited(item)
        return found

    def _is_awaited(self, item: Suspect) -> bool:
        # Where there is a search, workflows are read only to find what it missed.
        may_hold_a_task = item.kind == "task" or self.way == "workflows"
        return may_hold_a_task and self.suspects.is_awaited(item)

    def retry(self) -> Iterator[list[Task]]:
        """Reads the suspects that are due; yields those that are waiting. Raises ConductorError if
        Conductor is away."""
        while unread := self.suspects.unread(_AT_ONCE):
            read = self._read_tasks(self._conductor, unread)
            yield [task for _, task in read if isinstance(task, Task)]
            self.suspects.read("task", [id_ for id_, _ in read])
        due = self.suspects.due(25 * _RETRIES)
        for first in range(0, len(due), _RETRIES):
            yield from self._read_again(due[first : first + _RETRIES])

    def _read_again(self, some: Sequence[Suspect]) -> Iterator[list[Task]]:
        conductor = self._conductor.within(max(suspect.patience for suspect in some))
        tasks = {suspect.id: suspect.workflow for suspect in some if suspect.kind == "task"}
        workflows = {suspect.id: suspect.workflow for suspect in some if suspect.kind == "workflow"}
        read = self._read(self._conductor, "task", conductor.waiting_task, tasks)
        read_in = self._read(self._conductor, "workflow", conductor.waiting_in, workflows)
        found = [task for _, task in read if isinstance(task, Task)]
        found += [task for _, waiting in read_in for task in waiting]
        new = [task for task in found if task.id not in self.known]
        if new:
            yield new
        # Only now: an event waits for them until the caller has the tasks.
        self.suspects.read("task", [id_ for id_, _ in read])
        self.suspects.read("workflow", [id_ for id_, _ in read_in])

    def _search(
        self, conductor: Conductor, pages: Iterator[dict[str, Listed]], seen: set[str]
    ) -> Generator[list[Task], None, float]:
        """Reads the new tasks of these pages, but puts off most if there are many: others' events
        would wait. Returns the seconds that it took to get the pages."""
        left, took, began = _AT_ONCE, 0.0, self.clock.monotonic()
        for page in pages:
            took += self.clock.monotonic() - began
            new = {
                id_: one
                for id_, one in page.items()
                if id_ not in seen and self._must_be_read(id_, one)
            }
            seen.update(page)
            workflows = {id_: one.workflow for id_, one in new.items()}
            self.suspects.put_off(dict(islice(workflows.items(), left, None)))
            some = dict(islice(workflows.items(), left))
            left -= len(some)
            read = self._read_tasks(conductor, some)
            over = (id_ for id_, found in read if isinstance(found, TaskStatus) and found.terminal)
            self._over.update((id_, new[id_].as_of) for id_ in over)
            yield [task for _, task in read if isinstance(task, Task)]
            began = self.clock.monotonic()
        return took + self.clock.monotonic() - began

    def _must_be_read(self, task_id: str, listed: Listed) -> bool:
        """Whether the task may be new: not if it is no receiver's, or had ended when the index said
        the same of it."""
        return (
            task_id not in self.known
            and ("task", task_id) not in self.suspects
            and self._over.get(task_id) != listed.as_of
            and (not listed.workflow or listed.workflow in self.receivers)
        )

    def _read_tasks(
        self, conductor: Conductor, tasks: Mapping[str, str]
    ) -> list[tuple[str, Task | TaskStatus | None]]:
        return self._read(
            conductor, "task", self._conductor.within(_FIRST_READ).waiting_task, tasks
        )

    def _running_tasks(self, conductor: Conductor, listed: set[str]) -> Iterator[list[Task]]:
        """The tasks of the receivers' running workflows."""
        for name, ids in self._running_by_name(listed):
            unsuspected = [id_ for id_ in ids if ("workflow", id_) not in self.suspects]
            yield from self.waiting_in(dict.fromkeys(unsuspected, name), conductor)

    def _running_by_name(self, listed: set[str]) -> Iterator[tuple[str, list[str]]]:
        """Each receiver with its running workflows, as for `running`."""
        receivers = list(self.receivers)
        found, failed = self._each(self._conductor.running, filter(fits_path, receivers))
        if failed and not found:
            raise next((one for _, one in failed if one.status not in NEVER), failed[0][1])
        listed.update(receivers)
        for name, error in failed:
            log.warning(
                "the running workflows of a receiver can't be read", workflow=name, error=str(error)
            )
            if error.status not in NEVER:
                listed.remove(name)
        yield from found

    # --- one by one ---

    def _read(
        self, conductor: Conductor, kind: Kind, read: Callable[[str], _T], ids: Mapping[str, str]
    ) -> list[tuple[str, _T]]:
        """What `read` returns for each of these ids, which come with their workflows' names, or
        empty texts. Ids for which it fails alone become suspects.

        Raises ConductorError if it fails for all of them and Conductor doesn't answer for a made-up
        id either.
        """
        found, failed = self._each(read, ids)
        if failed and not found:
            self._must_answer(conductor, kind, failed[0][1])
        for id_, error in failed:
            self._failed(kind, id_, str(error), ids[id_])
        return found

    def _failed(self, kind: Kind, id_: str, reason: str, workflow: str) -> None:
        if (kind, id_) not in self.suspects:
            log.warning(
                f"a {kind} can't be read; the others are found without it", id=id_, error=reason
            )
        self.suspects.failed(kind, id_, reason, workflow)

    def _each(
        self, read: Callable[[str], _T], ids: Iterable[str]
    ) -> tuple[list[tuple[str, _T]], list[tuple[str, ConductorError]]]:
        """What `read` returns for each of these ids, and the ids for which it failed.

        Raises ConductorError if single items aren't to blame: Conductor can't be reached, or
        refuses the key.
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
            elif isinstance(error, Unreachable) or (
                isinstance(error, NotNow) and error.status != 403
            ):
                raise error
            else:
                failed.append((id_, error))
        return found, failed

    def _must_answer(self, conductor: Conductor, kind: Kind, error: ConductorError) -> None:
        """Raises the error unless Conductor answers the same call for something else: then the
        items are to blame."""
        try:
            if kind == "task":
                conductor.task(_NOBODY)
            else:
                conductor.runs(_NOBODY)
        except ConductorError:
            raise error from None
