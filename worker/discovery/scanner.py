"""Finds waiting tasks: by sweeping Conductor's queue, and by searching its index (`worker.discovery.index`).

Both are always used: a server may queue the tasks, or know them only by its index; a poll's answer may get lost, and
another worker may have polled a task. What is asked when is `worker.discovery.state`'s to say.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import structlog

from store.records import Task
from worker.conductor.answers import Unreadable
from worker.conductor.client import POLL_BATCH, Conductor
from worker.conductor.errors import BrokenOff, ConductorError, OutcomeUnknown, is_of_an_item
from worker.discovery.index import CANNOT, Index
from worker.discovery.reconciliation import Reconciliation

log = structlog.get_logger()

_OVERLAP = 15_000
"""Milliseconds that a search reaches back behind the last one: an index may lag."""
_LATER = 1000
"""Milliseconds after a scan's beginning from which a task counts as one that came later: clocks differ a little."""
_AGAIN_EVERY = 2.0
_AGAIN_SHARE = 4
"""After a search that had to find its way around tasks, that long, and so many times as long as it took, searches leave
out what lies behind it."""
_BARELY = 250
"""Milliseconds that such a search reaches back all the same."""
_FAILED_POLLS = 5
"""Polls for one task, one after the other, that may fail before it is Conductor that is away."""
_UNREADABLE_POLLS = 20
"""Polls one after the other that may give nothing that can be read."""
_CHECKS_A_DISCOVERY = 50
"""Waiting tasks whose status is asked one by one at each discovery: what remains when there is no index."""


class Scanner:
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
        self._read_to = 0
        """The server's time up to which the index needs not be read again before `_again_at`."""
        self._again_at = float("-inf")
        self.whole = False
        """Whether the last scan has found every task that was waiting as it began; if not, the index is missing."""
        self.failure = ""
        """Why the index can't be searched, if it can't."""
        self.searched_to = 0
        """The server's time up to which the index was searched; 0 before the first search, which reads everything."""

    def scan(self) -> int:
        """Takes everything from the queues, and searches the index where that is needed; see then whether it is
        `whole`.

        Returns when it began, in milliseconds. Raises ConductorError if the queues couldn't be emptied.
        """
        began = self._conductor.now()
        self.whole = False
        try:
            for domain in self._queues:
                self._empty(domain, began)
        except OutcomeUnknown:
            self._state.poll_lost()
            raise
        if self._state.must_search(time.monotonic()):
            self.search()
        self.whole = self._state.whole(time.monotonic())
        return began

    def _empty(self, domain: str | None, began: int) -> None:
        """Takes all tasks from the queue that have waited since before the scan began.

        While polls take long and tasks go on coming, a queue is never found empty. It has been emptied too when it
        hands out all that it has, and none of that has come before the scan.

        A poll that fails as a whole may do so over one task: then one at a time is polled, and more again. What it has
        taken from the queue the index knows. Raises ConductorError if single polls go on failing.
        """
        count, failed = POLL_BATCH, 0
        while True:
            try:
                tasks = self._poll(domain, count)
            except ConductorError as error:
                failed += 1
                if not is_of_an_item(error) or failed > _FAILED_POLLS:
                    raise
                self._state.poll_lost()
                count = 1
                continue
            if not tasks:
                return
            self._found(tasks)
            later = began + self._conductor.server_clock.offset + _LATER
            # Queues hand out the oldest first; a full batch may be an exception, where workflows have priorities.
            if len(tasks) < count and all(task.scheduled_at > later for task in tasks):
                return
            count, failed = min(2 * count, POLL_BATCH), 0

    def _poll(self, domain: str | None, count: int) -> list[Task]:
        self._may_poll()
        for _ in range(_UNREADABLE_POLLS):
            unreadable: list[Unreadable] = []
            tasks = self._conductor.poll(self._worker_id, domain, unreadable, count)
            if tasks:
                self._state.queued(time.monotonic())
            if self._index.suspect(unreadable):
                self._state.poll_lost()
            if tasks or not unreadable:
                return tasks
        raise OutcomeUnknown("Conductor's queue hands out nothing but tasks that can't be read")

    def search(self) -> None:
        """Searches the index for what has come since the last search. One that fails is made again after a while.

        A search reaches back behind the last one. Where it has to find its way around tasks there, which takes many
        calls, it does so rarely: in between, searches begin behind those.
        """
        began = time.monotonic()
        to = self._conductor.server_now()
        since = max(0, self.searched_to - _OVERLAP)
        again = began >= self._again_at
        seen: set[str] = set()
        hidden: list[Unreadable] = []
        must = self._state.need(began) == "unsure"
        try:
            start = since if again else max(since, self._read_to)
            patience = self._state.patience()
            for page in self._index.waiting_since(start, must, hidden=hidden, patience=patience):
                # Searches overlap: what the last one saw need not be stored again.
                if fresh := [task for task in page if task.id not in self._seen]:
                    self._found(fresh)
                seen.update(task.id for task in page)
        except ConductorError as error:
            self._search_failed(error)
            return
        self.failure = ""
        self.searched_to = to
        self._seen = seen if again else self._seen | seen
        now = time.monotonic()
        if hidden or self._again_at == float("inf"):
            self._again_at = now + max(_AGAIN_EVERY, _AGAIN_SHARE * (now - began))
        self._read_to = to - _BARELY
        self._state.searched(now)

    def _search_failed(self, error: ConductorError) -> None:
        self.failure = str(error)
        if isinstance(error, BrokenOff):  # the next one goes on from there
            self._read_to, self._again_at = error.reached, float("inf")
            self._state.search_broke_off(time.monotonic())
        else:
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


class Discovery:
    """The scheduled look at the index, beside the scans: finds what they missed and what has ended."""

    def __init__(
        self,
        conductor: Conductor,
        index: Index,
        found: Callable[[list[Task]], None],
        gone: Callable[[list[str]], None],
        reconciliation: Reconciliation,
    ):
        self._conductor = conductor
        self._index = index
        self._found = found
        self._gone = gone
        self._reconciliation = reconciliation
        self._state = index.state
        self.searched_to = 0
        self._checked = ""

    def run(self, searched_to: int, waiting: Sequence[str]) -> None:
        """One discovery. `searched_to` is the scanner's; `waiting` are the ids of all waiting tasks.

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
        now = self._conductor.server_now()
        new_round = self._state.round_is_due()
        since = 0 if self._state.reads_everything() else max(0, (self.searched_to or searched_to) - _OVERLAP)
        listed: set[str] = set()
        unknown: list[Unreadable] = []
        if new_round:
            self._state.round_began()
        try:
            self._read(since, listed, unknown)
            if self._index.way != "workflows":  # which reads them all anyway
                self._reconcile(new_round, listed, now)
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

    def _read(self, since: int, listed: set[str], unknown: list[Unreadable]) -> None:
        """Finds the tasks in progress that started after that, however often the search breaks off."""
        while True:
            try:
                for page in self._index.waiting_since(since, listed=listed, unknown=unknown):
                    if page:
                        self._found(page)
                return
            except BrokenOff as error:
                since = error.reached

    def _reconcile(self, new_round: bool, listed: set[str], now: int) -> None:
        try:
            if new_round:
                self._reconciliation.begin(listed, now)
            self._reconciliation.step(listed)
        except ConductorError as error:
            if error.status not in CANNOT:
                raise
            self._reconciliation.end()
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
