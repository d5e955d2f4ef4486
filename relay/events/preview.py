"""What the relay would make of a body that wasn't delivered: of samples, and of rejected deliveries."""

from __future__ import annotations

from collections.abc import Sequence

from config.webhooks import Webhook
from platforms.base import Platform
from platforms.bodies import Body
from relay.events.decoding import Decoder, decoding_of
from relay.events.payload import CONDUCTOR_PAYLOAD
from relay.events.splitting import parts_of

_MOST = 100
"""Events of a sample."""


def decoded(webhook: Webhook, platform: Platform, body: Body) -> Body:
    """The body as the webhook's `decode` makes it."""
    return Decoder(decoding_of(webhook, platform), CONDUCTOR_PAYLOAD).decode(body)


def shaped(webhook: Webhook, platform: Platform, body: Body) -> Sequence[Body]:
    """What the webhook's `decode` and `split` make of the body: one for each event, of which there may be few."""
    return [part.body for part in parts_of(decoded(webhook, platform, body), webhook.split, _MOST)]
