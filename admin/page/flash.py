"""What a page says once about what has just been done, such as a secret that was made up.

A form leads on to such a page instead of answering with it: so loading the page again posts nothing again, and says the
same again for some minutes. Messages are kept in memory only, as secrets are among them.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from store.clock import MonotonicClock

KEPT = 600.0
"""Seconds."""
MOST = 200
"""Messages at a time; the oldest are dropped."""


class _Message(NamedTuple):
    until: float
    session: str | None
    webhook: str
    values: Mapping[str, Any]


class FlashMessages:
    """Messages of all sessions, for all threads; each is read by its own session, on its own webhook's page."""

    def __init__(self, clock: MonotonicClock = time):
        self._clock = clock
        self._lock = threading.Lock()
        self._messages: OrderedDict[str, _Message] = OrderedDict()

    def leave(self, session: str | None, webhook: str, values: Mapping[str, Any]) -> str:
        """Keeps what the webhook's page is to say to this session (its cookie); returns the name to ask for it by."""
        name, now = secrets.token_urlsafe(16), self._clock.monotonic()
        with self._lock:
            self._messages[name] = _Message(now + KEPT, session, webhook, values)
            while len(self._messages) > MOST or next(iter(self._messages.values())).until <= now:
                self._messages.popitem(last=False)
        return name

    def read(self, name: str, session: str | None, webhook: str) -> Mapping[str, Any]:
        """What was left; nothing if it is too old, or another session's or webhook's."""
        with self._lock:
            note = self._messages.get(name)
        if note is None or note.until <= self._clock.monotonic() or (note.session, note.webhook) != (session, webhook):
            return {}
        return note.values
