"""The webhooks in the API, each with its deliveries of the last day."""

from __future__ import annotations

from admin.api.objects import Webhook
from admin.bridge import DAY, Bridge
from admin.urls import url_of


def webhooks_of(bridge: Bridge) -> list[Webhook]:
    """The webhooks in the order of their definitions. Raises StoreUnavailable."""
    verified, paused = bridge.verified_at(), bridge.store.pauses.paused()
    counts = bridge.store.queries.delivery_counts(bridge.store.now() - DAY)
    return [
        Webhook.of(
            webhook,
            url=url_of(webhook, bridge.settings),
            verified_at=verified.get(name),
            paused_at=paused.get(name),
            deliveries_last_day=counts.get(name, {}),
        )
        for name, webhook in bridge.definitions.by_name.items()
    ]
