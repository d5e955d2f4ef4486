"""Looks for trouble in the store, and tells people about it: a job of its own, so a failure stops nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

import structlog

from store.errors import StoreUnavailable
from store.sql.store import Store
from worker.notify.messages import KINDS, Kind, Message, Notices
from worker.notify.sender import Sender
from worker.notify.troubles import STORE_UNAVAILABLE, Troubles

log = structlog.get_logger()

EVERY = 5.0
"""Seconds between two looks."""
_MEMORY = "notices"


class Worker(Protocol):
    """What the notifier needs to know about its worker."""

    @property
    def is_leader(self) -> bool:
        """Whether it is leader now."""


class Notifier:
    """Looks, and sends, while its worker is leader."""

    def __init__(self, store: Store, sender: Sender, worker: Worker, admin_url: str | None = None):
        self._store = store
        self._sender = sender
        self._worker = worker
        self._troubles = Troubles(store, admin_url)
        self._notices: Notices | None = None
        self._memory = ""

    def step(self) -> None:
        """Looks once, and sends what is due."""
        if self._notices is None and not self._worker.is_leader:
            return
        try:
            if not self._worker.is_leader:
                # While the store is away there is no leader: then the last leader sends.
                self._store.deliveries.check_writable()
                self._notices = None
                return
            if self._notices is None:
                self._notices = Notices(self._store.facts.all().get(_MEMORY))
            troubles = self._troubles.now()
        except StoreUnavailable:
            if self._notices is not None:
                self._send(self._notices, [STORE_UNAVAILABLE], [kind for kind in KINDS if kind != "store"])
            return
        # While Conductor is away all events wait for it, and people know.
        is_away = any(trouble.kind == "conductor" for trouble in troubles)
        self._send(self._notices, troubles, ["waiting"] if is_away else [])
        memory = self._notices.memory()
        if memory != self._memory:
            with suppress(StoreUnavailable):
                self._store.facts.set(_MEMORY, memory)
                self._memory = memory

    def _send(self, notices: Notices, troubles: Sequence[Message], unknown: Sequence[Kind]) -> None:
        now = self._store.now()
        for message in notices.due(troubles, now, unknown):
            sent = self._sender.send(message.title, message.body, resolved=not message.about)
            notices.sent(message, now, any(sent))
            about = {"kind": message.kind, "title": message.title}
            failed = [number for number, ok in enumerate(sent, 1) if not ok]
            if not any(sent):
                log.warning("a notification could not be sent; trying again in a minute", **about)
            elif failed:  # don't retry, or the URLs that were reached would get it every minute
                log.warning("a notification could not be sent to every URL", failed_urls=failed, **about)
            else:
                log.info("notification sent", **about)
