"""Tells people what is wrong: a job of its own, so a failure stops nothing else.

Each kind of trouble gets one message when it begins, and one when it is over. While it lasts,
another is sent only if it concerns something new, and at most every ten minutes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib import import_module
from typing import Any

import structlog

from config.settings import SettingsError
from store.errors import StoreUnavailable
from store.processes import WorkerStore
from store.reports import Reports
from worker.troubles import OVER, STORE_UNAVAILABLE, Message, troubles

log = structlog.get_logger()

EVERY = 5.0
"""Seconds between two looks."""
QUIET = 600_000
"""Milliseconds between two messages that a kind has begun."""
_TRY_AGAIN = 60_000
"""Milliseconds before messages that couldn't be sent are retried."""
_AFTER = {"conductor": 60_000, "store": 5_000, "set aside": 60_000}
"""Milliseconds that trouble must last before it is worth a message, of those that may be over in a
moment."""

Send = Callable[[str, str, bool], list[bool]]
"""Title, body, and whether trouble is over → for each URL whether the message was sent. Never
raises."""


# --- what to tell people, and when ---


@dataclass
class _Known:
    """What is known about one kind. Fields are stored under their names; times are Unix
    milliseconds."""

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
            written = json.loads(remembered or "{}")
            self._known = {kind: _Known(**known) for kind, known in written.items()}

    def memory(self) -> str:
        """What the next leader must know so that nothing is said twice."""
        return json.dumps(
            {kind: asdict(known) for kind, known in self._known.items()}, sort_keys=True
        )

    def due(
        self, current: Collection[Message], now: int, unknown: Collection[str] = ()
    ) -> list[Message]:
        """The messages to send now. `current`: what is wrong, at most one of a kind. `unknown`:
        kinds of which nothing is known now. Each message stays due until it is `sent`."""
        by_kind = {message.kind: message for message in current}
        # If the clock was set back, later times would last until it has caught up.
        self._retry_at = min(self._retry_at, now + _TRY_AGAIN)
        found: list[Message] = []
        for kind in OVER:
            if kind in unknown:
                continue
            trouble = by_kind.get(kind)
            if trouble is None:
                found += self._over(kind)
            else:
                found += self._begun(trouble, now)
        if now < self._retry_at:
            return []
        return found

    def _over(self, kind: str) -> Sequence[Message]:
        """Notes that there is no such trouble; the message to send, if people know of it."""
        known = self._known.setdefault(kind, _Known())
        known.since = None
        if not known.told:
            return []
        return [Message(kind, OVER[kind], OVER[kind] + ".")]

    def _begun(self, trouble: Message, now: int) -> Sequence[Message]:
        """Notes that there is this trouble; the message to send, if it is time to."""
        known = self._known.setdefault(trouble.kind, _Known())
        if known.since is None:
            known.since = now
        # If the clock was set back, later times would last until it has caught up.
        known.since = min(known.since, now)
        known.quiet_until = min(known.quiet_until, now + QUIET)
        has_lasted = now - known.since >= _AFTER.get(trouble.kind, 0)
        is_new = not set(trouble.about) <= set(known.told)
        if has_lasted and is_new and now >= known.quiet_until:
            return [trouble]
        return []

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

    def __init__(
        self,
        store: WorkerStore,
        send: Send,
        is_leader: Callable[[], bool],
        admin_url: str | None = None,
    ):
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
                self._notices = Notices(self._store.reports.read().notices)
        except StoreUnavailable:
            # While the store is away there is no leader: then the last leader sends.
            if self._notices is not None:
                self._tell(self._notices, [STORE_UNAVAILABLE], OVER.keys() - {"store"})
            return
        unknown = set()
        if any(trouble.kind == "conductor" for trouble in found):
            unknown.add("waiting")  # all events wait for Conductor, and people know
        self._tell(self._notices, found, unknown)
        memory = self._notices.memory()
        if memory != self._memory:
            with suppress(StoreUnavailable):
                self._store.reports.write(Reports(notices=memory))
                self._memory = memory

    def _tell(
        self, notices: Notices, current: Collection[Message], unknown: Collection[str]
    ) -> None:
        now = self._store.now()
        for message in notices.due(current, now, unknown):
            sent = self._send(message.title, message.body, not message.about)
            # Not sent again if some URLs were reached: they would get it every minute.
            notices.sent(message, now, any(sent))
            logger = log.bind(kind=message.kind, title=message.title)
            failed = [number for number, has_succeeded in enumerate(sent, 1) if not has_succeeded]
            if failed:
                logger.warning("a notification could not be sent to every URL", failed_urls=failed)
            else:
                logger.info("notification sent")


# --- sending ---


class Apprise:
    """Sends to the services in a list of Apprise URLs, separated by spaces."""

    def __init__(self, urls: str):
        """Raises SettingsError if the extra isn't installed, or Apprise doesn't know a URL."""
        try:
            self._apprise: Any = import_module("apprise")
        except ImportError:
            raise SettingsError(
                "BRIDGE_NOTIFY: Apprise isn't installed; pip install '.[notify]' in a checkout, or"
                " 'WHEEL[notify]'"
            ) from None
        # It would log URLs with their secrets.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        self._services = self._apprise.Apprise()
        for number, url in enumerate(urls.split() or [""], 1):
            if not self._services.add(url):
                raise SettingsError(
                    f"BRIDGE_NOTIFY: Apprise doesn't know URL number {number}; write one such as"
                    " slack://TOKEN, mailto://USER:PASSWORD@HOST or json://HOST/PATH"
                    " (https://github.com/caronc/apprise/wiki)"
                )

    def send(self, title: str, body: str, resolved: bool) -> list[bool]:
        """Sends the message; returns for each URL whether that succeeded. Never raises."""
        kind = self._apprise.NotifyType.WARNING
        if resolved:
            kind = self._apprise.NotifyType.SUCCESS
        sent: list[bool] = []
        for service in self._services:
            try:
                has_succeeded = service.notify(
                    title=f"Webhook bridge: {title}", body=body, notify_type=kind
                )
            except Exception:  # raised by one of a hundred services
                has_succeeded = False
            sent.append(bool(has_succeeded))
        return sent
