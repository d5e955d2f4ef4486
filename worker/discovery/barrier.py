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
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from store.clock import MonotonicClock
from worker.conductor.client import HANDED_OUT_WITHIN
from worker.retries import wait_before

LAG = 2.0
"""Seconds after which the index shows a task that was taken off the queue."""
LATE = 60.0
"""Seconds for which a poll without an answer may still take tasks off the queue."""
WAIT = 30.0
"""Seconds that an event waits for tasks that may be missing."""
LONG_WAIT = 3600.0
"""Seconds that the end of a hold waits for them, and, once the index alone has found tasks, an
event without a known taker."""
LOOK_GAP = 1.0
"""Minimum seconds between two looks on behalf of events without a taker."""
ALONE_FOR = 24 * 3600.0
"""Seconds for which a task that the index alone has shown keeps the index needed."""
_PATIENCE, _LONGEST_PATIENCE = 2.0, 60.0
_APART = 1.0
"""Seconds between two drains that are told apart."""
_MOST = 1000
"""Lost polls that are told apart."""
_EVER = float("-inf")
"""The beginning of all times."""
_NOT_FAILING = float("inf")


@dataclass(frozen=True, slots=True)
class Doubt:
    """Tasks may be missing that left the queue between `since` and `until`."""

    since: float
    until: float
    workflow: str = ""
    """Whose tasks; empty for any workflow's."""

    def concerns(self, ended: float, receivers: Collection[str] | None) -> bool:
        """Whether it may hide a task of these workflows, or any, that waited before a drain which
        ended then."""
        is_theirs = not self.workflow or receivers is None or self.workflow in receivers
        return is_theirs and self.since <= ended

    def needs(self, ended: float) -> float:
        """When a look must begin at the earliest to settle it, for what waited before a drain which
        ended then."""
        return min(ended, self.until)


class Alone(Doubt):
    """The index alone has shown tasks: every drain needs a look."""


@dataclass(frozen=True, slots=True)
class Unindexed(Doubt):
    """The index may lack tasks, as Conductor may have been killed before it had them. Only a
    reconciliation settles it, and only ends of holds wait for that."""

    settled_by: float = field(kw_only=True)
    """A reconciliation settles it only if it begins then or later."""
    only: frozenset[str] = frozenset()
    """The receivers that are still to be read; empty for all."""

    def concerns(self, ended: float, receivers: Collection[str] | None) -> bool:
        """Whatever waited before."""
        return not self.only or receivers is None or not self.only.isdisjoint(receivers)

    def needs(self, ended: float) -> float:
        """No look is enough."""
        return float("inf")


class ShownAt(NamedTuple):
    """When something of a workflow was shown that can't be read: these belong together."""

    workflow: str
    """Its name; empty if unknown."""
    at: int
    """In seconds by the monotonic clock, rounded down."""


@dataclass(frozen=True, slots=True)
class Unread(Doubt):
    """Something that was shown can't be read. `until`: when that was found out."""

    is_awaited: bool = field(kw_only=True)
    """Whether events wait for it, and not only ends of holds."""


@dataclass(frozen=True, slots=True)
class Lost(Doubt):
    """Something may have taken tasks off the queue unseen. The index shows each a moment later."""

    settled_by: float = field(kw_only=True)
    """A look settles it only if it begins then or later."""

    def needs(self, ended: float) -> float:
        """As for every doubt."""
        return max(self.settled_by, min(ended, self.until) + LAG)


Waiting = Literal["event with a taker", "event without a taker", "end of a hold"]
"""Who waits for tasks to be known."""


class Barrier:
    """Belongs to one term, and to the loop's thread."""

    def __init__(self, clock: MonotonicClock = time, look_gap: float = LOOK_GAP) -> None:
        self.clock = clock
        self._look_gap = look_gap
        self._doubts: dict[Hashable, Lost | Alone | Unindexed] = {}
        self._unread: Mapping[ShownAt, Unread] = {}
        """Those about tasks that were shown and can't be read. No look settles them."""
        self._began: list[int] = []
        self._ended: list[float] = []
        self._looked = _EVER
        """When the last complete look began."""
        self.failing_since = _NOT_FAILING
        """Since when no look of this term has succeeded; infinite if the last one has."""
        self._wanted = False
        self._failures = 0
        self._look_not_before = self._wanted_not_before = _EVER

    @property
    def _now(self) -> float:
        return self.clock.monotonic()

    # --- what raises doubt ---

    def term_began(self, died_at: float | None = None) -> None:
        """`died_at`: when the last leader's term ended; None if it resigned with no poll in doubt."""
        if died_at is None:  # none of its polls is late
            now = self._now
            self._doubts["resigned"] = Lost(_EVER, now - LAG, settled_by=now)
        else:
            self._doubts["died"] = Lost(_EVER, died_at + LATE, settled_by=died_at + LAG)
            # Conductor may have died with it, as on a machine that lost power. Any reconciliation
            # of this term is late enough.
            self._doubts["unindexed"] = Unindexed(_EVER, self._now, settled_by=self._now)

    def poll_lost(self, sent: float) -> None:
        """The answer to a poll was lost, or a task in it can't be identified."""
        now = self._now
        key = ("poll", int(now) if len(self._doubts) < _MOST else -1)
        before = self._doubts.get(key)
        if isinstance(before, Lost):
            sent = min(sent, before.since)
        self._doubts[key] = Lost(sent, now + LATE, settled_by=now + LAG)

    def found_alone(self, at: float) -> None:
        """The index has shown a task that no poll returned, now or in an earlier term."""
        self._doubts["alone"] = Alone(_EVER, at + ALONE_FOR)

    def index_may_lack_tasks(self) -> None:
        """Conductor is, or was, away: it may have been killed. Only a minute later a
        reconciliation finds the tasks that no queue hands out."""
        now = self._now
        settled_by = now + HANDED_OUT_WITHIN + LAG
        self._doubts["unindexed"] = Unindexed(_EVER, now, settled_by=settled_by)

    def receivers_added(self, workflows: Collection[str]) -> None:
        """Tasks of these were left out when the index showed them."""
        now = self._now
        for workflow in workflows:
            self._doubts["receiver", workflow] = Lost(_EVER, now - LAG, workflow, settled_by=now)

    def unread(self, shown: Mapping[ShownAt, bool]) -> None:
        """Tasks, or workflows, that can't be read right now were shown then; and whether events
        wait for them, or only ends of holds.

        To be called before the look that may have shown them counts: they weren't shown at the one
        before.
        """
        before, since = self._unread, self._looked - LAG
        self._unread = {
            one: Unread(
                before[one].since if one in before else since,
                one.at,
                one.workflow,
                is_awaited=is_awaited,
            )
            for one, is_awaited in shown.items()
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
        self.failing_since = _NOT_FAILING
        self._wanted, self._failures = False, 0
        self._look_not_before = self._now + rest
        self._wanted_not_before = self._now + max(self._look_gap, rest)
        self._forget()

    def look_failed(self) -> None:
        """A look got no complete answer: it is repeated after a while."""
        self._failures += 1
        self._look_not_before = self._wanted_not_before = self._now + wait_before(self._failures)
        self.failing_since = min(self.failing_since, self._now)

    def reconciled(self, began: float, unread: frozenset[str] = frozenset()) -> bool:
        """A reconciliation that began then is over. It has read all running workflows, except some
        of the `unread` receivers. Returns whether no other is needed."""
        doubt = self._doubts.get("unindexed")
        if not isinstance(doubt, Unindexed):
            return True
        if began < doubt.settled_by:
            return False
        if unread:
            self._doubts["unindexed"] = replace(doubt, only=unread)
            return False
        del self._doubts["unindexed"]
        return True

    def _forget(self) -> None:
        now = self._now
        self._doubts = {
            key: doubt
            for key, doubt in self._doubts.items()
            if now < doubt.until
            or (self._looked < doubt.needs(doubt.until) and now < doubt.until + LONG_WAIT)
        }
        # No hold or event needs the drains before the last known one any more.
        over = max(0, self._known_drains(None) - 1)
        del self._began[:over], self._ended[:over]

    # --- what may be decided ---

    def knows(self, at: int, receivers: Collection[str], has_taker: bool = True) -> bool:
        """Whether all tasks of these workflows that waited then are known, or were waited for long
        enough.

        `at` is the arrival of an event that was read before the newest drain. `has_taker`: whether
        one of the tasks is known to take it.
        """
        # A drain that began in the millisecond of the arrival may have begun before it.
        number = min(bisect_right(self._began, at), len(self._began) - 1)
        waiting: Waiting = "event with a taker" if has_taker else "event without a taker"
        return number >= 0 and self._knows(number, receivers, waiting)

    def _knows(self, drain: int, receivers: Collection[str] | None, waiting: Waiting) -> bool:
        """Whether all tasks that waited before that drain, of these receivers or any, are known, or
        were waited for long enough."""
        ended, now = self._ended[drain], self._now
        for doubt in self._doubts.values():
            is_settled = self._looked >= doubt.needs(ended)
            # No look settles that.
            since = ended if isinstance(doubt, Unindexed) else min(ended, self.failing_since)
            waits_until = since + _wait_for(doubt, waiting)
            if not is_settled and now < waits_until and doubt.concerns(ended, receivers):
                return False
        is_end = waiting == "end of a hold"
        for unread in self._unread.values():
            waits_until = min(ended, unread.until) + (LONG_WAIT if is_end else WAIT)
            is_awaited = is_end or unread.is_awaited
            if is_awaited and now < waits_until and unread.concerns(ended, receivers):
                return False
        return True

    def holds_up_to(self, receivers: Collection[str] | None = None) -> int:
        """Holds that ended before then are over, for these receivers or any, as whatever waited
        then is known. In Unix milliseconds."""
        number = self._known_drains(receivers)
        return self._began[number - 1] if number else 0

    def _known_drains(self, receivers: Collection[str] | None) -> int:
        """Of how many drains, from the first on, whatever waited before them is known. After one
        that isn't known none is."""

        def is_unknown(drain: int) -> bool:
            return not self._knows(drain, receivers, "end of a hold")

        return bisect_left(range(len(self._began)), True, key=is_unknown)

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
        lost = (
            doubt
            for key, doubt in self._doubts.items()
            if isinstance(doubt, Lost) and key != "resigned"
        )
        is_none_awaited = not any(unread.is_awaited for unread in self._unread.values())
        return is_none_awaited and all(self._looked >= doubt.settled_by for doubt in lost)

    def want_look(self) -> None:
        """An event has found no taker, but the index may know one a moment later."""
        self._wanted = True

    def may_look(self) -> bool:
        """Whether an event without a taker may cause a look now."""
        return self._now >= self._wanted_not_before

    def look_due_in(self) -> float:
        """Seconds until a look should begin, even if no event lacks a taker; infinite if none
        should."""
        due = self._look_not_before
        if not self._failures:
            wanted_at = self._wanted_not_before if self._wanted else float("inf")
            due = max(due, min(wanted_at, self._would_settle_at()))
        return max(0.0, due - self._now)

    def patience(self) -> float:
        """Seconds that a look waits for each answer; events that don't need it wait too."""
        return min(_LONGEST_PATIENCE, _PATIENCE * 2.0 ** min(self._failures, 5))

    def _would_settle_at(self) -> float:
        """From when a look would settle something for one of the drains; infinite if none would."""
        due = float("inf")
        for doubt in self._doubts.values():
            # Of the drains that the last look came too early for, the first.
            number = bisect_right(self._ended, self._looked, key=doubt.needs)
            if number < len(self._ended):
                due = min(due, doubt.needs(self._ended[number]))
        return due


def _wait_for(doubt: Lost | Alone | Unindexed, waiting: Waiting) -> float:
    """Seconds for which the doubt is waited for."""
    if waiting == "end of a hold":
        return LONG_WAIT
    if isinstance(doubt, Unindexed):
        return 0.0
    if waiting == "event without a taker" and isinstance(doubt, Alone):
        return LONG_WAIT
    return WAIT
