"""What a platform's samples look like as events, to compare a task's matches with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from config.webhooks import Webhook
from platforms.bodies import read_body
from platforms.guide import samples
from relay.payload import elements_of, payload_of

_ANYTHING = frozenset(("custom", "cloudevents", "standard-webhooks"))
"""Platforms whose senders decide what is in an event: a sample says nothing about others."""


def sample_events(webhook: Webhook) -> Sequence[Mapping[str, Any]]:
    """The payloads of the samples of the webhook's platform; none if they tell nothing."""
    return () if webhook.platform in _ANYTHING else _events(webhook.platform, webhook.split)


@cache
def _events(platform: str, split: bool) -> Sequence[Mapping[str, Any]]:
    bodies = [read_body(sample.body, sample.content_type) for sample in samples(platform).values()]
    events = [element for body in bodies for element in (elements_of(body) if split else (body,))]
    return [json.loads(payload_of(event, {})) for event in events]
