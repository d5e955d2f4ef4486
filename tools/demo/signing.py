"""Signatures as the platforms make them: from their specifications, independent of the relay's
verifiers."""

from __future__ import annotations

import hashlib
import hmac
import time


def github(secret: str, body: bytes, delivery: str, event: str = "push") -> dict[str, str]:
    """Headers of a GitHub delivery.

    https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    """
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": f"sha256={digest}",
    }


def slack(secret: str, body: bytes, at: float | None = None) -> dict[str, str]:
    """Headers of a Slack request.

    https://docs.slack.dev/authentication/verifying-requests-from-slack
    """
    timestamp = str(int(time.time() if at is None else at))
    digest = hmac.new(
        secret.encode(), b"v0:" + timestamp.encode() + b":" + body, hashlib.sha256
    ).hexdigest()
    return {
        "Content-Type": "application/json",
        "X-Slack-Request-Timestamp": timestamp,
        "X-Slack-Signature": f"v0={digest}",
    }
