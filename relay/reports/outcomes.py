"""The outcomes of deliveries: counted here, and written in one go to metrics and store once a
second."""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import Literal

import structlog

from relay import metrics
from relay.reports.raw_deliveries import Keeper
from store.delivery_records import WithoutEvent
from store.errors import StoreUnavailable
from store.sql.deliveries import WithoutEvents

Outcome = Literal[
    "accepted",
    "duplicate",
    "filtered",
    "challenge",
    "page",
    "rejected",
    "limited",
    "store_unavailable",
    "unknown",
]

KEPT = 50
"""Deliveries without an event, of one webhook and kind, that wait to be written; in a flood the
newest replace the oldest."""


class Outcomes:
    """Counts outcomes, and keeps deliveries without an event until they are written. Thread-safe."""

    def __init__(self, store: WithoutEvents, keeper: Keeper):
        """`keeper` is flushed together with the rest."""
        self._store = store
        self._keeper = keeper
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, Outcome, int]] = Counter()
        self._unwritten: Counter[tuple[str, str]] = Counter()
        self._kept: dict[tuple[str, str], deque[WithoutEvent]] = {}

    def count(self, webhook: str, outcome: Outcome, code: int, number: int = 1) -> None:
        """Counts an outcome; `webhook` is a name from the definitions, or empty for an unknown id."""
        with self._lock:
            self._counts[webhook, outcome, code] += number

    def reject(self, rejection: WithoutEvent) -> None:
        """Counts a rejected or filtered delivery, and keeps it with its reason. Without a webhook
        it came to a URL that none has."""
        self.count(
            rejection.webhook, rejection.kind if rejection.webhook else "unknown", rejection.status
        )
        self.keep(rejection)

    def keep(self, one: WithoutEvent) -> None:
        """Keeps a delivery that left no event, such as a duplicate; counting it is the caller's."""
        # Anyone may send challenges: of those that come together, the last one is enough.
        most = 1 if one.kind == "challenge" else KEPT
        with self._lock:
            self._kept.setdefault((one.webhook, one.kind), deque(maxlen=most)).append(one)

    def flush(self) -> None:
        """Writes what has accumulated since the last call; what the store can't take is kept for
        the next. Not for concurrent calls."""
        self._keeper.flush()
        with self._lock:
            counts, self._counts = self._counts, Counter()
            kept, self._kept = self._kept, {}
        totals: Counter[tuple[str, str]] = Counter()
        for (webhook, outcome, code), number in counts.items():
            totals[webhook, outcome] += number
            metrics.count_deliveries(webhook, outcome, code, number)
            if outcome == "accepted":
                metrics.count_committed(webhook, number)
        self._unwritten += totals
        if not self._unwritten:
            return
        for (webhook, kind), some in kept.items():
            log = structlog.get_logger()
            # Not all are kept, and some may have been counted before.
            number = max(totals[webhook, kind if webhook else "unknown"], len(some))
            if kind == "filtered":
                log.info("deliveries filtered", webhook=webhook, number=number)
            elif kind == "rejected":
                log.warning(
                    "deliveries rejected", webhook=webhook, number=number, last=some[-1].reason
                )
        try:
            self._store.record([one for some in kept.values() for one in some], self._unwritten)
            self._unwritten.clear()
        except StoreUnavailable as error:
            structlog.get_logger().warning("can't write rejections yet", error=str(error))
            with self._lock:
                for key, some in kept.items():
                    self._kept[key] = deque([*some, *self._kept.get(key, ())], maxlen=KEPT)
