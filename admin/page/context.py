"""What requests share: store, definitions, sessions."""

from __future__ import annotations

import threading
import time
from typing import cast

from flask import Response, current_app, request

from admin.bridge import Bridge, Fingerprints, Readable, read_definitions
from admin.page.access import COOKIE, Sessions
from config.settings import Settings
from events.sqlite import SqliteStore, open_store

_DEFINITIONS_KEPT = 2.0
"""Seconds that definitions are shown before the files are read again."""


class Source:
    """Store and definitions for the requests, opened when the first one asks and shared by all threads."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.fingerprints: Fingerprints = {}
        self._lock = threading.Lock()
        self._store: SqliteStore | None = None
        self._definitions: Readable | None = None
        self._read_at = float("-inf")

    def bridge(self) -> Bridge:
        """Raises StoreUnavailable, NewerStore."""
        with self._lock:
            if self._store is None:
                self._store = open_store(self.settings.bridge_database)
            if self._definitions is None or time.monotonic() - self._read_at > _DEFINITIONS_KEPT:
                self._definitions = read_definitions(self.settings.bridge_webhooks)
                self._read_at = time.monotonic()
            return Bridge(self.settings, self._store, self._definitions)


def source() -> Source:
    """That of the application."""
    return cast(Source, current_app.extensions["bridge"])


def sessions() -> Sessions:
    """Those of the application."""
    return cast(Sessions, current_app.extensions["sessions"])


def set_cookie(response: Response, cookie: str) -> None:
    """Gives the cookie, for this site and no script."""
    response.set_cookie(COOKIE, cookie, httponly=True, samesite="Strict", secure=request.is_secure, path="/")
