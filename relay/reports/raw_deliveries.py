"""Deliveries that are kept with their bytes: accepted ones of webhooks with `listen`, which their
events' transaction writes, and rejected ones of webhooks with `keep_rejected`, which are written
once a second.

A stranger can cause any number of refusals. So little is kept until it is written: the rest of a
flood is dropped.
"""

from __future__ import annotations

import threading
from collections import Counter

import structlog

from config.watch import DefinitionsSource
from platforms.http import Request
from platforms.verifiers import Refused
from relay.concurrency import take_turns
from relay.http.incoming import Incoming
from relay.route import Route
from relay.verify.secrets import without_secrets
from store.delivery_records import RawDelivery
from store.errors import StoreUnavailable
from store.records import new_event_id
from store.rules.eviction import Bounds
from store.rules.senders import sender_of
from store.sql.raw_deliveries import LISTENED, RawDeliveries

LARGEST = 1024 * 1024
"""Bytes of the largest rejected delivery that is kept."""
UNWRITTEN = 2 * 1024 * 1024
"""Bytes of all rejected deliveries of a process that wait to be written."""
A_SENDER = 5
"""Rejected deliveries of one sender to one webhook that wait to be written."""
A_WEBHOOK = 20
"""The same of all senders."""
REJECTED_BYTES = 16 * 1024 * 1024
"""Bytes that are kept of one webhook's rejected deliveries."""
_MOST_REJECTED = 1000
"""Rejected deliveries that stay of a webhook that no longer has `keep_rejected`."""
_SELDOM = 60
"""Calls of `Keeper.prune` between two that look at all webhooks."""
LONGEST_REASON = 500
"""Characters of a reason that are kept."""


class Keeper:
    """Collects rejected deliveries, writes them, and deletes what is beyond the bounds.
    Thread-safe."""

    def __init__(self, store: RawDeliveries, source: DefinitionsSource, retention: float):
        """`retention`: seconds for which rejected deliveries are kept."""
        self._store = store
        self._source = source
        self._retention = int(retention * 1000)
        self._lock = threading.Lock()
        self._calls = -1
        self._grown: set[str] = set()
        """Webhooks of which any were kept since the last pruning."""
        self._reset()

    def _reset(self) -> None:
        self._unwritten: list[tuple[Route, RawDelivery]] = []
        self._bytes = 0
        self._numbers: Counter[tuple[str, str]] = Counter()

    def keep(
        self, route: Route, incoming: Incoming, request: Request, at: int, refused: Refused
    ) -> str | None:
        """Keeps the delivery, unless it is too large or too many wait to be written. Returns its
        id, None if it isn't kept. `at` is the store's time."""
        kept = RawDelivery(
            id=new_event_id(),
            webhook=route.webhook.name,
            verdict="rejected",
            at=at,
            remote=incoming.recorded_remote,
            status=refused.status,
            reason=refused.reason[:LONGEST_REASON],
            method=request.method,
            path=incoming.path,
            url=incoming.seen_url(),
            query=request.query,
            headers=dict(request.headers),
            body=request.body,
        )
        sender = sender_of(kept.remote)
        with self._lock:
            if not self._has_room(kept, sender):
                return None
            self._unwritten.append((route, kept))
            self._bytes += kept.size
            self._numbers[kept.webhook, sender] += 1
        return kept.id

    def _has_room(self, kept: RawDelivery, sender: str) -> bool:
        of_webhook = sum(
            number for (webhook, _), number in self._numbers.items() if webhook == kept.webhook
        )
        return (
            kept.size <= LARGEST
            and self._bytes + kept.size <= UNWRITTEN
            and self._numbers[kept.webhook, sender] < A_SENDER
            and of_webhook < A_WEBHOOK
        )

    def has_kept(self, webhook: str) -> None:
        """Accepted deliveries of this webhook have been kept."""
        self._grown.add(webhook)

    def flush(self) -> None:
        """Writes what has accumulated since the last call; what the store can't take is dropped."""
        with self._lock:
            unwritten = self._unwritten
            self._reset()
        cleaned = [
            without_secrets(kept, route.webhook, route.verification.secret_headers)
            for route, kept in unwritten
        ]
        deliveries = [kept for kept in cleaned if kept is not None]
        if not deliveries:
            return
        try:
            self._store.keep(deliveries)
            self._grown |= {kept.webhook for kept in deliveries}
        except StoreUnavailable as error:
            structlog.get_logger().warning(
                "rejected deliveries can't be kept", number=len(deliveries), error=str(error)
            )

    def prune(self) -> None:
        """Deletes what is beyond the bounds: soon after a webhook's deliveries were kept, and now
        and then of all webhooks. To be called about once a second. Raises StoreUnavailable."""
        self._calls += 1
        webhooks = self._source.current.by_name
        names, self._grown = self._grown, set()
        if self._calls % _SELDOM == 0:
            # What was kept gets too old, also of a webhook that no longer keeps any.
            names = set(self._store.webhooks())
        for name in names:
            most = _MOST_REJECTED
            if name in webhooks:
                most = webhooks[name].keep_rejected or most
            rejected = Bounds(most, REJECTED_BYTES, self._retention)
            self._store.prune(name, {"accepted": LISTENED, "rejected": rejected})
            take_turns()  # reading SQLite doesn't let deliveries go on
