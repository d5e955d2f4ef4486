"""What is kept of an event's story besides the event itself: where it came from, attempts, and what
people noted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from typing import Any, Literal

ATTEMPTS_KEPT = 10
"""Failed attempts that are kept of a target, the newest."""
ERROR_KEPT = 500
"""Characters of an attempt's error that are kept."""
REASON_KEPT = 500
"""Characters of a person's reason that are kept."""

Noted = Literal["acknowledged", "reopened"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A call for a target that didn't succeed. Times are Unix milliseconds."""

    number: int
    began_at: int
    ended_at: int
    error: str
    did_nothing: bool = False
    """Whether it, and of the oldest that is kept all before it too, is known to have had no
    effect."""


@dataclass(frozen=True, slots=True)
class Note:
    """What somebody did about an event, and why."""

    at: int
    who: str
    what: Noted
    reason: str


@dataclass(frozen=True, slots=True)
class Origins:
    """Where an event came from, how it was decided, and what people noted about it."""

    remote: str | None
    """The address that sent it; None for replays, and for events of older versions."""
    proof: str | None
    """How it was verified, in words; None likewise."""
    scan_at: int | None
    """When the scan began after which it was first decided."""
    decided_by: str | None
    """The worker that first decided it."""
    notes: tuple[Note, ...] = ()
    """Oldest first."""


def attempts_text(attempts: Iterable[Attempt]) -> str | None:
    """As the store keeps them; None if there are none."""
    found = [astuple(attempt) for attempt in attempts]
    return json.dumps(found) if found else None


def attempts_in(text: str | None) -> tuple[Attempt, ...]:
    """From what the store keeps; empty if it can't be read."""
    try:
        return tuple(Attempt(*values) for values in json.loads(text)) if text else ()
    except (TypeError, ValueError):
        return ()


def note_line(note: Note) -> str:
    """A line of an event's notes, as the store keeps them."""
    return json.dumps([note.at, note.who, note.what, note.reason[:REASON_KEPT]]) + "\n"


def notes_in(text: str | None) -> Iterator[Note]:
    """From what the store keeps; lines that can't be read are left out."""
    for line in (text or "").splitlines():
        try:
            values: list[Any] = json.loads(line)
            yield Note(*values)
        except (TypeError, ValueError):
            continue
