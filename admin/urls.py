"""Where a webhook is reached: by its platform, and by test events of the admin process."""

from __future__ import annotations

import os

from config.settings import Settings
from config.webhooks import Webhook

_PORT = 8000
"""Where the relay listens unless $PORT says otherwise."""


def local_relay() -> str:
    """The relay on this machine."""
    text = os.environ.get("PORT", "")
    return (
        f"http://localhost:{int(text) if text.isdecimal() and 0 < int(text[:6]) < 65536 else _PORT}"
    )


def url_of(webhook: Webhook, settings: Settings) -> str:
    """The URL that the platform calls; the one on this machine if no public URL is known. For
    people: of a webhook with `callback`, what its URLs look like."""
    base = base_url_of(webhook, settings)
    if webhook.callback is None:
        return base
    return f"{base}/TOKEN" if webhook.callback.by is None else f"{base}/WORKFLOW_ID/TASK"


def base_url_of(webhook: Webhook, settings: Settings) -> str:
    """The webhook's URL; with `callback`, what its URLs begin with."""
    return (
        webhook.public_url
        or f"{settings.bridge_public_url or local_relay()}/webhook/{webhook.url_id}"
    )


def relay_url_of(webhook: Webhook, settings: Settings) -> str:
    """The webhook's URL at the relay itself: from the settings alone, whatever the definition's
    `public_url` is."""
    base = settings.bridge_relay_url or settings.bridge_public_url or local_relay()
    return f"{base}/webhook/{webhook.url_id}"
