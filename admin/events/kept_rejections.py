"""Rejected deliveries that were kept with their bytes: how they fare today, what is shown of them,
and their retry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from admin.api_object import ApiObject
from admin.bridge import Bridge
from admin.errors import NotFound
from platforms import PLATFORMS
from platforms.bodies import BadBody, read_query
from relay.retry import StillRejected, events_of, request_of
from relay.route import Route
from relay.verify.verification import VerifiedWebhooks
from store.delivery_records import RawDelivery
from store.hiding import BLANK

_JUDGED = 100
"""The newest deliveries that are verified again to say how many would be accepted."""
ALL = "all that a signature now proves"
"""How a retry of all is recorded."""
_DUPLICATE = "its event was there already"
_ACCEPTED = "it was accepted meanwhile"


class AcceptedRejection(ApiObject):
    """A rejected delivery that was accepted."""

    kept_id: str
    event_id: str
    duplicate: bool = Field(description="whether the event was there already")


class RetryOfMany(ApiObject):
    """A retry of rejected deliveries."""

    accepted: dict[str, int] = Field(
        description="webhook → deliveries that were, or would be, accepted"
    )
    left_out: dict[str, int] = Field(description="reason → deliveries that weren't")
    event_ids: list[str] = Field(description="the first event of each delivery that was accepted")


@dataclass(frozen=True)
class Shown:
    """A rejected delivery as people may see it."""

    delivery: RawDelivery
    still_rejected: str | None
    """Why it would be rejected now; None if it would be accepted."""
    headers: dict[str, Any]
    query: dict[str, Any]
    payload: dict[str, Any] | None
    """None if the body can't be shown, or is an event's by now."""


@dataclass
class Plan:
    """What a retry of many would do."""

    ready: list[str] = field(default_factory=list)
    """The ids of those that would be accepted, in order of arrival."""
    refused: Counter[str] = field(default_factory=Counter)
    """reason → deliveries that are still rejected."""


class KeptRejections:
    """The kept deliveries of one bridge, verified with its definitions of now."""

    def __init__(self, bridge: Bridge):
        self._bridge = bridge
        self._store = bridge.store.raw_deliveries
        self._routes: dict[str, Route] = {}

    def delivery(self, kept_id: str) -> RawDelivery:
        """Raises NotFound."""
        found = self._store.rejected(kept_id)
        if found is None:
            raise NotFound(
                f"no rejected delivery {kept_id} is kept: it was pruned, or its webhook has no"
                " keep_rejected"
            )
        return found

    def why_still_rejected(self, delivery: RawDelivery) -> str | None:
        """Why it would be rejected now; None if it would be accepted. Changes nothing."""
        try:
            events_of(self._route(delivery.webhook), delivery, delivery.at)
        except StillRejected as error:
            return str(error)
        return None

    def accept_one(self, kept_id: str) -> AcceptedRejection:
        """Accepts it, and records that. Raises NotFound, StillRejected, StoreUnavailable."""
        delivery = self.delivery(kept_id)
        accepted = self.accept(delivery)
        which = f"rejected delivery {kept_id}, accepted as {accepted.event_id}"
        self._bridge.record("retried", delivery.webhook, which)
        return accepted

    def accept(self, delivery: RawDelivery) -> AcceptedRejection:
        """Makes it an event that arrives now. Raises StillRejected, StoreUnavailable.

        A second call, or one by somebody else meanwhile, finds the same event.
        """
        route, store = self._route(delivery.webhook), self._bridge.store
        now = store.now()
        committed = store.deliveries.append(events_of(route, delivery, now))
        self._store.accepted(delivery.id, committed[0].event_id)
        VerifiedWebhooks(store.verifications).mark(route.webhook, route.key, now)
        duplicate = all(one.duplicate for one in committed)
        return AcceptedRejection(
            kept_id=delivery.id, event_id=committed[0].event_id, duplicate=duplicate
        )

    def plan(self, deliveries: Iterable[RawDelivery]) -> Plan:
        """What a retry of these deliveries would do."""
        plan = Plan()
        for delivery in deliveries:
            reason = self.why_still_rejected(delivery)
            if reason is None:
                plan.ready.append(delivery.id)
            else:
                plan.refused[reason] += 1
        return plan

    def retry(self, ids: Sequence[str], which: str) -> RetryOfMany:
        """Accepts these deliveries, one after the other, and records that; `which` says how they
        were chosen."""
        events, accepted, left_out = list[str](), Counter[str](), Counter[str]()
        for kept_id in ids:
            try:
                delivery = self.delivery(kept_id)
                if delivery.event_id is not None:  # by somebody else, since the ids were chosen
                    raise StillRejected(_ACCEPTED)
                found = self.accept(delivery)
            except (NotFound, StillRejected) as error:
                left_out[str(error)] += 1
            else:
                if found.duplicate:
                    left_out[_DUPLICATE] += 1
                else:
                    accepted[delivery.webhook] += 1
                    events.append(found.event_id)
        for webhook, number in sorted(accepted.items()):
            deliveries = "delivery" if number == 1 else "deliveries"
            self._bridge.record(
                "retried", webhook, f"{number} rejected {deliveries} accepted: {which}"
            )
        return RetryOfMany(accepted=accepted, left_out=left_out, event_ids=events)

    def acceptable(self) -> dict[str, tuple[int, int]]:
        """webhook → (how many of its newest deliveries would be accepted now, how many were looked
        at), of those with any. Looks at few, so that it costs little."""
        if not any(webhook.keep_rejected for webhook in self._bridge.definitions.webhooks):
            return {}
        ready, seen = Counter[str](), Counter[str]()
        for delivery in self._store.newest_rejected(_JUDGED):
            seen[delivery.webhook] += 1
            ready[delivery.webhook] += self.why_still_rejected(delivery) is None
        return {webhook: (number, seen[webhook]) for webhook, number in ready.items() if number}

    def shown(self, kept_id: str) -> Shown:
        """The delivery without what must not be seen: a body that can't be read isn't shown, nor a
        signature.

        Raises NotFound.
        """
        delivery = self.delivery(kept_id)
        return Shown(delivery, self.why_still_rejected(delivery), *self._visible(delivery))

    def _visible(
        self, delivery: RawDelivery
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]:
        """Headers, query and payload; nothing of a webhook that hides something, or whose
        definition isn't known."""
        try:
            route = self._route(delivery.webhook)
        except StillRejected:
            return {}, {}, None
        if self._bridge.hide(delivery.webhook) != ():
            return {}, {}, None
        proof = route.verification.secret_headers
        headers = {
            name: BLANK if name in proof or "signature" in name else value
            for name, value in delivery.headers.items()
        }
        try:
            query = read_query(delivery.query)
        except BadBody:
            query = {}
        if delivery.event_id is not None:  # its body is its event's
            return headers, query, None
        try:
            value = route.platform.conceal(
                route.platform.read(request_of(route, delivery), True).value
            )
        except (BadBody, ValueError):
            return headers, query, None
        return headers, query, value if isinstance(value, dict) else {"request": value}

    def of(self, webhook: str, since: int = 0) -> Iterator[RawDelivery]:
        """The webhook's deliveries that arrived since that time, in order of arrival."""
        after = ""
        while page := self._store.next_rejected(webhook, since, after):
            yield from page
            after = page[-1].id

    def _route(self, name: str) -> Route:
        """Raises StillRejected if the webhook isn't defined."""
        if name not in self._routes:
            webhook = self._bridge.definitions.by_name.get(name)
            if webhook is None:
                raise StillRejected(
                    f"the webhook {name} isn't defined, or its definition has errors"
                )
            settings = self._bridge.settings
            self._routes[name] = Route(
                webhook,
                PLATFORMS[webhook.platform],
                settings.bridge_public_url,
                conductor_payload=settings.bridge_conductor_payload,
            )
        return self._routes[name]
