"""How the bridge notices a change of a webhook's verifier or secrets, which makes the webhook Unverified again.

The store keeps a fingerprint of everything that decides how the webhook's deliveries are verified: a truncated hash,
keyed by random bytes from the same store. docs/decisions.md says what that protects and what it doesn't.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import SecretStr

from config.webhooks import Challenge, Webhook

_KEYED = "keyed:"
"""The prefix of every fingerprint. One without it is from a version that computed some of them differently."""


def fingerprint(webhook: Webhook, key: bytes) -> str:
    """A text that changes with the webhook's verifier and secrets. `key` is the store's own."""
    return _KEYED + hashlib.blake2b(verifier_text(webhook), key=key, digest_size=16).hexdigest()


def verified_since(webhook: Webhook, stored: Mapping[str, tuple[str, int]], key: bytes) -> int | None:
    """When it was verified (Unix milliseconds); None if it isn't. `stored`: name → (fingerprint, time)."""
    text, at = stored.get(webhook.name, (None, None))
    return at if text == fingerprint(webhook, key) or is_of_older_version(text) else None


def is_of_older_version(fingerprint: str | None) -> bool:
    """Whether an older version made it. It can't be compared, and counts as unchanged until it is replaced: an upgrade
    must not make a verified webhook need another challenge."""
    return fingerprint is not None and not fingerprint.startswith(_KEYED)


def verifier_text(webhook: Webhook) -> bytes:
    """Everything that decides how the webhook's deliveries are verified, secrets included. Never leaves the process."""
    signature: dict[str, Any] | None = None
    if webhook.signature is not None:
        signature = webhook.signature.model_dump(exclude={"secret", "tolerance"})
        signature["secret"] = [secret.get_secret_value() for secret in webhook.signature.secret]
        if signature["key_encoding"] == "text":  # what was verified before this key existed stays verified
            del signature["key_encoding"]
        if signature["format"] is None:
            del signature["format"]
    parts: dict[str, Any] = {
        "platform": webhook.platform,
        "secret": [secret.get_secret_value() for secret in webhook.secret or ()],
        "verify_token": webhook.verify_token.get_secret_value() if webhook.verify_token else None,
        "audience": webhook.audience,
        "service_account": webhook.service_account,
        "headers": {name.lower(): _one_or_all(values) for name, values in sorted((webhook.headers or {}).items())},
        "signature": signature,
        "challenge": _challenge(webhook.challenge),
        "verifier": webhook.verifier,
    }
    if webhook.topic is not None:  # likewise
        parts["topic"] = webhook.topic
    if webhook.jwt is not None:
        parts["jwt"] = webhook.jwt.model_dump(exclude={"tolerance"})
    if webhook.mtls is not None:
        parts["mtls"] = webhook.mtls.model_dump()
    if webhook.callback is not None:
        secrets = [secret.get_secret_value() for secret in webhook.callback.secret or ()]
        parts["callback"] = {"by": webhook.callback.by, "secret": secrets}
    return json.dumps(parts, sort_keys=True).encode()


def _challenge(challenge: Challenge | None) -> str | dict[str, Any] | None:
    """A challenge; of one that has only a name, the name, as before it could have more."""
    if challenge is None:
        return None
    return challenge.name if challenge.answer == "text" and not challenge.head else challenge.model_dump()


def _one_or_all(values: Sequence[SecretStr]) -> str | list[str]:
    """A header's values: a single one as before there could be several."""
    texts = [value.get_secret_value() for value in values]
    return texts[0] if len(texts) == 1 else texts
