"""Deliveries that arrive together are committed together: a commit costs the same for one event as for several."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from store.errors import StoreUnavailable
from store.records import Committed, NewEvent

Take = Callable[[], list[Sequence[NewEvent]]]
"""Closes the group, and returns the events of each delivery in it. Call it once this process may write to the database:
deliveries that arrive while another process writes are then included."""
Commit = Callable[[Take, float], list[list[Committed]]]
"""Writes what it takes, all or nothing, and returns an answer for each delivery; waits for the database until that time
(monotonic clock). Raises StoreUnavailable, or another exception if the database refuses one of them."""


class _Group:
    """Deliveries to be committed together. The thread that opened the group commits it for all; the others wait for
    `done`."""

    def __init__(self) -> None:
        self.deliveries: list[Sequence[NewEvent]] = []
        self.outcomes: list[list[Committed] | StoreUnavailable] = []
        """One result per delivery, once `done`; empty if the thread that should have committed was stopped."""
        self.done = threading.Event()


class Scheduler(Protocol):
    """How one of a process's deliveries yields to the others, if they are greenlets of one thread."""

    def let_others_run(self) -> None:
        """Lets the greenlets that are ready add their deliveries before the database is locked."""

    def block(self, seconds: float) -> None:
        """Blocks all of them for a moment: for waits that are shorter than a switch."""


class GroupCommit:
    """Groups the deliveries of one process. Thread-safe, and safe for greenlets of one thread."""

    def __init__(self, commit: Commit, scheduler: Scheduler | None = None):
        """Without a `scheduler`, each delivery has its own thread."""
        self._commit = commit
        self._scheduler = scheduler
        self._lock = threading.Lock()
        self._open: _Group | None = None

    def append(self, events: Sequence[NewEvent], until: float = float("inf")) -> list[Committed]:
        """Commits the events together with others', and returns once they are on disk. Raises StoreUnavailable.

        A group waits for the database as long as its first delivery may. The others came later, so they get their
        answers sooner than they must.
        """
        with self._lock:
            group, first = self._open, self._open is None
            if group is None:
                group = self._open = _Group()
            number = len(group.deliveries)
            group.deliveries.append(events)
        if first:
            self._commit_for_all(group, until)
        else:
            group.done.wait()
        outcome = group.outcomes[number] if group.outcomes else StoreUnavailable("the commit was interrupted")
        if isinstance(outcome, StoreUnavailable):
            raise outcome
        return outcome

    def _commit_for_all(self, group: _Group, until: float) -> None:
        try:
            if self._scheduler is not None:
                self._scheduler.let_others_run()
            group.outcomes = [*self._commit(lambda: self._close(group), until)]
        except StoreUnavailable as error:
            group.outcomes = [error] * len(self._close(group))
        except Exception as error:
            # A delivery that the database refuses must not fail the others in its group.
            deliveries = self._close(group)
            group.outcomes = (
                [_refused(error)]
                if len(deliveries) == 1
                else [self._commit_alone(events, until) for events in deliveries]
            )
        finally:
            self._close(group)
            group.done.set()

    def _commit_alone(self, events: Sequence[NewEvent], until: float) -> list[Committed] | StoreUnavailable:
        try:
            return self._commit(lambda: [events], until)[0]
        except StoreUnavailable as error:
            return error
        except Exception as error:
            return _refused(error)

    def _close(self, group: _Group) -> list[Sequence[NewEvent]]:
        """Closes the group; returns its deliveries."""
        with self._lock:
            if self._open is group:
                self._open = None
        return group.deliveries


def _refused(error: Exception) -> StoreUnavailable:
    return StoreUnavailable(f"{type(error).__name__}: {error}")
