"""Whether events are kept for long enough."""

from __future__ import annotations

from collections.abc import Sequence

from config.durations import format_duration
from config.webhooks import Webhook
from platforms import PLATFORMS
from worker.discovery.probe import CheckResult

_SHORTEST = 86_400.0
"""Seconds: within a day, most platforms have repeated what they repeat."""


def on_retention(seconds: float, webhooks: Sequence[Webhook]) -> list[CheckResult]:
    """What is wrong with BRIDGE_RETENTION, and what is risky about it.

    While a signed time is accepted, its event must be known: whoever has seen a delivery could make it an event again.
    """
    windows = {webhook.name: window for webhook in webhooks if (window := _window(webhook)) is not None}
    longest = max(windows, key=windows.__getitem__, default=None)
    if longest is not None and windows[longest] > seconds:
        ago = format_duration(windows[longest])
        what = f"webhook {longest} accepts what was signed {ago} ago, and after {format_duration(seconds)} forgets it"
        return [CheckResult("error", what, f"write {ago} or more, or give the webhook a shorter tolerance")]
    if seconds >= _SHORTEST:
        return []
    what = f"what a platform delivers again more than {format_duration(seconds)} later is an event again"
    return [CheckResult("warning", what, "write 1d or more: platforms repeat deliveries for hours or days")]


def _window(webhook: Webhook) -> float | None:
    """Seconds for which a signed time is accepted; None for ever, or if there is none."""
    if webhook.verifier == "none":
        return None
    if webhook.signature is not None and webhook.signature.timestamp_header is not None:
        return webhook.signature.tolerance
    return PLATFORMS[webhook.platform].tolerance if webhook.tolerance is None else webhook.tolerance
