"""What is known of how waiting tasks are found: one state, with named transitions; nothing here asks anybody.

Conductor's queue hands a task out once, and never one that a server doesn't queue at all. What the queue doesn't hand
out, the index may know, in one way or another. Which of that holds differs between servers and changes with time. So
whatever is known here ends: by what is seen next, or after a while. `docs/architecture.md` draws the states.

Times are seconds of one clock that only goes forward, as `time.monotonic` does.
"""

from __future__ import annotations

from typing import Literal, get_args

from worker.conductor.backoff import wait_before

Need = Literal["unsure", "queue", "both"]
"""What a scan must have asked to be whole.

unsure: the answer of a poll may be lost, this worker's or that of the one before: the index, once.
queue: the queue hands out every task.
both: tasks have been found by the index alone: queue and index."""
Way = Literal["search-v2", "search", "workflows"]
"""search-v2: the index gives whole tasks. search: it gives ids, and each task that is new is read. workflows: without a
search, the running workflows of all receivers are read."""
WAYS: tuple[Way, ...] = get_args(Way)
Shown = Literal["untried", "tasks", "nothing", "off"]
"""What the index has shown when it was last read from the beginning.

untried: it wasn't read yet. tasks: some, so that from then on it is enough to read what is new. nothing: none at all;
either nothing waits, or it is off. off: none, though tasks wait: running workflows are read instead."""

CHANCES = 3
"""Tries to search the index before a scan does without, where nothing was found by the index alone."""
AT_ONCE_EVERY = 1.0
"""Seconds between two searches at least that are made because an event found no taker."""
AGREE_FOR = 24 * 3600.0
"""Seconds for which the index has found nothing alone, while the queue has handed out tasks: then the queue will do."""
FULL_READ_EVERY = 40
"""Discoveries until all waiting tasks are read from the index again."""
_LONGEST_PATIENCE = 60.0
_PATIENCE = 2.0
_BETTER_EVERY = 60.0
"""Seconds until a better way than the one in force is tried again: one call."""
_SAMPLE_EVERY = 120.0
"""Seconds between two looks whether an index that shows nothing is right."""
_SHARE = 10
"""Reading all running workflows takes at most one part in so many of the time, unless it must be."""
_NEVER = float("-inf")


class DiscoveryState:
    """One term's. The loop's thread changes what scans need; whoever asks the index changes what that has shown.

    Each transition sets single values, so that a thread beside may at worst ask once more, or a moment later.
    """

    def __init__(self) -> None:
        # What a scan needs.
        self._unsure = True
        self._alone_at: float | None = None
        self._queued_at = _NEVER
        self._wanted = False
        self._searched_at = _NEVER
        self._missed = 0
        self._failures = 0
        self._try_at = _NEVER
        # The index.
        self.shown: Shown = "untried"
        self.way: Way = WAYS[0]
        self.reason = ""
        """Why it isn't a better way; empty for the best."""
        self._better_at = float("inf")
        self._scan_at = self._sample_at = _NEVER
        # Discoveries.
        self._runs = 0
        self._distrusted = False

    # --- what a scan needs ---

    def need(self, now: float) -> Need:
        """What a scan must have asked to be whole."""
        if self._unsure:
            return "unsure"
        return "both" if self._alone(now) else "queue"

    def _alone(self, now: float) -> bool:
        found, queued = self._alone_at, self._queued_at
        return found is not None and not (now - found > AGREE_FOR and queued > found)

    def whole(self, now: float) -> bool:
        """Whether the scan that has just ended has found every task that was waiting as it began."""
        need = self.need(now)
        return need == "queue" or (need == "both" and not self._failures)

    def must_search(self, now: float) -> bool:
        """Whether a scan is to search now. If that is needed and fails, it is tried again after a while."""
        if now < self._try_at:
            return False
        return self.need(now) != "queue" or (self._wanted and self.may_search(now))

    def may_search(self, now: float) -> bool:
        """Whether an event that finds no taker may have the index searched now."""
        return now >= max(self._searched_at + AT_ONCE_EVERY, self._try_at)

    def search_due_in(self, now: float) -> float:
        """Seconds until a scan is to search though nothing else is to do; infinite if none is."""
        if not self.whole(now):
            return max(0.0, self._try_at - now)
        if self._wanted:
            return max(0.0, max(self._searched_at + AT_ONCE_EVERY, self._try_at) - now)
        return float("inf")

    def patience(self) -> float:
        """Seconds that a scan waits for an answer of the index: it keeps the events waiting that need none."""
        return min(_LONGEST_PATIENCE, _PATIENCE * 2.0 ** min(self._failures, 5))

    def known_alone(self, seconds_ago: float, now: float) -> None:
        """The worker before found a task by the index alone, so many seconds ago."""
        self._alone_at = now - max(0.0, seconds_ago)

    def found_alone(self, now: float) -> None:
        """A task was found that no queue has handed out."""
        self._alone_at = now

    def queued(self, now: float) -> None:
        """The queue has handed out tasks."""
        self._queued_at = now

    def poll_lost(self) -> None:
        """The answer of a poll may be lost, or a task in it can't be told: only the index knows now."""
        self._unsure = True
        self._missed = 0

    def want_search(self) -> None:
        """An event has found no taker: the first scan that may search does."""
        self._wanted = True

    def searched(self, now: float) -> None:
        """A scan has searched the index."""
        self._unsure = self._wanted = False
        self._missed = self._failures = 0
        self._searched_at, self._try_at = now, _NEVER

    def search_failed(self, now: float) -> None:
        """A scan couldn't search the index. Where that was never of use, the queue must do after a few tries."""
        self._failures += 1
        self._missed += 1
        self._try_at = now + wait_before(self._failures)
        if self._missed >= CHANCES and not self._alone(now):
            self._unsure = self._wanted = False
            self._missed = 0

    def search_broke_off(self, now: float) -> None:
        """A scan has searched a part of the index, as far as it may at once: the next one goes on soon."""
        self._failures = max(1, self._failures)
        self._try_at = now + wait_before(1)

    @property
    def failing(self) -> bool:
        """Whether the last scan that tried couldn't search the index."""
        return self._failures > 0

    # --- the index ---

    def ways(self, now: float) -> tuple[Way, ...]:
        """The ways to try, one after the other until one works."""
        return WAYS if now >= self._better_at else WAYS[WAYS.index(self.way) :]

    def counts(self, way: Way, shown: bool) -> bool:
        """Whether this way's answer is one: an index that was off proves by a task that it is on again."""
        return way == "workflows" or self.shown != "off" or shown

    def works(self, way: Way, reason: str, everything: bool, shown: bool, now: float) -> bool:
        """This way has worked, and a better one that was tried not, for that reason. Whether the way has changed.

        `everything` was read, or only what is new; whether any task was `shown`.
        """
        before = self.way, self.reason
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
            if way != self.way or now >= self._better_at:
                self._better_at = now + _BETTER_EVERY
            if way != self.way or reason:
                self.way, self.reason = way, reason
        return before != (self.way, self.reason)

    def is_off(self, now: float) -> bool:
        """The index answers, but doesn't know tasks that it should. Whether that is news."""
        news = self.shown != "off"
        self.shown = "off"
        reason = "the index doesn't know tasks that wait: indexing is off, or lags far behind"
        self.works("workflows", reason, True, False, now)
        return news

    def may_scan(self, now: float) -> bool:
        """Whether all running workflows may be read again."""
        return now >= self._scan_at

    def scanned(self, began: float, now: float) -> None:
        """All running workflows were read."""
        self._scan_at = now + max(1.0, _SHARE * (now - began))

    def may_sample(self, now: float, must: bool) -> bool:
        """Whether an index that shows nothing is held against running workflows now: `must` it be, or not just done."""
        if now < self._sample_at and not must:
            return False
        self._sample_at = now + _SAMPLE_EVERY
        return True

    # --- discoveries ---

    def round_is_due(self) -> bool:
        """Whether the next discovery begins a round: everything is read, and all running workflows beside it."""
        return self._runs % FULL_READ_EVERY == 0 or self._distrusted

    def reads_everything(self) -> bool:
        """Whether the next discovery reads the index from the beginning, and not only what is new."""
        return self.round_is_due() or self.shown != "tasks"

    def conductor_was_away(self) -> None:
        """It may have been killed between its store and its index: a new round is due."""
        self._distrusted = True

    def round_began(self) -> None:
        """A discovery begins a round."""
        self._distrusted = False

    def round_broke_off(self) -> None:
        """It did not come about."""
        self._distrusted = True

    def discovered(self) -> None:
        """A discovery has ended well."""
        self._runs += 1
