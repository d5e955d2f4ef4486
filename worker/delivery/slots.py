"""Which calls may be made now: one that hangs keeps its thread, and leaves its slot to others.

For one thread, which knows what runs. Times are seconds by `time.monotonic`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import Literal

from store.records import Event, Target

HANGS = 1.0
"""Seconds after which a call hangs: from then on its slot is another's."""
_ANSWERS_FOR = 10.0
"""Seconds for which a group isn't slow after an answer that came in time, however many of its calls hang."""

Group = tuple[str, str]
"""Webhook and workflow: what hangs is one of the two, or a single event or task of theirs."""
Verdict = Literal["now", "wait", "later"]
"""`wait`: for a slot. `later`: its group has as many as it may have; it is given back, out of others' way."""


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
    """One call that is being made."""

    claimed: Claimed
    began: float
    _first: Lock = field(default_factory=Lock)

    def is_first(self) -> bool:
        """True for one caller, of any thread: the call is made once, or given back."""
        return self._first.acquire(blocking=False)

    @property
    def group(self) -> Group:
        return self.claimed.group

    @property
    def tried(self) -> bool:
        """Whether an earlier call for the target came to nothing."""
        return self.claimed.target.attempts > 1

    def hangs(self, now: float) -> bool:
        """Whether it takes longer than calls do."""
        return now - self.began >= HANGS


class Slots:
    """The calls that are being made, and which groups can't be called just now."""

    def __init__(self, calls: int):
        """`calls` are made at a time, besides those that hang."""
        self._calls = calls
        self.most = 4 * calls
        """Calls at most, those that hang included."""
        self._few = max(1, calls // 8)
        self._slots: set[Slot] = set()
        self._sick: set[Group] = set()
        """Groups whose last call hung and came to nothing."""
        self._answered: dict[Group, float] = {}
        """When a call of the group last had a clear answer that came in time."""

    def __len__(self) -> int:
        return len(self._slots)

    def prompt(self, now: float) -> list[Claimed]:
        """Those whose calls don't hang."""
        return [slot.claimed for slot in self._slots if not slot.hangs(now)]

    def hanging(self, now: float) -> set[Group]:
        """The groups of which a call hangs."""
        return {slot.group for slot in self._slots if slot.hangs(now)}

    def verdict(self, group: Group, tried: bool, waiting: int, now: float) -> Verdict:
        """What is to become of a target; `tried` if an earlier call for it came to nothing, so that this one may.

        `waiting` are the targets of its group that wait already.
        """
        own = [slot for slot in self._slots if slot.group == group]
        prompt = sum(not slot.hangs(now) for slot in own)
        hanging = prompt < len(own)
        if group in self._sick:
            # One that wasn't tried may well be sound: those that were, and hang again, are no reason not to try it.
            alike = sum(slot.tried == tried for slot in own)
            if alike >= (self._few if tried else max(1, self._calls // 2)):
                return "later"
            if prompt >= self._few:
                return "wait" if waiting < self._few else "later"
        if hanging and waiting >= self._calls // 2:
            return "later"
        if len(self._slots) < self._calls:
            return "now"
        # Others hang. That is no reason to wait, unless it is this group, or Conductor, that is slow.
        slow = hanging and now - self._answered.get(group, float("-inf")) > _ANSWERS_FOR
        if slow or len(self.prompt(now)) >= self._calls:
            return "wait"
        # Those that are likely to hang leave room for as many as are made when nothing does.
        left = self._calls if tried or group in self._sick else 0
        return "now" if len(self._slots) < self.most - left else "wait"

    def begin(self, claimed: Claimed, now: float) -> Slot:
        """A call begins."""
        slot = Slot(claimed, now)
        self._slots.add(slot)
        return slot

    def end(self, slot: Slot, clear: bool, now: float) -> None:
        """It has ended, with a `clear` answer or not."""
        self._slots.discard(slot)
        if clear:
            self._sick.discard(slot.group)
            if not slot.hangs(now):
                self._answered[slot.group] = now
        elif slot.hangs(now):
            self._sick.add(slot.group)

    def clear(self) -> None:
        """None is waited for any more."""
        self._slots.clear()

    def next_change(self, now: float) -> float:
        """When the next call begins to hang; infinity if none can."""
        return min((slot.began + HANGS for slot in self._slots if not slot.hangs(now)), default=float("inf"))
