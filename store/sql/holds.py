"""The column `held` of events: a number for each hold.

Why it holds no words: docs/decisions.md. What reads and writes the column takes its numbers from here. Indexes have the
events that are held in any way: ``held > 0``.
"""

from __future__ import annotations

from store.records import Hold

_HOLDS: tuple[Hold, ...] = ("no", "held", "recheck", "aside", "aside", "writing")
"""By number. Which of the two an event is set aside with says what it was before: `HELD` or `RECHECK`."""
HELD, RECHECK, WRITING = map(_HOLDS.index, ("held", "recheck", "writing"))
ASIDE = _HOLDS.index("aside") - HELD
"""What is added to `HELD` or `RECHECK` when the event is set aside."""
MAY_BE_SET_ASIDE = f"({HELD}, {RECHECK})"
SET_ASIDE = f"({HELD + ASIDE}, {RECHECK + ASIDE})"


def number_of(hold: Hold) -> int:
    """What the column has for it."""
    return _HOLDS.index(hold)


def hold_of(number: int) -> Hold | None:
    """The hold; None if the column has what no bridge wrote."""
    return _HOLDS[number] if 0 <= number < len(_HOLDS) else None
