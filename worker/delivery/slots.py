"""Which calls may be made now: those that hang keep their threads, and leave their places to others.

For one thread, which knows what runs. Times are seconds by `time.monotonic`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from store.records import Event, Target

HANGS = 1.0
"""Seconds after which a call hangs: from then on its place is another's."""
PUT_OFF = 2.0
"""Seconds until a target is due again that can't be called as others of its group hang."""

PAYLOAD = 32_000_000
"""Characters of payload in hand from which no more is claimed, besides what hangs."""

Group = tuple[str, str]
"""Webhook and workflow: what hangs is one of the two, or a single event or task of theirs."""
Verdict = Literal["now", "wait", "later"]
"""`wait`: for a place. `later`: its group has as many as it may have; it is not to wait in others' way."""


@dataclass(frozen=True, slots=True)
class InHand:
    """A target that this worker has claimed."""

    target: Target
    event: Event

    @property
    def group(self) -> Group:
        """Whose it is."""
        return self.event.webhook, self.target.workflow


@dataclass(eq=False)
class Place:
    """One call that is being made."""

    one: InHand
    began: float

    @property
    def group(self) -> Group:
        """Whose call it is."""
        return self.one.group

    def hangs(self, now: float) -> bool:
        """Whether it has taken longer than calls do."""
        return now - self.began >= HANGS


class Places:
    """The calls that are being made, and which groups can't be called just now."""

    def __init__(self, calls: int):
        """`calls` are made at a time, besides those that hang."""
        self._calls = calls
        self.most = 4 * calls
        """Calls at most, those that hang included."""
        self._few = max(1, calls // 8)
        self._places: set[Place] = set()
        self._sick: set[Group] = set()
        """Groups whose last call hung and came to nothing."""

    def __len__(self) -> int:
        return len(self._places)

    def prompt(self, now: float) -> int:
        """Calls that don't hang."""
        return sum(not place.hangs(now) for place in self._places)

    def hanging(self, now: float) -> set[Group]:
        """The groups of which a call hangs."""
        return {place.group for place in self._places if place.hangs(now)}

    def verdict(self, group: Group, tried: bool, waiting: int, now: float) -> Verdict:
        """What is to become of a target; `tried` if an earlier call for it came to nothing, so that this one may.

        `waiting` are the targets of its group that wait already.
        """
        own = [place for place in self._places if place.group == group]
        hanging = any(place.hangs(now) for place in own)
        if (group in self._sick and len(own) >= self._few) or (hanging and waiting >= self._calls // 2):
            return "later"
        if len(self._places) < self._calls:
            return "now"
        # Others hang. That is no reason to wait, unless it is this group, or Conductor, that is slow.
        if hanging or self.prompt(now) >= self._calls:
            return "wait"
        # Those that are likely to hang leave room for as many as are made when nothing does.
        left = self._calls if tried or group in self._sick else 0
        return "now" if len(self._places) < self.most - left else "wait"

    def in_time(self, now: float) -> list[InHand]:
        """Those whose calls don't hang."""
        return [place.one for place in self._places if not place.hangs(now)]

    def begin(self, one: InHand, now: float) -> Place:
        """A call begins."""
        place = Place(one, now)
        self._places.add(place)
        return place

    def end(self, place: Place, clear: bool, now: float) -> None:
        """It has ended, with a `clear` answer or not."""
        self._places.discard(place)
        if clear:
            self._sick.discard(place.group)
        elif place.hangs(now):
            self._sick.add(place.group)

    def clear(self) -> None:
        """None is waited for any more."""
        self._places.clear()

    def next_change(self, now: float) -> float:
        """When the next call begins to hang; infinity if none can."""
        return min((place.began + HANGS for place in self._places if not place.hangs(now)), default=float("inf"))
