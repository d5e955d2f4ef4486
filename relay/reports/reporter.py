"""What people are told of deliveries: counts, the reasons of rejections, kept deliveries, and lines
in the log."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import structlog

from platforms.http import Request
from platforms.verifiers import Refused
from relay.events.selection import LeftOut
from relay.http.incoming import Incoming
from relay.limits.log_throttle import LogThrottle
from relay.reports.outcomes import Outcome, Outcomes
from relay.reports.raw_deliveries import LONGEST_REASON, Keeper
from relay.route import Route
from store.clock import MonotonicClock
from store.delivery_records import Kind, WithoutEvent
from store.processes import RelayStore
from store.records import Committed

_LONGEST_URL = 100


class Reporter:
    """Reports what became of deliveries."""

    def __init__(
        self, store: RelayStore, outcomes: Outcomes, keeper: Keeper, clock: MonotonicClock = time
    ):
        self._store = store
        self._outcomes = outcomes
        self._keeper = keeper
        self._log_throttle = LogThrottle(clock)

    def count(self, webhook: str, outcome: Outcome, status: int) -> None:
        """Counts one delivery by its outcome, and the status of its response."""
        self._outcomes.count(webhook, outcome, status)

    def committed(self, route: Route, incoming: Incoming, committed: Sequence[Committed]) -> None:
        """Counts a delivery's events: those that were stored, and those that repeat another, of
        which the first is recorded."""
        name = route.webhook.name
        repeated = [one.event_id for one in committed if one.duplicate]
        stored = len(committed) - len(repeated)
        if stored:
            self._outcomes.count(name, "accepted", 200, stored)
            if route.webhook.listen:
                self._keeper.has_kept(name)
        if repeated:
            status = 200 if route.callback is None else 410
            self._outcomes.count(name, "duplicate", status, len(repeated))
            duplicate = self._of(incoming, name, "duplicate", status, "", event_id=repeated[0])
            self._outcomes.keep(duplicate)

    def challenged(self, route: Route, incoming: Incoming, status: int) -> None:
        """Counts and records a challenge that was answered."""
        name = route.webhook.name
        self.count(name, "challenge", status)
        self._outcomes.keep(self._of(incoming, name, "challenge", status, "it was answered"))

    def keep(
        self, route: Route, incoming: Incoming, request: Request | None, refused: Refused
    ) -> str | None:
        """Keeps a rejected delivery, if the webhook asks for it. Returns its id, None if it isn't
        kept."""
        if (
            route.webhook.keep_rejected is None
            or request is None
            or request.method not in route.platform.methods
        ):
            return None
        return self._keeper.keep(route, incoming, request, self._store.now(), refused)

    def record(
        self, route: Route, incoming: Incoming, status: int, reason: str, kept_id: str | None = None
    ) -> None:
        """Counts a rejected or filtered delivery, and records its reason."""
        kind: Kind = "filtered" if status < 400 else "rejected"
        self._outcomes.reject(
            self._of(incoming, route.webhook.name, kind, status, reason, kept_id=kept_id)
        )

    def unknown(self, incoming: Incoming, url_id: str) -> None:
        """Counts a delivery to a URL that no webhook has, and records the URL's beginning: people
        mistype them."""
        reason = f"no webhook has the URL /webhook/{url_id[:_LONGEST_URL]}"
        self._outcomes.reject(self._of(incoming, "", "rejected", 404, reason))

    def _of(
        self,
        incoming: Incoming,
        webhook: str,
        kind: Kind,
        status: int,
        reason: str,
        **more: Any,
    ) -> WithoutEvent:
        return WithoutEvent(
            webhook,
            self._store.now(),
            status,
            reason[:LONGEST_REASON],
            incoming.recorded_remote,
            incoming.method,
            kind=kind,
            **more,
        )

    def left_out(
        self,
        route: Route,
        incoming: Incoming,
        status: int,
        left: LeftOut,
        kept_id: str | None = None,
    ) -> None:
        """Counts the events of one delivery that are filtered, or don't fit the `schema`, and
        records the reasons."""
        for reason in left.reasons:
            self.record(route, incoming, status, reason, kept_id)
        others = left.number - len(left.reasons)
        if others:
            outcome: Outcome = "filtered" if status < 400 else "rejected"
            self._outcomes.count(route.webhook.name, outcome, status, others)

    def misfits(
        self, route: Route, incoming: Incoming, request: Request | None, left: LeftOut
    ) -> None:
        """The same for those that don't fit; the delivery is kept once."""
        if left.reasons:
            kept_id = self.keep(route, incoming, request, Refused(left.reasons[0], 422))
            self.left_out(route, incoming, 422, left, kept_id)

    def log(self, line: str, webhook: str, error: Exception, **more: Any) -> None:
        """Logs an error. Throttled, since senders can cause as many as they like."""
        left_out = self._log_throttle.left_out((webhook, type(error)))
        if left_out is not None:
            structlog.get_logger().error(
                line, webhook=webhook, error=str(error), left_out=left_out, **more
            )
