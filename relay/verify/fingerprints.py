"""How the bridge notices a change of a webhook's verifier or secrets, which makes the webhook Unverified again.

The store keeps a fingerprint of everything that decides how the webhook's deliveries are verified: a truncated hash,
keyed by random bytes from the same store. docs/decisions.md says what that protects and what it doesn't.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from config.webhooks import Webhook


def fingerprint(webhook: Webhook, key: bytes) -> str:
    """A text that changes with the webhook's verifier and secrets. `key` is the store's own."""
    return hashlib.blake2b(verifier_text(webhook), key=key, digest_size=16).hexdigest()


def verified_since(webhook: Webhook, stored: Mapping[str, tuple[str, int]], key: bytes) -> int | None:
    """When it was verified (Unix milliseconds); None if it isn't. `stored`: name → (fingerprint, time)."""
    text, at = stored.get(webhook.name, (None, None))
    return at if text == fingerprint(webhook, key) else None


def verifier_text(webhook: Webhook) -> bytes:
    """Everything that decides how the webhook's deliveries are verified, secrets included. Never leaves the process."""
    signature: dict[str, Any] | None = None
    if webhook.signature is not None:
        signature = webhook.signature.model_dump(exclude={"secret", "tolerance"}, exclude_defaults=True)
        signature["secret"] = [secret.get_secret_value() for secret in webhook.signature.secret]
    parts: dict[str, Any] = {
        "platform": webhook.platform,
        "secret": [secret.get_secret_value() for secret in webhook.secret or ()],
        "verify_token": webhook.verify_token.get_secret_value() if webhook.verify_token else None,
        "audience": webhook.audience,
        "service_account": webhook.service_account,
        "headers": {
            name.lower(): [value.get_secret_value() for value in values]
            for name, values in sorted((webhook.headers or {}).items())
        },
        "signature": signature,
        "challenge": webhook.challenge.model_dump(exclude_defaults=True) if webhook.challenge else None,
        "verifier": webhook.verifier,
        "topic": webhook.topic,
        "jwt": webhook.jwt.model_dump(exclude={"tolerance"}, exclude_defaults=True) if webhook.jwt else None,
        "mtls": webhook.mtls.model_dump(exclude_defaults=True) if webhook.mtls else None,
    }
    if webhook.callback is not None:
        secrets = [secret.get_secret_value() for secret in webhook.callback.secret or ()]
        parts["callback"] = {"by": webhook.callback.by, "secret": secrets}
    # What isn't set is left out, so that a key of a later version makes no webhook Unverified that doesn't use it.
    return json.dumps({name: part for name, part in parts.items() if part}, sort_keys=True).encode()
