"""Observes the store, and tells people about trouble, on a separate thread. A failure stops nothing else."""

from __future__ import annotations

import threading
from typing import Protocol

import structlog

from config.wakeup import WakeUp
from store.errors import StoreUnavailable
from store.event_filter import EventFilter
from store.gone_webhooks import gone_webhooks
from store.protocols import Store
from store.rows import FROM_THE_FUTURE
from worker.notify.messages import QUIET, Message, Notices, Observation
from worker.notify.sender import Sender

log = structlog.get_logger()

EVERY = 5.0
"""Seconds between observations."""
_MEMORY = "notices"
_HOUR = 3_600_000
_SET_ASIDE_TOLD = 50
_FAILED_READ = 50


class Observer:
    """Reads the state of things from the store."""

    def __init__(self, store: Store):
        self._store = store
        self._failed: int | None = None
        self._failed_to = 0

    def observe(self) -> Observation:
        """The state of things; raises only on bugs."""
        now = self._store.now()
        try:
            self._store.deliveries.check_writable()
            facts = self._store.facts.all()
            return Observation(
                now=now,
                failed=self._newly_failed(now),
                deliveries=self._store.queries.delivery_counts(now - _HOUR),
                conductor_away=facts.get("conductor", "up") != "up",
                broken_definitions=tuple(
                    process for process in ("relay", "worker") if facts.get(f"definitions_error:{process}")
                ),
                gone=tuple(sorted(gone_webhooks(facts, now))),
                set_aside=self._set_aside(),
                # Events that wait because their webhook is paused look the same, but are no trouble.
                oldest_pending=self._store.queries.oldest_pending() if not self._store.pauses.paused() else None,
            )
        except StoreUnavailable:
            return Observation(now=now, store_unavailable=True)

    def _set_aside(self) -> tuple[str, ...]:
        found = sorted(self._store.quarantine.items(), key=lambda item: (item.since, item.kind, item.id))
        return tuple(f"{item.kind} {item.id}" for item in found[:_SET_ASIDE_TOLD])

    def _newly_failed(self, now: int) -> dict[str, int]:
        """webhook → events that have failed since the last observation; at first, in the last ten minutes."""
        number = self._store.queries.event_counts().get("failed", 0)
        if number == self._failed:
            return {}
        since = self._failed_to if self._failed is not None else now - QUIET
        latest = now + FROM_THE_FUTURE  # what failed later than that was told before the clock was set back
        if since > latest:
            since = now - QUIET
        found: dict[str, int] = {}
        newest = since
        for event in self._store.queries.events(EventFilter(status="failed", limit=_FAILED_READ, listing=True)):
            if event.settled_at is not None and since < event.settled_at <= latest:
                newest = max(newest, event.settled_at)
                if event.acknowledged_at is None and event.resolved_by is None:
                    found[event.webhook] = found.get(event.webhook, 0) + 1
        self._failed, self._failed_to = number, newest
        return found


class Worker(Protocol):
    """What the notifier needs to know about its worker."""

    @property
    def is_leader(self) -> bool:
        """Whether it is leader now."""


class Notifier:
    """The thread that observes, and that sends while its worker is leader."""

    def __init__(self, store: Store, sender: Sender, worker: Worker):
        self._store = store
        self._sender = sender
        self._worker = worker
        self._observer = Observer(store)
        self._notices: Notices | None = None
        self._memory = ""
        self._stop = WakeUp()
        self._thread = threading.Thread(target=self._run, name="notify", daemon=True)

    def start(self) -> None:
        """Starts observing."""
        self._thread.start()

    def stop(self) -> None:
        """Stops, without waiting for a message that is being sent."""
        self._stop.ring()

    def _run(self) -> None:
        while not self._stop.wait(EVERY):
            try:
                self.step()
            except Exception:  # a bug must not end the thread: people would never be told again
                log.exception("observing failed unexpectedly; trying again")

    def step(self) -> None:
        """Observes once, and sends what is due."""
        seen = self._observer.observe()
        # While the store is away there is no leader: then the last leader sends.
        if not self._worker.is_leader and not (seen.store_unavailable and self._notices is not None):
            self._notices = None
            return
        if self._notices is None:
            try:
                self._notices = Notices(self._store.facts.all().get(_MEMORY))
            except StoreUnavailable:
                return
        for message in self._notices.observe(seen):
            if not self._tell(message):
                self._notices.not_sent(message, seen.now)
        memory = self._notices.memory()
        if memory != self._memory and not seen.store_unavailable:
            try:
                self._store.facts.set(_MEMORY, memory)
                self._memory = memory
            except StoreUnavailable:
                pass

    def _tell(self, message: Message) -> bool:
        """Sends the message; returns whether it reached anyone."""
        sent = self._sender.send(message.title, message.body, message.resolved)
        about = {"kind": message.kind, "title": message.title}
        failed = [number for number, ok in enumerate(sent, 1) if not ok]
        if not any(sent):
            log.warning("a notification could not be sent; trying again in a minute", **about)
        elif failed:  # don't retry, or the URLs that were reached would get it every minute
            log.warning("a notification could not be sent to every URL", failed_urls=failed, **about)
        else:
            log.info("notification sent", **about)
        return any(sent)
