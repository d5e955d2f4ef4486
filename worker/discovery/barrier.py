"""Which events may be decided: those all of whose takers are known, as far as that can be waited
for.

A *drain* (polling until the queue is empty) finds every task that is still queued. A *look* (a
search of the index, or a read of the running workflows) finds the others. A task is missed only if
something else took it off the queue, or if it never was there; each such cause is a doubt. An event
waits for its first drain, the first that began after its arrival, and then for a look that begins
late enough for every doubt that may hide one of its takers, or until it has waited long enough.
Later doubts are no concern of its own, so that ever new faults don't keep it waiting.

A look is due if it would settle a doubt, or find the taker of an event. Nothing here makes a call.
Times are seconds by the monotonic clock, except for arrivals, which are Unix milliseconds.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Collection, Hashable, Mapping
from typing import NamedTuple

from store.clock import MonotonicClock
from worker.retries import wait_before

LAG = 2.0
"""Seconds after which the index shows a task that was taken off the queue."""
LATE = 60.0
"""Seconds for which a poll without an answer may still take tasks off the queue."""
WAIT = 30.0
"""Seconds that an event waits for tasks that may be missing."""
LONG_WAIT = 3600.0
"""The same for the end of a hold, and for events without a known taker once the index alone has
found tasks."""
LOOK_GAP = 1.0
"""Minimum seconds between two looks on behalf of events without a taker."""
_PATIENCE, _LONGEST_PATIENCE = 2.0, 60.0
ALONE_FOR = 24 * 3600.0
"""Seconds for which a task that the index alone has shown keeps the index needed."""
_APART = 1.0
"""Seconds between two drains that are told apart."""
_MOST = 1000
"""Lost polls that are told apart."""
_NEVER, _ALWAYS = float("-inf"), float("inf")


class Doubt(NamedTuple):
    """Tasks may be missing that left the queue between `since` and `until`."""

    since: float
    until: float
    settled_by: float = _NEVER
    """A look settles it only if it begins then or later; if that is infinite, none does."""
    workflow: str = ""
    """Whose tasks; empty for any workflow's."""
    patience: float = WAIT
    """Seconds that an event without a known taker waits for them."""

    def needs(self, ended: float) -> float:
        """When a look must begin at the earliest, for events whose first drain ended then."""
        # What a late poll takes just before the drain ends, the index shows a moment later.
        lag = LAG if self.settled_by > _NEVER else 0.0
        return max(self.settled_by, min(ended, self.until) + lag)


class Barrier:
    """Belongs to one term, and to the loop's thread."""

    def __init__(self, clock: MonotonicClock = time, look_gap: float = LOOK_GAP) -> None:
        self.clock = clock
        self._look_gap = look_gap
        self._doubts: dict[Hashable, Doubt] = {}
        self._unread: Mapping[Hashable, Doubt] = {}
        self._began: list[int] = []
        self._ended: list[float] = []
        self._looked = _NEVER
        self.failing_since = _ALWAYS
        """Since when no look of this term has succeeded; infinite if the last one has."""
        self._wanted = False
        self._failures = 0
        self._look_not_before = self._wanted_not_before = _NEVER

    @property
    def _now(self) -> float:
        return self.clock.monotonic()

    # --- what raises doubt ---

    def term_began(self, died_at: float | None = None) -> None:
        """`died_at`: when the last leader's term ended, unless it resigned with nothing in doubt."""
        if died_at is None:  # none of its polls is late
            now = self._now
            self._doubts["resigned"] = Doubt(_NEVER, now - LAG, now)
        else:
            self._doubts["died"] = Doubt(_NEVER, died_at + LATE, died_at + LAG)

    def poll_lost(self, sent: float) -> None:
        """The answer to a poll was lost, or a task in it can't be identified."""
        now = self._now
        key = ("poll", int(now) if len(self._doubts) < _MOST else -1)
        since = min(sent, self._doubts[key].since if key in self._doubts else _ALWAYS)
        self._doubts[key] = Doubt(since, now + LATE, now + LAG)

    def found_alone(self, at: float) -> None:
        """The index has shown a task that no poll returned, now or in an earlier term."""
        self._doubts["alone"] = Doubt(_NEVER, at + ALONE_FOR, patience=LONG_WAIT)

    def receivers_added(self, workflows: Collection[str]) -> None:
        """Tasks of these were left out when the index showed them."""
        now = self._now
        for workflow in workflows:
            self._doubts["receiver", workflow] = Doubt(_NEVER, now - LAG, now, workflow)

    def unread(self, items: Mapping[Hashable, tuple[float, str]]) -> None:
        """These tasks were shown and can't be read right now: since when, and their workflows,
        empty if unknown.

        To be called before the look that may have shown them counts: they weren't shown at the one
        before.
        """
        since = self._looked - LAG
        self._unread = {
            key: self._unread.get(key) or Doubt(since, first + WAIT, _ALWAYS, workflow)
            for key, (first, workflow) in items.items()
        }

    # --- what settles it ---

    def drained(self, began: int) -> None:
        """The queue has been found empty by polls of which the first was sent then."""
        if len(self._ended) > 2 and self._ended[-1] - self._ended[-3] < _APART:
            del self._began[-2], self._ended[-2]  # an event may wait for a later drain instead
        while self._began and self._began[-1] > began:  # the clock was set back
            del self._began[-1], self._ended[-1]
        self._began.append(began)
        self._ended.append(self._now)
        self._forget()

    def looked(self, began: float, rest: float = 0.0) -> None:
        """A look that began then was complete. There is none for `rest` seconds from now."""
        self._looked = max(self._looked, began)
        self.failing_since = _ALWAYS
        self._wanted, self._failures = False, 0
        self._look_not_before = self._now + rest
        self._wanted_not_before = self._now + max(self._look_gap, rest)
        self._forget()

    def look_failed(self) -> None:
        """A look got no complete answer: it is repeated after a while."""
        self._failures += 1
        self._look_not_before = self._wanted_not_before = self._now + wait_before(self._failures)
        self.failing_since = min(self.failing_since, self._now)

    def _forget(self) -> None:
        now = self._now
        self._doubts = {
            key: doubt
            for key, doubt in self._doubts.items()
            if now < doubt.until
            or (self._looked < doubt.needs(_ALWAYS) and now < doubt.until + LONG_WAIT)
        }

    # --- what may be decided ---

    def knows(self, at: int, receivers: Collection[str], has_taker: bool = True) -> bool:
        """Whether all tasks of these workflows that waited then are known, or were waited for long
        enough.

        `at` is the arrival of an event that was read before the newest drain. `has_taker`: whether
        one of the tasks is known to take it.
        """
        # Of the same millisecond as an older drain it may be later than that.
        number = min(bisect_right(self._began, at), len(self._began) - 1)
        return number >= 0 and self._knows(number, receivers, has_taker)

    def _knows(
        self, drain: int, receivers: Collection[str] | None, has_taker: bool, hold: bool = False
    ) -> bool:
        """The same for what came before that drain, for these receivers or any. `hold`: the end of
        a hold."""
        ended, now = self._ended[drain], self._now
        for doubt in (*self._doubts.values(), *self._unread.values()):
            concerns = not doubt.workflow or receivers is None or doubt.workflow in receivers
            if concerns and doubt.since <= ended and self._looked < doubt.needs(ended):
                if doubt.settled_by == _ALWAYS:
                    waits = now < min(ended + WAIT, doubt.until)
                else:
                    patience = LONG_WAIT if hold else WAIT if has_taker else doubt.patience
                    waits = now < min(ended, self.failing_since) + patience
                if waits:
                    return False
        return True

    def holds_up_to(self) -> int:
        """Holds that ended before then are over, as whatever waited then is known. In Unix
        milliseconds."""
        last = -1
        while last + 1 < len(self._began) and self._knows(last + 1, None, True, hold=True):
            last += 1
        if last > 0:  # nobody needs the drains before it any more
            del self._began[:last], self._ended[:last]
        return self._began[0] if last >= 0 else 0

    # --- when to look ---

    @property
    def needs_index(self) -> bool:
        """Whether every drain is followed by a look, since the index alone has found tasks."""
        return "alone" in self._doubts

    @property
    def settled(self) -> bool:
        """Whether the last look began late enough for all polls that were lost: this leader's and
        its predecessor's.

        Not while a task is still to be read that was shown: the index may not show it to the next
        leader yet.
        """
        lost = (doubt for key, doubt in self._doubts.items() if key != "resigned")
        return not self._unread and all(self._looked >= doubt.settled_by for doubt in lost)

    def want_look(self) -> None:
        """An event has found no taker, but the index may know one a moment later."""
        self._wanted = True

    def may_look(self) -> bool:
        """Whether an event without a taker may cause a look now."""
        return self._now >= self._wanted_not_before

    def look_due_in(self) -> float:
        """Seconds until a look should begin, even if no event lacks a taker; infinite if none
        should."""
        due = _NEVER if self._failures else self._would_settle_at()
        if self._wanted:
            due = min(due, self._wanted_not_before)
        return max(0.0, max(due, self._look_not_before) - self._now)

    def patience(self) -> float:
        """Seconds that a look waits for each answer; events that don't need it wait too."""
        return min(_LONGEST_PATIENCE, _PATIENCE * 2.0 ** min(self._failures, 5))

    def _would_settle_at(self) -> float:
        """From when a look would settle something for one of the drains; infinite if none would."""
        due = _ALWAYS
        for doubt in self._doubts.values() if self._ended else ():
            lag = LAG if doubt.settled_by > _NEVER else 0.0
            # Of the drains that the last look came too early for, the first.
            number = (
                0
                if self._looked < doubt.settled_by
                else bisect_right(self._ended, self._looked - lag)
            )
            if number < len(self._ended) and self._looked < (
                at := doubt.needs(self._ended[number])
            ):
                due = min(due, at)
        return due
