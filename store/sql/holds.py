"""The column `held` of events: one number per kind of hold.

docs/decisions.md says why it holds no words. All code that reads or writes the column takes its numbers from here.
Indexes and lists of held events cover any kind of hold: ``held > 0``.
"""

from __future__ import annotations

from store.records import Hold

_HOLDS: tuple[Hold, ...] = ("no", "held", "recheck", "aside", "aside")
"""By number. The number with which an event is set aside tells what it was before: `HELD` or `RECHECK`."""
HELD, RECHECK = map(_HOLDS.index, ("held", "recheck"))
ASIDE = _HOLDS.index("aside") - HELD
"""Added to `HELD` or `RECHECK` when the event is set aside."""
STAGES = (-1, *range(len(_HOLDS)))
"""PostgreSQL's numbers of what an unsettled event is in: -1 before its decision, then its hold's number."""
MAY_BE_SET_ASIDE = f"({HELD}, {RECHECK})"
SET_ASIDE = f"({HELD + ASIDE}, {RECHECK + ASIDE})"


def number_of(hold: Hold) -> int:
    """The column's value for this hold."""
    return _HOLDS.index(hold)


def hold_of(number: int) -> Hold | None:
    """The hold; None if the column has a value that no bridge wrote."""
    return _HOLDS[number] if 0 <= number < len(_HOLDS) else None
