"""Tells people what is wrong: a job of its own, so a failure stops nothing else.

Each kind of trouble gets one message when it begins, and one when it is over. While it lasts, another is sent only if
it concerns something new, and at most every ten minutes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field

import structlog

from store.errors import StoreUnavailable
from store.sql.store import Store
from worker.notify.troubles import STORE_UNAVAILABLE, Message, troubles

log = structlog.get_logger()

EVERY = 5.0
"""Seconds between two looks."""
QUIET = 600_000
"""Milliseconds between two messages that a kind has begun."""
_TRY_AGAIN = 60_000
"""Milliseconds before messages that couldn't be sent are retried."""
_AFTER = {"conductor": 60_000, "store": 5_000, "set aside": 60_000}
"""Milliseconds that trouble must last before it is worth a message, of those that may be over in a moment."""
OVER = {
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
"""Every kind of trouble → the title of the message that it is over."""
_MEMORY = "notices"

Send = Callable[[str, str, bool], list[bool]]
"""Title, body, and whether trouble is over → for each URL whether the message was sent. Never raises."""


@dataclass
class _Known:
    """What is known about one kind. Fields are stored under their names; times are Unix milliseconds."""

    since: int | None = None
    """When it began; None if it isn't ongoing."""
    told: list[str] = field(default_factory=list)
    """What people were told that it concerns; empty once they were told that it is over."""
    quiet_until: int = 0


class Notices:
    """Decides what to tell people: pure."""

    def __init__(self, remembered: str | None = None):
        """`remembered` is the previous leader's `memory`; another version may have written it."""
        self._known: dict[str, _Known] = {}
        self._retry_at = 0
        with suppress(ValueError, TypeError, AttributeError):
            self._known = {kind: _Known(**written) for kind, written in json.loads(remembered or "{}").items()}

    def memory(self) -> str:
        """What the next leader must know so that nothing is said twice."""
        return json.dumps({kind: asdict(known) for kind, known in self._known.items()}, sort_keys=True)

    def due(self, current: Collection[Message], now: int, unknown: Collection[str] = ()) -> list[Message]:
        """The messages to send now. `current`: what is wrong, at most one of a kind. `unknown`: kinds of which nothing
        is known now. Each message stays due until it is `sent`."""
        by_kind = {message.kind: message for message in current}
        # If the clock was set back, later times would last until it has caught up.
        self._retry_at = min(self._retry_at, now + _TRY_AGAIN)
        found = [message for kind in OVER if kind not in unknown for message in self._due(kind, by_kind.get(kind), now)]
        return found if now >= self._retry_at else []

    def _due(self, kind: str, trouble: Message | None, now: int) -> Sequence[Message]:
        known = self._known.setdefault(kind, _Known())
        if trouble is None:
            known.since = None
            return [Message(kind, OVER[kind], OVER[kind] + ".")] if known.told else []
        known.quiet_until = min(known.quiet_until, now + QUIET)
        known.since = now if known.since is None else min(known.since, now)
        is_due = now - known.since >= _AFTER.get(kind, 0) and now >= known.quiet_until
        return [trouble] if is_due and not {*trouble.about} <= {*known.told} else []

    def sent(self, message: Message, now: int, has_reached_anyone: bool) -> None:
        """The message was sent; if it reached nobody, it is due again in a minute."""
        if not has_reached_anyone:
            self._retry_at = now + _TRY_AGAIN
            return
        known = self._known[message.kind]
        known.told = list(message.about)
        if message.about:
            known.quiet_until = now + QUIET


class Notifier:
    """Looks for trouble, and sends, while its worker is leader."""

    def __init__(self, store: Store, send: Send, is_leader: Callable[[], bool], admin_url: str | None = None):
        self._store = store
        self._send = send
        self._is_leader = is_leader
        self._admin_url = admin_url
        self._notices: Notices | None = None
        self._memory = ""

    def step(self) -> None:
        """Looks once, and sends what is due."""
        is_leader = self._is_leader()
        if not is_leader and self._notices is None:
            return
        try:
            found = list(troubles(self._store, self._admin_url))
            if not is_leader:
                self._notices = None
                return
            if self._notices is None:
                self._notices = Notices(self._store.facts.all().get(_MEMORY))
        except StoreUnavailable:
            if self._notices is not None:  # while the store is away there is no leader: then the last leader sends
                self._tell(self._notices, [STORE_UNAVAILABLE], OVER.keys() - {"store"})
            return
        # While Conductor is away all events wait for it, and people know.
        self._tell(self._notices, found, {"waiting"} if any(one.kind == "conductor" for one in found) else ())
        if (memory := self._notices.memory()) != self._memory:
            with suppress(StoreUnavailable):
                self._store.facts.set(_MEMORY, memory)
                self._memory = memory

    def _tell(self, notices: Notices, current: Collection[Message], unknown: Collection[str]) -> None:
        now = self._store.now()
        for message in notices.due(current, now, unknown):
            sent = self._send(message.title, message.body, not message.about)
            # Not sent again if some URLs were reached: they would get it every minute.
            notices.sent(message, now, any(sent))
            about = {"kind": message.kind, "title": message.title}
            if failed := [number for number, ok in enumerate(sent, 1) if not ok]:
                log.warning("a notification could not be sent to every URL", failed_urls=failed, **about)
            else:
                log.info("notification sent", **about)
