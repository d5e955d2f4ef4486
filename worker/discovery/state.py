"""What is known about how waiting tasks are found: one state with named transitions. Nothing here makes a call.

Conductor's queue hands a task out once, and some servers don't queue these tasks. What the queue doesn't hand out, the
index may know, in one way or another. Which of these holds differs between servers and changes over time. So everything
known here expires, through what is seen next or after a while. `docs/architecture.md` draws the states.
"""

from __future__ import annotations

import time
from typing import Literal, get_args

from store.clock import MonotonicClock
from worker.conductor.backoff import wait_before

Need = Literal["unsure", "queue", "both"]
"""What a scan must query to be complete.

unsure: a poll's answer may be lost, this worker's or its predecessor's: the index, once. queue: the queue hands out
every task. both: the index alone has found tasks: queue and index."""
Way = Literal["search-v2", "search", "workflows"]
"""search-v2: the index returns whole tasks. search: it returns ids, and each new task is read. workflows: there is no
search, so the running workflows of all receivers are read."""
WAYS: tuple[Way, ...] = get_args(Way)
Shown = Literal["untried", "tasks", "nothing", "off"]
"""What the index showed when it was last read from the beginning.

untried: it hasn't been read yet. tasks: it showed some, so from then on only new ones are read. nothing: it showed
none; either nothing waits, or indexing is off. off: it showed none although tasks wait: running workflows are read
instead."""

TRIES = 3
"""Failed searches after which scans do without the index, if it never found anything alone."""
LATE_POLLS = 60.0
"""Seconds for which a poll without an answer may still take tasks off the queue. Meanwhile every scan searches."""
QUIET = 2.0
"""Seconds that an index may take to learn of a task that a lost poll took."""
SEARCH_GAP = 1.0
"""Minimum seconds between two searches on behalf of events without a taker."""
AGREE_FOR = 24 * 3600.0
"""Seconds without a task found by the index alone, while the queue handed out tasks, after which the queue suffices."""
FULL_READ_EVERY = 40
"""Discoveries between two that read all waiting tasks from the index."""
SILENT_FOR = 3600.0
"""Seconds for which no hold ends while searches get no answer."""
_LOSSES = 100
"""Lost polls that are told apart."""
_LONGEST_PATIENCE = 60.0
_PATIENCE = 2.0
_BETTER_EVERY = 60.0
"""Seconds until a better way than the current one is tried again, which takes one call."""
_CHECK_EMPTY_EVERY = 120.0
"""Seconds between two checks of whether an empty index is right."""
_SHARE = 10
"""Reading all running workflows takes at most one part in this many of the time, unless it must be done."""
_NEVER = float("-inf")


class DiscoveryState:
    """Belongs to one term. The loop's thread changes what scans need; whichever thread queries the index changes what
    it showed.

    Each transition sets single values, so at worst another thread queries once too often, or a moment late.
    """

    def __init__(self, clock: MonotonicClock = time, search_gap: float = SEARCH_GAP) -> None:
        self.clock = clock
        self._search_gap = search_gap
        # What a scan needs.
        self._unsure = True
        self._late_until = _NEVER
        self._lost_at: list[float] = []
        self._index_alone_at: float | None = None
        self._queued_at = _NEVER
        self._wanted = False
        self._searched_at = _NEVER
        self._missed = 0
        self._failures = 0
        self._in_a_row = 0
        self._silent_since: float | None = None
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
        # Discoveries.
        self._discoveries = 0
        self._distrusted = False

    @property
    def _now(self) -> float:
        return self.clock.monotonic()

    # --- what a scan needs ---

    def need(self) -> Need:
        """What a scan must query to be complete."""
        if self._unsure:
            return "unsure"
        return "both" if self._needs_index() else "queue"

    @property
    def lost_at(self) -> list[float]:
        """When polls were lost whose tasks the index may not know yet, by the clock."""
        return list(self._lost_at)

    @property
    def patient(self) -> bool:
        """Whether even events with a taker wait while scans aren't complete: the index may know others of their
        takers, and has failed only a few times in a row."""
        return self._in_a_row < TRIES

    @property
    def silent(self) -> bool:
        """Whether searches get no answer, but may soon: no hold ends meanwhile, as a task that only the index knows may
        have come in time."""
        return self._silent_since is not None and self._now < self._silent_since + SILENT_FOR

    def _needs_index(self) -> bool:
        return self._now < self._late_until or self._finds_alone()

    def _finds_alone(self) -> bool:
        found, queued = self._index_alone_at, self._queued_at
        return found is not None and not (self._now - found > AGREE_FOR and queued > found)

    def complete(self) -> bool:
        """Whether the scan that just ended found every task that was waiting when it began."""
        need = self.need()
        return need == "queue" or (need == "both" and not self._failures)

    def must_search(self) -> bool:
        """Whether a scan should search now. If the search is needed and fails, it is repeated after a while."""
        if self._now < self._try_at:
            return False
        return self.need() != "queue" or self.silent or (self._wanted and self.may_search())

    def may_search(self) -> bool:
        """Whether an event without a taker may cause a search of the index now."""
        return self._now >= max(self._searched_at + self._search_gap, self._try_at)

    def search_due_in(self) -> float:
        """Seconds until a scan should search even if there is nothing else to do; infinite if none should."""
        if not self.complete() or self.silent:
            return max(0.0, self._try_at - self._now)
        if self._wanted:
            return max(0.0, max(self._searched_at + self._search_gap, self._try_at) - self._now)
        return float("inf")

    def patience(self) -> float:
        """Seconds that a scan waits for the index's answer; events that don't need it wait too."""
        return min(_LONGEST_PATIENCE, _PATIENCE * 2.0 ** min(self._failures, 5))

    def found_by_index_alone(self, seconds_ago: float = 0.0) -> None:
        """A task was found that no queue handed out, now or in the predecessor's term."""
        self._index_alone_at = self._now - max(0.0, seconds_ago)

    def queued(self) -> None:
        """The queue has handed out tasks."""
        self._queued_at = self._now

    def poll_lost(self) -> None:
        """A poll failed, or a task in it can't be identified: only the index knows now."""
        self._unsure = True
        self._missed = 0
        self._lost_at = [*self._lost_at[: _LOSSES - 1], self._now]
        self.poll_may_be_late()

    def poll_may_be_late(self) -> None:
        """A poll without an answer, perhaps the predecessor's, may still take tasks that only the index then knows."""
        self._late_until = self._now + LATE_POLLS

    def want_search(self) -> None:
        """An event has found no taker: the next scan that may search does so."""
        self._wanted = True

    def searched(self, began: float) -> None:
        """A scan has searched the index. `began`: when it did, by the clock."""
        self._wanted = False
        self._unsure = False
        self._missed = self._failures = self._in_a_row = 0
        self._silent_since = None
        self._lost_at = [at for at in self._lost_at if began < at + QUIET]
        self._searched_at, self._try_at = self._now, _NEVER

    def search_failed(self, answered: bool = True) -> None:
        """A scan couldn't search the index. If searches were never of use, the queue must suffice after a few tries.

        `answered`: whether Conductor said so, and not just nothing in time.
        """
        self._failures += 1
        self._missed += 1
        self._in_a_row += 1
        self._try_at = self._now + wait_before(self._failures)
        if answered:
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = self._now
        if self._missed >= TRIES and not self._finds_alone():
            self._unsure = self._wanted = False
            self._late_until = _NEVER
            self._lost_at.clear()
            self._missed = 0

    def search_broke_off(self) -> None:
        """A scan has searched as much of the index as it may at once: the next one continues soon."""
        self._failures = max(1, self._failures)
        self._in_a_row += 1
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

    # --- discoveries ---

    def reconciliation_is_due(self) -> bool:
        """Whether the next discovery begins a reconciliation: the whole index is read, and all running workflows."""
        return self._discoveries % FULL_READ_EVERY == 0 or self._distrusted

    def reads_everything(self) -> bool:
        """Whether the next discovery reads the index from the beginning, and not only what is new."""
        return self.reconciliation_is_due() or self.shown != "tasks"

    def conductor_was_away(self) -> None:
        """Conductor may have been killed between updating its store and its index: a new reconciliation is due."""
        self._distrusted = True

    def reconciliation_began(self) -> None:
        """A discovery begins a reconciliation."""
        self._distrusted = False

    def reconciliation_broke_off(self) -> None:
        """The reconciliation couldn't begin."""
        self._distrusted = True

    def discovered(self) -> None:
        """A discovery has succeeded."""
        self._discoveries += 1
