"""What a platform's samples look like as events, to compare a task's matches with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from config.webhooks import Webhook
from platforms import PLATFORMS
from platforms.bodies import Body
from platforms.guide import samples
from platforms.http import Request
from relay.events.payload import payload_of
from relay.events.preview import shaped

_ANYTHING = frozenset(("custom", "cloudevents", "standard-webhooks"))
"""Platforms whose senders decide what is in an event: a sample says nothing about others."""


def sample_events(webhook: Webhook) -> Sequence[Mapping[str, Any]]:
    """The payloads of the samples of the webhook's platform; none if they tell nothing."""
    if webhook.platform in _ANYTHING:
        return ()
    platform = PLATFORMS[webhook.platform]
    events = [event for body in _bodies(webhook.platform) for event in shaped(webhook, platform, body)]
    return [json.loads(payload_of(event, {})) for event in events]


@cache
def _bodies(platform: str) -> Sequence[Body]:
    """As the platform reads them."""
    found = []
    for sample in samples(platform).values():
        headers = {"content-type": sample.content_type} | {name.lower(): text for name, text in sample.headers.items()}
        request = Request("POST", "", "", headers, sample.body, None, 0.0)
        found.append(PLATFORMS[platform].read(request, signed=False))
    return found
