"""The payload that somebody means: a stored event's, or a sample's of the webhook's platform."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from admin.bridge import Bridge
from admin.errors import NotFound
from config.webhooks import Webhook
from platforms import PLATFORMS
from platforms.guide import SampleEvent, samples
from platforms.http import Request
from relay.events.payload import payload_of
from relay.events.splitting import shaped
from store.records import Event
from store.sql.event_search import EventFilter

_ANYTHING = frozenset(("custom", "cloudevents", "standard-webhooks"))
"""Platforms whose senders decide what is in an event: a sample says nothing about others."""


def find_sample(webhook: Webhook, name: str) -> SampleEvent:
    """The sample of the webhook's platform. Raises NotFound, with the names there are."""
    found = samples(webhook.platform)
    if name not in found:
        raise NotFound(
            f"{webhook.platform} has no sample {name}; there are:"
            f" {', '.join(sorted(found)) or 'none'}"
        )
    return found[name]


def event_of_sample(webhook: Webhook, name: str) -> Event:
    """The sample as an event, which is not in the store; of an array that the webhook splits, the
    first element.

    Raises NotFound.
    """
    sample, platform = find_sample(webhook, name), PLATFORMS[webhook.platform]
    headers = {name.lower(): value for name, value in sample.headers.items()} | {
        "content-type": sample.content_type
    }
    request = Request("POST", "", "", headers, sample.body, None, 0.0)
    bodies = shaped(webhook, platform, platform.read(request, signed=False))
    if not bodies:
        raise NotFound(f"the sample {name} has nothing where `split` looks")
    return Event(
        seq=0,
        id=f"sample {name}",
        webhook=webhook.name,
        received_at=0,
        delivery_id=None,
        payload=payload_of(bodies[0], {}),
        headers=headers,
        query={},
        status="pending",
        hold_until=0,
        decided_at=None,
        hold="no",
        settled_at=None,
        replay_of=None,
    )


def events_of_samples(webhook: Webhook) -> Iterator[Event]:
    """The samples of the webhook's platform as events, without those that make none."""
    for name in samples(webhook.platform):
        with suppress(NotFound):
            yield event_of_sample(webhook, name)


def sample_events(webhook: Webhook) -> Sequence[Mapping[str, Any]]:
    """The payloads of the samples of the webhook's platform; none if they tell nothing."""
    if webhook.platform in _ANYTHING:
        return ()
    return [json.loads(event.payload) for event in events_of_samples(webhook)]


def find_event_or_sample(bridge: Bridge, webhook: Webhook, given: str) -> Event | None:
    """``sample:NAME``, an event's id, or the webhook's newest event for an empty text; None if it
    has none.

    Raises NotFound, for another webhook's event too.
    """
    kind, _, name = given.partition(":")
    if kind == "sample":
        return event_of_sample(webhook, name)
    if given:
        event = bridge.event(given)
        if event.webhook != webhook.name:
            raise NotFound(f"no event {given} of {webhook.name}")
        return event
    newest = bridge.store.queries.events(EventFilter(webhook.name, limit=1))
    return newest[0] if newest else next(events_of_samples(webhook), None)
