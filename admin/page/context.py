"""What requests share: store, definitions, sessions."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import cast

import structlog
from flask import Response, current_app, g, has_app_context, request

from admin.bridge import Bridge, open_definitions
from admin.page.access import COOKIE, NotAllowed, Role, Sessions, WrongTokens
from config.settings import Settings
from config.watch import DefinitionsSource
from config.webhooks import Definitions
from store.delivery_records import WRONG_TOKEN
from store.errors import NewerStore, StoreUnavailable
from store.open import open_store
from store.processes import AdminStore
from worker.conductor.client import Conductor
from worker.conductor.server import Server

_CONDUCTOR = 5.0
"""Seconds that a page waits for one answer of Conductor."""


class _LoggingBridge(Bridge):
    def record(self, what: str, webhook: str, detail: str = "") -> None:
        """Logs the change too, which has been made whether or not it can be recorded."""
        structlog.get_logger().info(
            "changed by a person", who=self.who, what=what, webhook=webhook, detail=detail
        )
        try:
            super().record(what, webhook, detail)
        except StoreUnavailable as error:
            structlog.get_logger().error("the change can't be recorded", error=str(error))


class Source:
    """Store, definitions and Conductor, each opened or asked when a request first needs it, for all
    threads."""

    def __init__(self, settings: Settings):
        self.settings = settings
        tokens = (settings.bridge_admin_token, settings.bridge_viewer_token)
        admin, viewer = (one.get_secret_value() if one else None for one in tokens)
        self.sessions = Sessions(admin, viewer, lambda: self.store().sessions)
        self.wrong_tokens = WrongTokens()
        self._lock = threading.RLock()  # opening the definitions may open the store
        self._store: AdminStore | None = None
        self._definitions: DefinitionsSource | None = None

    @cached_property
    def conductor(self) -> Conductor:
        return Conductor(
            Server.of(self.settings), min(self.settings.bridge_call_timeout, _CONDUCTOR)
        )

    def store(self) -> AdminStore:
        """Raises StoreUnavailable, NewerStore."""
        with self._lock:
            if self._store is None:
                self._store = open_store(self.settings.bridge_database)
            return self._store

    def bridge(self) -> Bridge:
        """Raises StoreUnavailable, NewerStore."""
        who = g.get("who", "") if has_app_context() else ""
        return _LoggingBridge(self.settings, self.store(), self.definitions(), who)

    def definitions(self) -> Definitions:
        """Those in force now; the files are read again only if they have changed."""
        with self._lock:
            if self._definitions is None:
                self._definitions = open_definitions(
                    self.settings, lambda: self.store().kept_definitions.all()
                )
            self._definitions.check()
            return self._definitions.current

    def find_problem(self) -> str | None:
        """Why the page can't be used, in words that hold no secret: anybody may ask. None if it
        can."""
        try:
            self.store().reports.read()
        except (StoreUnavailable, NewerStore) as error:
            return f"the store can't be used: {error}"
        definitions = self.definitions()
        if definitions.errors and not definitions.webhooks:
            return "the definitions can't be read; webhook-bridge check says why"
        return None


def source() -> Source:
    """The application's store and definitions."""
    return cast(Source, current_app.extensions["bridge"])


def sessions() -> Sessions:
    """The application's sessions."""
    return source().sessions


def role_of_token(given: str | None) -> Role | None:
    """What the holder of this token may do; None for a wrong one, which is counted.

    Raises TooManyWrongTokens instead, if the sender's address has given too many.
    """
    role, address = sessions().role_of_token(given), request.remote_addr
    if role is None and sessions().has_tokens and source().wrong_tokens.may_record(address):
        structlog.get_logger().warning("a wrong token", remote=address)
        try:
            source().store().without_events.record((), {("", WRONG_TOKEN): 1})
        except (StoreUnavailable, NewerStore) as error:
            structlog.get_logger().error("a wrong token can't be counted", error=str(error))
    return role


def check_admin(to_do: str) -> None:
    """Raises NotAllowed, with what the admin's token is needed for, unless this request has it."""
    if g.role != "admin":
        raise NotAllowed(f"this token is read-only: use BRIDGE_ADMIN_TOKEN to {to_do}")


def set_cookie(response: Response, cookie: str) -> None:
    """Sets the cookie, for this site only and hidden from scripts."""
    response.set_cookie(
        COOKIE, cookie, httponly=True, samesite="Strict", secure=request.is_secure, path="/"
    )
