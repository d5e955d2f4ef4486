"""What is known about how waiting tasks are found: one state with named transitions. Nothing here makes a call.

Conductor's queue hands a task out once, and some servers don't queue these tasks. What the queue doesn't hand out, the
index may know, in one way or another. Which of these holds differs between servers and changes over time. So everything
known here expires, through what is seen next or after a while. `docs/architecture.md` draws the states.
"""

from __future__ import annotations

import time
from typing import Literal, get_args

from store.clock import MonotonicClock
from worker.discovery.barrier import Barrier
from worker.retries import wait_before

Way = Literal["search-v2", "search", "workflows"]
"""search-v2: the index returns whole tasks. search: it returns ids, and each new task is read. workflows: there is no
search, so the running workflows of all receivers are read."""
WAYS: tuple[Way, ...] = get_args(Way)
Shown = Literal["untried", "tasks", "nothing", "off"]
"""What the index showed when it was last read from the beginning.

untried: it hasn't been read yet. tasks: it showed some, so from then on only new ones are read. nothing: it showed
none; either nothing waits, or indexing is off. off: it showed none although tasks wait: running workflows are read
instead."""

SEARCH_GAP = 1.0
"""Minimum seconds between two searches on behalf of events without a taker."""
_LONGEST_PATIENCE = 60.0
_PATIENCE = 2.0
_BETTER_EVERY = 60.0
"""Seconds until a better way than the current one is tried again, which takes one call."""
_CHECK_EMPTY_EVERY = 120.0
"""Seconds between two checks of whether an empty index is right."""
_SHARE = 10
"""Reading all running workflows takes at most one part in this many of the time."""
_NEVER = float("-inf")


class DiscoveryState:
    """Belongs to one term. The loop's thread changes when to look; whichever thread queries the index changes what it
    showed.

    Each transition sets single values, so at worst another thread queries once too often, or a moment late.
    """

    def __init__(self, clock: MonotonicClock = time, search_gap: float = SEARCH_GAP) -> None:
        self.clock = clock
        self._search_gap = search_gap
        self.barrier = Barrier(clock)
        self._wanted = False
        self._searched_at = _NEVER
        self._failures = 0
        self._try_at = _NEVER
        # The index.
        self.shown: Shown = "untried"
        self.way: Way = WAYS[0]
        self.reason = ""
        """Why no better way is used; empty for the best one."""
        self.proven = False
        """Whether any way has worked yet."""
        self._better_at = float("inf")
        self._read_workflows_at = self._check_empty_at = _NEVER

    @property
    def _now(self) -> float:
        return self.clock.monotonic()

    # --- when to look ---

    def must_search(self) -> bool:
        """Whether a scan should search now. One that fails is repeated after a while."""
        return self.search_due_in() <= 0.0

    def will_search(self) -> bool:
        """Whether the next scan will search even if there is nothing else to do."""
        return self.must_search() or (self.barrier.needs_index and self._now >= self._try_at)

    def may_search(self) -> bool:
        """Whether an event without a taker may cause a search of the index now."""
        return self._now >= self._next_at()

    def search_due_in(self) -> float:
        """Seconds until a scan should search even if there is nothing else to do; infinite if none should."""
        due = self.barrier.look_due_at()
        if self.failing:
            due = self._try_at
        elif self._wanted:
            due = min(due, self._next_at())
        return max(0.0, max(due, self._try_at) - self._now)

    def _next_at(self) -> float:
        return max(self._searched_at + self._search_gap, self._try_at)

    def patience(self) -> float:
        """Seconds that a scan waits for the index's answer; events that don't need it wait too."""
        return min(_LONGEST_PATIENCE, _PATIENCE * 2.0 ** min(self._failures, 5))

    def want_search(self) -> None:
        """An event has found no taker: the next scan that may search does so."""
        self._wanted = True

    def searched(self, began: float) -> None:
        """A scan has searched the index; the search began then, by the clock."""
        self._wanted = False
        self._failures = 0
        self._searched_at = self._now
        self._try_at = self._read_workflows_at if self.way == "workflows" else _NEVER
        self.barrier.looked(began)

    def search_failed(self) -> None:
        """A scan couldn't search the index."""
        self._failures += 1
        self._try_at = self._now + wait_before(self._failures)
        self.barrier.look_failed()

    def search_broke_off(self) -> None:
        """A scan has searched as much of the index as it may at once: the next one continues soon."""
        self._failures = max(1, self._failures)
        self._try_at = self._now + wait_before(1)

    @property
    def failing(self) -> bool:
        """Whether the last scan that tried to search the index failed."""
        return self._failures > 0

    # --- the index ---

    def ways(self) -> tuple[Way, ...]:
        """The ways to try, one after the other until one works."""
        return WAYS if self._now >= self._better_at else WAYS[WAYS.index(self.way) :]

    def counts(self, way: Way, shown: bool) -> bool:
        """Whether this way's answer counts: an index that was off must show a task to prove that it is on again."""
        return way == "workflows" or self.shown != "off" or shown

    def worked(self, way: Way, reason: str, everything: bool, shown: bool) -> None:
        """This way has worked; a better one that was tried didn't, for that reason.

        `everything`: all was read, not only what is new. `shown`: the answer had any task.
        """
        self.proven = True
        if way != "workflows":
            if shown:
                self.shown = "tasks"
            elif everything:
                self.shown = "nothing"
        elif self.shown != "off":
            self.shown = "untried"
        if way == WAYS[0]:
            self.way, self.reason, self._better_at = way, "", float("inf")
        else:
            if way != self.way or self._now >= self._better_at:
                self._better_at = self._now + _BETTER_EVERY
            if way != self.way or reason:
                self.way, self.reason = way, reason

    def index_is_off(self) -> None:
        """The index answers, but lacks tasks that it should know."""
        self.shown = "off"
        reason = "the index lacks tasks that wait: indexing is off, or lags far behind"
        self.worked("workflows", reason, everything=True, shown=False)

    def may_read_workflows(self) -> bool:
        """Whether all running workflows may be read again."""
        return self._now >= self._read_workflows_at

    def workflows_read(self, seconds: float) -> None:
        """All running workflows were read, which took this long."""
        self._read_workflows_at = self._now + max(1.0, _SHARE * seconds)

    def may_check_empty(self, must: bool) -> bool:
        """Whether to compare an empty index with running workflows now: if it `must`, or if the last comparison is long
        enough ago."""
        if self._now < self._check_empty_at and not must:
            return False
        self._check_empty_at = self._now + _CHECK_EMPTY_EVERY
        return True
