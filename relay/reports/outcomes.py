"""The outcomes of deliveries: counted here, and written in one go to metrics and store once a second."""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import Literal

import structlog

from relay.reports import metrics
from relay.reports.raw_deliveries import Keeper
from store.delivery_records import Duplicate, Rejection
from store.errors import StoreUnavailable
from store.sql.deliveries import Deliveries, WithoutEvents

Outcome = Literal[
    "accepted", "duplicate", "filtered", "challenge", "page", "rejected", "limited", "store_unavailable", "unknown"
]

KEPT = 50
"""Rejections of one webhook, and duplicates, waiting to be written; in a flood the newest replace the oldest."""


class Outcomes:
    """Counts outcomes, and keeps rejections until they are written. Thread-safe."""

    def __init__(self, store: Deliveries, without_events: WithoutEvents, keeper: Keeper | None = None):
        """`keeper` is flushed together with the rest."""
        self._store = store
        self._without_events = without_events
        self._keeper = keeper
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, Outcome, int]] = Counter()
        self._unwritten: Counter[tuple[str, str]] = Counter()
        self._rejections: dict[tuple[str, bool], deque[Rejection]] = {}
        self._duplicates: dict[str, deque[Duplicate]] = {}

    def count(self, webhook: str, outcome: Outcome, code: int, number: int = 1) -> None:
        """Counts an outcome; `webhook` is a name from the definitions, or empty for an unknown id."""
        with self._lock:
            self._counts[webhook, outcome, code] += number

    def reject(self, rejection: Rejection) -> None:
        """Counts a rejected or filtered delivery, and keeps it with its reason."""
        self._keep(rejection, "filtered" if rejection.filtered else "rejected")

    def unknown(self, rejection: Rejection) -> None:
        """Counts a delivery to a URL that no webhook has, and keeps it with the URL."""
        self._keep(rejection, "unknown")

    def _keep(self, rejection: Rejection, outcome: Outcome) -> None:
        self.count(rejection.webhook, outcome, rejection.status)
        key = rejection.webhook, rejection.filtered
        with self._lock:
            self._rejections.setdefault(key, deque(maxlen=KEPT)).append(rejection)

    def repeat(self, duplicate: Duplicate) -> None:
        """Keeps which event a delivery repeats; counting it is the caller's."""
        with self._lock:
            self._duplicates.setdefault(duplicate.webhook, deque(maxlen=KEPT)).append(duplicate)

    def flush(self) -> None:
        """Writes what has accumulated since the last call; what the store can't take is kept for the next. Not for
        concurrent calls."""
        if self._keeper is not None:
            self._keeper.flush()
        with self._lock:
            counts, self._counts = self._counts, Counter()
            rejections, self._rejections = self._rejections, {}
            duplicates, self._duplicates = self._duplicates, {}
        totals: Counter[tuple[str, str]] = Counter()
        for (webhook, outcome, code), number in counts.items():
            totals[webhook, outcome] += number
            metrics.count_deliveries(webhook, outcome, code, number)
            if outcome == "accepted":
                metrics.count_committed(webhook, number)
        self._unwritten += totals
        if not self._unwritten:
            return
        for (webhook, filtered), kept in rejections.items():
            log, outcome = structlog.get_logger(), "filtered" if filtered else "rejected" if webhook else "unknown"
            number = max(totals[webhook, outcome], len(kept))  # not all are kept, and some may have been counted before
            if filtered:
                log.info("deliveries filtered", webhook=webhook, number=number)
            else:
                log.warning("deliveries rejected", webhook=webhook, number=number, last=kept[-1].reason)
        try:
            # Duplicates are only shown to people: if they can't be written now, they are dropped.
            self._without_events.record_duplicates([one for kept in duplicates.values() for one in kept])
            self._store.record_rejections([one for kept in rejections.values() for one in kept], self._unwritten)
            self._unwritten.clear()
        except StoreUnavailable as error:
            structlog.get_logger().warning("can't write rejections yet", error=str(error))
            with self._lock:
                for key, kept in rejections.items():
                    newer = self._rejections.get(key, ())
                    self._rejections[key] = deque([*kept, *newer], maxlen=KEPT)
