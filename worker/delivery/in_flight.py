"""What one worker has in flight: the calls under way, and the targets that wait for a slot.

For one thread. Times are seconds by `time.monotonic`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from worker.delivery.claiming import size
from worker.delivery.slots import Claimed, Group, Slot, Slots

_AHEAD = 0.5
"""Seconds of calls that are in flight at most, at the rate at which they end: within a claim's first second, so that no
claim must be renewed before its call."""
_MEASURED_FOR = 0.05
"""Seconds over which that rate is measured, at least."""


class InFlight:
    """Calls and waiting targets.

    How many there may be follows from how fast calls end. A claim, a read of events and a record of results cost little
    more for a hundred targets than for one.
    """

    def __init__(self, calls: int, payload: int):
        """At most `calls` calls at a time, and about `payload` characters of payload."""
        self.slots = Slots(calls)
        self.waiting: list[Claimed] = []
        """For a slot."""
        self._payload = payload
        self._least, self._most = 2 * calls, 16 * calls
        self.at_most = self._least
        """Targets that may be in flight."""
        self._characters = 0
        """An upper bound of the payload in flight."""
        self._ended = 0
        self._measured_at = float("-inf")

    def __len__(self) -> int:
        return len(self.slots) + len(self.waiting)

    @property
    def has_backlog(self) -> bool:
        """Whether so many targets wait that the calls go on for a while without a new claim."""
        return len(self.waiting) > self._least // 4

    def add(self, claimed: Sequence[Claimed]) -> None:
        """These wait for a slot now."""
        self.waiting += claimed
        self._characters += size(claimed)

    def end(self, slot: Slot, clear: bool, now: float) -> None:
        """The call has ended, with a `clear` answer or not."""
        self.slots.end(slot, clear, now)
        self._ended += 1

    def take_waiting(self) -> list[Claimed]:
        """Removes and returns everything that waits for a slot."""
        waiting, self.waiting = self.waiting, []
        return waiting

    def measure(self, now: float) -> None:
        """Adapts `at_most` to the rate at which calls end."""
        if (seconds := now - self._measured_at) >= _MEASURED_FOR:
            self.at_most = min(self._most, max(self._least, int(self._ended / seconds * _AHEAD)))
            self._ended, self._measured_at = 0, now

    def room(self, now: float) -> int:
        """How many more targets may be in flight."""
        if self.slots.calm(now) and self._characters < self._payload:
            return max(0, self.at_most - len(self))
        return max(0, self.at_most - len(self._prompt(now))) if self.payload_left(now) > 0 else 0

    def payload_left(self, now: float) -> int:
        """Characters of payload that there is room for, below zero if there are too many."""
        prompt = size(self._prompt(now))
        self._characters = prompt if self.slots.calm(now) else self._payload
        return self._payload - prompt

    def _prompt(self, now: float) -> list[Claimed]:
        """What is in flight, except hanging calls and targets that wait behind them: they hold up no others."""
        hanging = self.slots.hanging(now)
        return [*(one for one in self.waiting if one.group not in hanging), *self.slots.prompt(now)]

    def begin(self, now: float) -> tuple[list[Slot], list[Claimed]]:
        """Gives slots to what may be called now. Returns them, and what is to be given back, out of others' way."""
        if self.slots.calm(now):  # whatever comes first may be called
            free = self.slots.free
            first, self.waiting = self.waiting[:free], self.waiting[free:]
            return [self.slots.begin(one, now) for one in first], []
        begun: list[Slot] = []
        later: list[Claimed] = []
        groups: Counter[Group] = Counter()
        for one in self.take_waiting():
            verdict = self.slots.verdict(one.group, one.target.attempts > 1, groups[one.group], now)
            if verdict == "now":
                begun.append(self.slots.begin(one, now))
            elif verdict == "wait":
                groups[one.group] += 1
                self.waiting.append(one)
            else:
                later.append(one)
        return begun, later
