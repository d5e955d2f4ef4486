"""The number up to which all events are visible that ever will be.

Numbers become visible out of order: the relay that took the lower one may commit later. But a transaction locks the
numbering table before it takes a number, until it ends. So a number is settled once every transaction has ended that
held such a lock when the number was the newest: whatever has a lower number is visible by then, or never will be.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The events after one number, and who may still add some between them. Read in this order."""

    newest: int
    """The highest number; 0 if there are no events."""
    writing: Set[str]
    """The transactions that may add events with lower numbers; none on SQLite, where numbers are in order."""
    seqs: tuple[int, ...]


class SettledNumbers:
    """Follows which numbers are settled, from look to look."""

    def __init__(self) -> None:
        self._newest = 0
        self._writing: Set[str] | None = None
        """The transactions that were writing when that was the newest number; None if it isn't known."""

    def forget(self) -> None:
        """The numbers may be those of another server now."""
        self._writing = None

    def look(self, newest: int, writing: Set[str]) -> int | None:
        """The number up to which all are visible to who reads after `writing` was read; None if there is no news.

        `newest` must have been read before `writing`.
        """
        if self._writing is not None and self._writing & writing:
            return None
        settled = self._newest if self._writing is not None else None
        self._newest, self._writing = newest, writing
        return settled
