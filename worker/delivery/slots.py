"""What one worker has in flight, and which calls may be made now.

A call that hangs keeps its thread, but frees its slot for others.

For one thread, which knows what is running. Times are seconds by `time.monotonic`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from store.records import Event, Target

HANGS = 1.0
"""Seconds after which a call counts as hanging: its slot is then free."""
_ANSWERS_FOR = 10.0
"""Seconds after an answer in time for which a group doesn't count as slow, however many of its
calls hang."""
_IN_FLIGHT = 8
"""Targets in flight for each call at a time. A claim, a read of events and a record of results cost
little more for a hundred targets than for one."""

Group = tuple[str, str]
"""Webhook and workflow: whatever makes calls hang is one of the two, or a single event or task of
theirs."""
Verdict = Literal["now", "wait", "later"]
"""`wait`: for a slot. `later`: its group has as many calls as allowed; the target is given back,
out of others' way."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A target that this worker has claimed, and its event."""

    target: Target
    event: Event

    @property
    def group(self) -> Group:
        return self.event.webhook, self.target.workflow


@dataclass(eq=False)
class Slot:
    """One call in flight."""

    claimed: Claimed
    began: float

    @property
    def group(self) -> Group:
        return self.claimed.group

    @property
    def tried(self) -> bool:
        """Whether an earlier call for the target had no clear answer."""
        return self.claimed.target.attempts > 1

    def hangs(self, now: float) -> bool:
        """Whether it takes longer than calls usually do."""
        return now - self.began >= HANGS


class InFlight:
    """The calls in flight, the targets that wait for a slot, and the groups that can't be called
    now."""

    def __init__(self, calls: int, payload: int):
        """At most `calls` calls at a time, not counting hanging ones, and about `payload`
        characters of payload."""
        self._calls = calls
        self._payload = payload
        self.most = 4 * calls
        """Calls at most, including hanging ones."""
        self.at_most = _IN_FLIGHT * calls
        """Targets that may be in flight."""
        self._few = max(1, calls // 8)
        self.slots: dict[Slot, None] = {}
        """The calls, in the order in which they began."""
        self.waiting: list[Claimed] = []
        """For a slot."""
        self._sick: set[Group] = set()
        """Groups whose last call hung without a clear answer."""
        self._answered: dict[Group, float] = {}
        """When a call of the group last had a clear answer in time."""

    def __len__(self) -> int:
        return len(self.slots) + len(self.waiting)

    def add(self, claimed: Sequence[Claimed]) -> None:
        """These wait for a slot now."""
        self.waiting += claimed

    def take_waiting(self) -> list[Claimed]:
        """Removes and returns everything that waits for a slot."""
        waiting, self.waiting = self.waiting, []
        return waiting

    def room(self, now: float) -> int:
        """How many more targets may be in flight."""
        prompt = self._prompt(now)
        if size(prompt) >= self._payload:
            return 0
        return max(0, self.at_most - len(prompt))

    def payload_left(self, now: float) -> int:
        """Characters of payload that there is room for, below zero if there are too many."""
        return self._payload - size(self._prompt(now))

    def _prompt(self, now: float) -> list[Claimed]:
        """What is in flight, except hanging calls and targets that wait behind them: they hold up
        no others."""
        hanging = {slot.group for slot in self.slots if slot.hangs(now)}
        prompt = [slot.claimed for slot in self.slots if not slot.hangs(now)]
        return [*(one for one in self.waiting if one.group not in hanging), *prompt]

    def begin(self, now: float) -> tuple[list[Slot], list[Claimed]]:
        """Gives slots to what may be called now. Returns them, and what is to be given back, out of
        others' way."""
        if self.calm(now):
            free = max(0, self._calls - len(self.slots))
            first, self.waiting = self.waiting[:free], self.waiting[free:]
            return [self.call(one, now) for one in first], []
        begun: list[Slot] = []
        later: list[Claimed] = []
        groups: Counter[Group] = Counter()
        for one in self.take_waiting():
            verdict = self.verdict(one.group, one.target.attempts > 1, groups[one.group], now)
            if verdict == "now":
                begun.append(self.call(one, now))
            elif verdict == "wait":
                groups[one.group] += 1
                self.waiting.append(one)
            else:
                later.append(one)
        return begun, later

    def calm(self, now: float) -> bool:
        """Whether no call hangs, and no group's last call did: whatever comes first may be called
        if a slot is free."""
        oldest = next(iter(self.slots), None)
        return not self._sick and (oldest is None or not oldest.hangs(now))

    def verdict(self, group: Group, tried: bool, waiting: int, now: float) -> Verdict:
        """What to do with a target; `tried` if an earlier call for it had no clear answer, so this
        one may not either.

        `waiting`: number of targets of its group that are waiting already.
        """
        own = self._calls_of(group)
        prompt = sum(not slot.hangs(now) for slot in own)
        hanging = prompt < len(own)
        is_sick = group in self._sick
        # An untried target may well be sound: tried ones that hang again are no reason to hold it
        # back.
        alike = sum(slot.tried == tried for slot in own)
        if is_sick and alike >= self._share_of_sick(tried):
            return "later"
        has_share = not is_sick or prompt < self._few
        if has_share and self._has_slot(group, tried or is_sick, hanging, now):
            return "now"
        if (hanging or is_sick) and waiting >= self._few:
            return "later"
        return "wait"

    def _calls_of(self, group: Group) -> list[Slot]:
        return [slot for slot in self.slots if slot.group == group]

    def _share_of_sick(self, tried: bool) -> int:
        """Calls that a group whose last call hung may have at a time: so many for tried targets,
        and so many for others."""
        if tried:
            return self._few
        return max(1, self._calls // 2)

    def _has_slot(self, group: Group, may_hang: bool, hanging: bool, now: float) -> bool:
        if len(self.slots) < self._calls:
            return True
        # Other calls hang. That is no reason to wait unless this group, or Conductor, is slow.
        slow = hanging and now - self._answered.get(group, float("-inf")) > _ANSWERS_FOR
        prompt = sum(not slot.hangs(now) for slot in self.slots)
        if slow or prompt >= self._calls:
            return False
        if may_hang:
            # Calls that are likely to hang leave room for the normal number of calls.
            return len(self.slots) < self.most - self._calls
        return len(self.slots) < self.most

    def call(self, claimed: Claimed, now: float) -> Slot:
        """Records that a call has begun."""
        slot = Slot(claimed, now)
        self.slots[slot] = None
        return slot

    def end(self, slot: Slot, clear: bool, now: float) -> None:
        """Records that a call has ended, with a `clear` answer or not."""
        self.slots.pop(slot, None)
        if clear:
            self._sick.discard(slot.group)
            if not slot.hangs(now):
                self._answered[slot.group] = now
        elif slot.hangs(now):
            self._sick.add(slot.group)

    def next_change(self, now: float) -> float:
        """When the next call counts as hanging; infinity if none will."""
        return min(
            (slot.began + HANGS for slot in self.slots if not slot.hangs(now)), default=float("inf")
        )


def size(claimed: Iterable[Claimed]) -> int:
    """Characters of their events' payloads."""
    return sum({one.event.id: len(one.event.payload) for one in claimed}.values())
