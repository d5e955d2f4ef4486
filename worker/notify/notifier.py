"""Observes the store, and tells people about trouble, on a separate thread. A failure stops nothing else."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from typing import Protocol

import structlog

from config.wakeup import WakeUp
from store.errors import StoreUnavailable
from store.sql.facts import gone_webhooks
from store.sql.rows import FROM_THE_FUTURE
from store.sql.store import Store
from worker.notify.messages import QUIET, Message, Notices, Observation
from worker.notify.sender import Sender

log = structlog.get_logger()

EVERY = 5.0
"""Seconds between observations."""
_MEMORY = "notices"
_HOUR = 3_600_000
_SET_ASIDE_TOLD = 50
_OVERLAP = 10_000
"""Milliseconds that are looked at again: events that failed become visible later than the time at which they did."""


class Observer:
    """Reads the state of things from the store."""

    def __init__(self, store: Store, failures_seen_to: int | None = None):
        """`failures_seen_to`: up to when the observer before this one has seen which events failed."""
        self._store = store
        self._failures_seen_to = failures_seen_to or 0
        self._last: int | None = None
        """When it observed last."""
        self._failed: dict[int, int] = {}
        """`seq` → when, of the events that it has told of and may find again."""

    def observe(self) -> Observation:
        """The state of things; raises only on bugs."""
        now = self._store.now()
        try:
            self._store.deliveries.check_writable()
            facts = self._store.facts.all()
            seen = Observation(
                now=now,
                deliveries=self._store.queries.delivery_counts(now - _HOUR),
                conductor_away=facts.get("conductor", "up") != "up",
                broken_definitions=tuple(
                    process for process in ("relay", "worker") if facts.get(f"definitions_error:{process}")
                ),
                gone=tuple(sorted(gone_webhooks(facts, now))),
                set_aside=self._set_aside(),
                set_aside_number=sum(self._store.quarantine.counts().values()),
                oldest_pending=self._store.queries.oldest_pending(),
            )
            # Last: it remembers what it has returned, so nothing may fail afterwards.
            return replace(seen, failed=self._newly_failed(now))
        except StoreUnavailable:
            return Observation(now=now, store_unavailable=True)

    def _set_aside(self) -> tuple[str, ...]:
        found = sorted(self._store.quarantine.items(), key=lambda item: (item.since, item.kind, item.id))
        return tuple(f"{item.kind} {item.id}" for item in found[:_SET_ASIDE_TOLD])

    def _newly_failed(self, now: int) -> dict[str, int]:
        """webhook → events that have failed since the last observation; at first, in the last ten minutes at most."""
        after = now - QUIET if self._last is None else min(self._last, now) - _OVERLAP
        until = now + FROM_THE_FUTURE
        seen_to = self._failures_seen_to if self._last is None else self._last
        if now < seen_to:  # the clock was set back: it will pass what was told before that once more
            told = self._store.queries.failed_between(until, seen_to + FROM_THE_FUTURE)
            self._failed.update((seq, at) for seq, _, at in told)
        if self._failures_seen_to <= now:
            after = max(after, self._failures_seen_to)
        found = self._store.queries.failed_between(after, until)
        new = {seq: at for seq, _, at in found if seq not in self._failed}
        # Twice, as a clock that is set back by less passes them again too.
        self._failed = {seq: at for seq, at in {**self._failed, **new}.items() if at > now - 2 * _OVERLAP}
        self._last = now
        return dict(Counter(webhook for seq, webhook, _ in found if seq in new))


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
        notices = self._notices = self._notices or self._begin()
        if notices is None:
            return
        seen = self._observer.observe()
        # While the store is away there is no leader: then the last leader sends.
        if not self._worker.is_leader and not seen.store_unavailable:
            self._notices = None
            return
        for message in notices.observe(seen):
            if not self._tell(message):
                notices.not_sent(message, seen.now)
        memory = notices.memory()
        if memory != self._memory and not seen.store_unavailable:
            try:
                self._store.facts.set(_MEMORY, memory)
                self._memory = memory
            except StoreUnavailable:
                pass

    def _begin(self) -> Notices | None:
        """What the last leader knew; None if this worker isn't leader, or the store is away."""
        if not self._worker.is_leader:
            return None
        try:
            notices = Notices(self._store.facts.all().get(_MEMORY))
        except StoreUnavailable:
            return None
        self._observer = Observer(self._store, notices.failures_seen_to)
        return notices

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
