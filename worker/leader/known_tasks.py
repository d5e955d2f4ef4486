"""Which events may be decided: those all of whose takers are known, as far as that can be waited for.

A scan may show that a task waits although it can't be read yet: on a busy server, reading it takes longer than a scan
waits. And a poll's answer may be lost, whose tasks the index learns of a moment later. An event that came after such a
task may be for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """What a scan has found out about the tasks that were waiting when it began."""

    complete: bool = True
    """Whether it has seen all of them; if not, events without a known taker wait."""
    patient: bool = False
    """Whether then those with a known taker wait too: there may be more takers."""
    awaited: bool = False
    """Whether there are tasks that can't be read right now, or that a poll may just have lost."""
    up_to: int = 0
    """Tasks that were waiting before then are known, or no longer awaited, in Unix milliseconds."""

    def may_lack_takers(self, received_at: int, has_takers: bool) -> bool:
        """Whether an event with receivers, which arrived then, waits for takers that aren't known yet."""
        if not self.complete:
            return self.patient or not has_takers
        return self.awaited and received_at >= self.up_to


class KnownTasks:
    """Remembers from scan to scan up to when all waiting tasks are known.

    An event waits for what wasn't known at the first scan after it arrived. What is missing in later scans is no
    concern of its own, so that ever new faults don't keep it waiting. Belongs to the loop's thread.
    """

    def __init__(self) -> None:
        self._up_to = 0
        self._wave: tuple[int, float] | None = None
        """When a scan began, and since when the last of what wasn't known then is awaited."""

    def scanned(self, began: int, complete: bool, patient: bool, awaited_since: Sequence[float]) -> Known:
        """A scan that began then has ended. `awaited_since`: since when there is what isn't known yet, but may be soon,
        in ascending order."""
        if self._wave is not None and not (awaited_since and awaited_since[0] <= self._wave[1]):
            self._up_to, self._wave = max(self._up_to, self._wave[0]), None
        if complete and not awaited_since:
            self._up_to = max(self._up_to, began)
        elif complete and self._wave is None:
            self._wave = began, awaited_since[-1]
        return Known(complete, patient, bool(awaited_since), self._up_to)
