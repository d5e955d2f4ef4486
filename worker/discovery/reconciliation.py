"""Reads all running workflows of the receivers, in steps, and finds tasks that nothing else shows.

A Conductor that is killed after storing that a task was polled, but before updating its index,
leaves a task that no queue hands out and no search ever finds (measured). Only its workflow shows
it.

One receiver's workflows are read after the other's, and what breaks off is taken up again there. A
receiver is complete once all of its running workflows were read and, where tasks of it are known to
wait for long, they showed one of these: an empty server is another server.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from itertools import islice

import structlog

from store.records import Task
from store.sql.waiting import WaitingTasks
from worker.conductor.errors import ConductorError
from worker.conductor.search import fits_path
from worker.discovery.index import NEVER, Index, batches

log = structlog.get_logger()

LONG = 60_000
"""Milliseconds after which a task has waited for long: whatever showed it, its workflow does too."""
_WITNESSES = 50
"""Tasks that have waited for long of which a receiver's workflows must show one."""


class Reconciliation:
    """One, from its beginning until each receiver is complete. For one thread."""

    def __init__(
        self, index: Index, waiting: WaitingTasks, began: int, former: Reconciliation | None = None
    ):
        """It begins then, in Unix milliseconds by the store's clock, with what a `former` one that
        it replaces has left."""
        self._index = index
        self._waiting = waiting
        self.began = began
        left = set() if former is None else {former._name, *former._names}
        ahead = [] if former is None else former._ahead
        self._turns = {workflow_id: turn for turn, workflow_id in enumerate(ahead)}
        """Running workflows that are to be read before others, as they weren't yet."""
        # Of a receiver whose name fits no path nothing is ever shown.
        names = filter(fits_path, list(index.receivers))
        self._names: deque[str] = deque(sorted(names, key=lambda name: name not in left))
        """The receivers whose running workflows are still to be listed."""
        self._name: str = ""
        """The receiver whose running workflows are being read."""
        self._ahead: list[str] = []
        """Those that are still to be read."""
        self._witnesses = set[str]()
        """Tasks that have waited for long of which none was shown yet."""
        self.incomplete = set[str]()
        """Receivers that are to be read again."""

    @property
    def is_read(self) -> bool:
        """Whether everything was read, as far as it could be."""
        return not self._names and not self._ahead

    @property
    def is_complete(self) -> bool:
        """Whether each receiver is complete."""
        unread = self._index.unread_workflows()
        return self.is_read and not self.incomplete and unread.isdisjoint(self._index.receivers)

    def read_incomplete_again(self) -> None:
        """Begins again with the receivers that aren't complete, and only with these."""
        self._names.extend(sorted(self.incomplete))
        self.incomplete.clear()

    def step(self, most: int) -> Iterator[list[Task]]:
        """Reads up to so many workflows, and yields their tasks that aren't known.

        Raises ConductorError if Conductor doesn't answer: the next step goes on there.
        """
        while most > 0 and not self.is_read:
            if not self._ahead:
                self._list()
            for some in islice(batches(self._ahead[:most]), 1):
                yield from self._read(some)
                most -= len(some)
            if not self._ahead:
                self._close()

    def _list(self) -> None:
        name = self._names[0]
        try:
            running = self._index.running(name)
        except ConductorError as error:
            if not error.status:
                raise
            log.warning(
                "the running workflows of a receiver can't be read", workflow=name, error=str(error)
            )
            running = []
            if error.status not in NEVER:
                self.incomplete.add(name)
        else:
            self._witnesses.update(self._waiting.seen_by(self.began - LONG, _WITNESSES, name))
        self._name = self._names.popleft()
        # A task that was missed is more likely where none is known to wait.
        known = self._waiting.workflows_among(running)
        running.sort(key=lambda id_: (id_ in known, self._turns.get(id_, len(self._turns))))
        # Suspects are read at their own times.
        self._ahead = [id_ for id_ in running if ("workflow", id_) not in self._index.suspects]

    def _read(self, workflow_ids: Collection[str]) -> Iterator[list[Task]]:
        for tasks in self._index.waiting_in(dict.fromkeys(workflow_ids, self._name)):
            if not self._witnesses.isdisjoint(task.id for task in tasks):
                self._witnesses.clear()
            yield self._index.unknown(tasks)
        del self._ahead[: len(workflow_ids)]

    def _close(self) -> None:
        """The receiver's running workflows were all read."""
        if self._waiting.among(self._witnesses):  # they haven't ended meanwhile either
            self.incomplete.add(self._name)
            log.warning("running workflows don't show tasks that wait", workflow=self._name)
        self._witnesses.clear()
