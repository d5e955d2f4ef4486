"""The payload that somebody means: a stored event's, or a sample's of the webhook's platform."""

from __future__ import annotations

from admin.bridge import Bridge
from admin.errors import NotFound
from config.webhooks import Webhook
from platforms import PLATFORMS
from platforms.bodies import read_body
from platforms.guide import samples
from relay.events.payload import payload_of
from relay.events.preview import shaped
from store.event_filter import EventFilter
from store.records import Event


def event_of_sample(webhook: Webhook, name: str) -> Event:
    """The sample as an event, which is not in the store; of an array that the webhook splits, the first element.

    Raises NotFound.
    """
    sample = samples(webhook.platform).get(name)
    if sample is None:
        raise NotFound(f"{webhook.platform} has no sample {name}")
    bodies = shaped(webhook, PLATFORMS[webhook.platform], read_body(sample.body, sample.content_type))
    if not bodies:
        raise NotFound(f"the sample {name} has nothing where `split` looks")
    headers = {name.lower(): value for name, value in sample.headers.items()} | {"content-type": sample.content_type}
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


def first_sample(webhook: Webhook) -> Event | None:
    """The first sample of the webhook's platform as an event; None without one, or if it makes no event."""
    name = next(iter(samples(webhook.platform)), None)
    try:
        return None if name is None else event_of_sample(webhook, name)
    except NotFound:
        return None


def find_event_or_sample(bridge: Bridge, webhook: Webhook, given: str) -> Event | None:
    """``sample:NAME``, an event's id, or the webhook's newest event for an empty text; None if it has none.

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
    if newest:
        return newest[0]
    found = samples(webhook.platform)
    return event_of_sample(webhook, next(iter(found))) if found else None
