"""Sends the messages of `worker.notify.messages` by Apprise, on a thread of its own. A failure stops nothing else."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

import structlog

from config.settings import SettingsError
from config.wakeup import WakeUp
from store.gone import gone_webhooks
from store.protocols import Store, StoreUnavailable
from store.records import EventFilter
from worker.notify.messages import QUIET, Message, Notices, Observation

log = structlog.get_logger()

EVERY = 5.0
"""Seconds between observations."""
_MEMORY = "notices"
_HOUR = 3_600_000
_SET_ASIDE_TOLD = 50
_FAILED_READ = 50


class Send(Protocol):
    """Sends a message to everybody who is to know."""

    def __call__(self, title: str, body: str, over: bool) -> list[bool]:
        """For each of them, whether it could be sent. Raises nothing."""


def by_apprise(urls: str) -> Send:
    """How to send to these Apprise URLs, separated by spaces.

    Raises SettingsError if the extra isn't installed, or a URL is none that Apprise knows.
    """
    try:
        apprise: Any = import_module("apprise")
    except ImportError:
        raise SettingsError(
            "BRIDGE_NOTIFY needs Apprise; install the extra: pip install 'conductor-webhook-bridge[notify]'"
        ) from None
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # it would write URLs with their secrets
    everybody = apprise.Apprise()
    for number, url in enumerate(urls.split(), 1):
        if not everybody.add(url):
            raise SettingsError(
                f"BRIDGE_NOTIFY: URL number {number} is none that Apprise knows; write one such as "
                "slack://TOKEN, mailto://USER:PASSWORD@HOST or json://HOST/PATH (https://github.com/caronc/apprise/wiki)"
            )
    if not len(everybody):
        raise SettingsError("BRIDGE_NOTIFY: no URL; write one such as json://HOST/PATH, or leave it out")

    def send(title: str, body: str, over: bool) -> list[bool]:
        kind = apprise.NotifyType.SUCCESS if over else apprise.NotifyType.WARNING
        sent: list[bool] = []
        for one in everybody:
            try:
                sent.append(bool(one.notify(title=f"Webhook bridge: {title}", body=body, notify_type=kind)))
            except Exception:  # of one of a hundred services
                sent.append(False)
        return sent

    return send


class Observer:
    """Looks at the store."""

    def __init__(self, store: Store):
        self._store = store
        self._failed: int | None = None
        self._failed_to = 0

    def look(self) -> Observation:
        """How things are; raises nothing but bugs."""
        try:
            now = self._store.now()
            self._store.check_writable()
            facts = self._store.facts()
            return Observation(
                now=now,
                failed=self._newly_failed(now),
                deliveries=self._store.delivery_counts(now - _HOUR),
                conductor_away=facts.get("conductor", "up") != "up",
                broken_definitions=tuple(
                    process for process in ("relay", "worker") if facts.get(f"definitions_error:{process}")
                ),
                gone=tuple(sorted(gone_webhooks(facts, now))),
                set_aside=self._set_aside(),
                # What waits because people paused its webhook is no trouble, and can't be told from what is.
                oldest_pending=self._store.oldest_pending() if not self._store.paused() else None,
            )
        except StoreUnavailable:
            return Observation(now=int(time.time() * 1000), store_unavailable=True)

    def _set_aside(self) -> tuple[str, ...]:
        found = sorted(self._store.quarantined(), key=lambda item: (item.since, item.kind, item.id))
        return tuple(f"{item.kind} {item.id}" for item in found[:_SET_ASIDE_TOLD])

    def _newly_failed(self, now: int) -> dict[str, int]:
        """webhook → events that have failed since the last look; at first, in the last ten minutes."""
        number = self._store.event_counts().get("failed", 0)
        if number == self._failed:
            return {}
        since = self._failed_to if self._failed is not None else now - QUIET
        found: dict[str, int] = {}
        newest = since
        for event in self._store.events(EventFilter(status="failed", limit=_FAILED_READ, listing=True)):
            if event.settled_at is not None and event.settled_at > since:
                found[event.webhook] = found.get(event.webhook, 0) + 1
                newest = max(newest, event.settled_at)
        self._failed, self._failed_to = number, newest
        return found


class Notifier:
    """The thread that observes, and sends while its worker decides."""

    def __init__(self, store: Store, send: Send, deciding: Callable[[], bool]):
        """`deciding` says whether this worker decides now."""
        self._store = store
        self._send = send
        self._deciding = deciding
        self._observer = Observer(store)
        self._notices: Notices | None = None
        self._memory = ""
        self._stop = WakeUp()
        self._thread = threading.Thread(target=self._run, name="notify", daemon=True)

    def start(self) -> None:
        """Begins to observe."""
        self._thread.start()

    def stop(self) -> None:
        """Ends it; a message that is on its way isn't waited for."""
        self._stop.ring()

    def _run(self) -> None:
        while not self._stop.wait(EVERY):
            try:
                self.step()
            except Exception:  # a bug here must not stop what people are to be told of
                log.exception("observing failed unexpectedly; trying again")

    def step(self) -> None:
        """Observes once, and sends what is due."""
        seen = self._observer.look()
        # Nobody decides while the store is away: then whoever did so last speaks.
        if not self._deciding() and not (seen.store_unavailable and self._notices is not None):
            self._notices = None
            return
        if self._notices is None:
            try:
                self._notices = Notices(self._store.facts().get(_MEMORY))
            except StoreUnavailable:
                return
        for message in self._notices.observe(seen):
            self._tell(message, seen.now)
        memory = self._notices.memory()
        if memory != self._memory and not seen.store_unavailable:
            try:
                self._store.set_fact(_MEMORY, memory)
                self._memory = memory
            except StoreUnavailable:
                pass

    def _tell(self, message: Message, now: int) -> None:
        assert self._notices is not None
        sent = self._send(message.title, message.body, message.over)
        about = {"kind": message.kind, "title": message.title}
        failed = [number for number, ok in enumerate(sent, 1) if not ok]
        if not any(sent):
            log.warning("people could not be told; trying again in a minute", **about)
            self._notices.not_sent(message, now)
        elif failed:  # not again, or those whom it reached would be told every minute
            log.warning("not everybody could be told", failed_urls=failed, **about)
        else:
            log.info("people were told", **about)
