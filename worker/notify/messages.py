"""What people are told, and when: pure.

Each kind of trouble gets one message when it begins, and one when it is over. While it lasts, another is sent only if
it concerns something new, and at most every ten minutes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

Kind = Literal["failed", "rejecting", "conductor", "store", "definitions", "gone", "waiting", "set aside", "tokens"]
KINDS: tuple[Kind, ...] = get_args(Kind)
QUIET = 600_000
"""Milliseconds between two messages that a kind has begun."""
AFTER: dict[Kind, int] = {"conductor": 60_000, "store": 5_000, "set aside": 60_000}
"""Milliseconds that trouble must last before it is worth a message, of those that may be over in a moment."""
OVER: dict[Kind, str] = {
    "failed": "No more events have failed for ten minutes",
    "rejecting": "No webhook rejects all of its deliveries any more",
    "conductor": "Conductor answers again",
    "store": "The store can be used again",
    "definitions": "The webhook definitions are valid again",
    "gone": "The missing webhooks are back, or have been gone for a day",
    "waiting": "Events are delivered on time again",
    "set aside": "Nothing is set aside any more",
    "tokens": "Nobody is guessing tokens at the admin page any more",
}
"""The title of the message that the trouble is over."""
_TRY_AGAIN = 60_000
"""Milliseconds before a message that couldn't be sent is retried."""


@dataclass(frozen=True)
class Message:
    """A message that trouble has begun, or is over."""

    kind: Kind
    title: str
    body: str
    about: tuple[str, ...] = ()
    """What the trouble concerns; empty if it is over."""


@dataclass
class _Known:
    """What is known about one kind. Fields are stored under their names; times are Unix milliseconds."""

    since: int | None = None
    """When it began; None if it isn't ongoing."""
    told: list[str] = field(default_factory=list)
    """What people were told that it concerns; empty once they were told that it is over."""
    quiet_until: int = 0
    retry_at: int = 0


class Notices:
    """Decides what to tell people."""

    def __init__(self, remembered: str | None = None):
        """`remembered` is the previous leader's `memory`."""
        self._known: dict[Kind, _Known] = {kind: _Known() for kind in KINDS}
        self._known.update(_read(remembered))

    def memory(self) -> str:
        """What the next leader must know so that nothing is said twice."""
        return json.dumps({kind: asdict(known) for kind, known in self._known.items()}, sort_keys=True)

    def due(self, troubles: Sequence[Message], now: int, unknown: Collection[Kind] = ()) -> list[Message]:
        """The messages to send now. `troubles`: what is wrong, at most one of a kind. `unknown`: kinds of which nothing
        is known now. Each message stays due until it is `sent`."""
        current = {trouble.kind: trouble for trouble in troubles}
        found = (self._due(kind, current.get(kind), now) for kind in KINDS if kind not in unknown)
        return [message for message in found if message is not None]

    def _due(self, kind: Kind, trouble: Message | None, now: int) -> Message | None:
        known = self._known[kind]
        # If the clock was set back, later times would last until it has caught up.
        known.quiet_until = min(known.quiet_until, now + QUIET)
        known.retry_at = min(known.retry_at, now + _TRY_AGAIN)
        if trouble is None:
            known.since = None
            is_due = bool(known.told)
            trouble = Message(kind, OVER[kind], OVER[kind] + ".")
        else:
            known.since = now if known.since is None else min(known.since, now)
            lasts = now - known.since >= AFTER.get(kind, 0)
            is_due = lasts and now >= known.quiet_until and not set(trouble.about) <= set(known.told)
        return trouble if is_due and now >= known.retry_at else None

    def sent(self, message: Message, now: int, has_reached_anyone: bool) -> None:
        """The message was sent; if it reached nobody, it is due again in a minute."""
        known = self._known[message.kind]
        if not has_reached_anyone:
            known.retry_at = now + _TRY_AGAIN
            return
        known.told = list(message.about)
        if message.about:
            known.quiet_until = now + QUIET


def _read(remembered: str | None) -> Iterator[tuple[Kind, _Known]]:
    """What can be read of a stored memory, which another version may have written."""
    try:
        written: Any = json.loads(remembered or "{}")
        for kind in KINDS:
            if kind in written:
                yield kind, _Known(**written[kind])
    except (ValueError, TypeError):
        return
