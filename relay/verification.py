"""From a webhook's definition to its verification, and from a request to a `VerifiedDelivery`."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from config.webhooks import Webhook
from events.store import DeliveryStore
from relay.platform import Platform
from relay.request import Request
from relay.verifiers import Check, Fetch, HeaderEquals, Hmac, Terms, Timestamp
from relay.verifiers.hmacs import TimedHmac
from relay.verifiers.terms import Verifier, no_fetch

_SEAL = object()


class VerifiedDelivery:
    """A request that is proven to come from its webhook's sender: only `Verification.verify` makes one."""

    __slots__ = ("request",)

    def __init__(self, request: Request, seal: object):
        if seal is not _SEAL:
            raise TypeError("only Verification.verify makes a VerifiedDelivery")
        self.request = request


def terms_of(webhook: Webhook, platform: Platform, fetch: Fetch = no_fetch) -> Terms:
    """What the definition gives to its platform's verifier."""
    return Terms(
        secrets=tuple(secret.get_secret_value() for secret in webhook.secret or ()),
        tolerance=platform.tolerance if webhook.tolerance is None else webhook.tolerance,
        own_tolerance=webhook.tolerance is not None,
        verify_token=webhook.verify_token.get_secret_value() if webhook.verify_token else None,
        audience=webhook.audience,
        service_account=webhook.service_account,
        challenge=webhook.challenge,
        fetch=fetch,
    )


def verifiers_of(webhook: Webhook, platform: Platform, fetch: Fetch = no_fetch) -> list[tuple[Verifier, Terms]]:
    """Everything that must hold of a delivery: the platform's signature, `headers:` and `signature:`."""
    found: list[tuple[Verifier, Terms]] = []
    terms = terms_of(webhook, platform, fetch)
    given = {name for name in ("secret", "audience", "service_account") if getattr(webhook, name) is not None}
    if platform.verifier is not None and platform.required <= given and webhook.verifier != "none":
        found.append((platform.verifier, terms))
    if webhook.signature is not None:
        scheme = webhook.signature
        verifier = Hmac(
            header=scheme.header,
            algorithm=scheme.algorithm,
            encoding=scheme.encoding,
            prefix=scheme.prefix,
            signed=scheme.signed,
            timestamp=Timestamp(scheme.timestamp_header, "any") if scheme.timestamp_header else None,
            any_case=True,
        )
        secrets = tuple(secret.get_secret_value() for secret in scheme.secret)
        found.append((verifier, Terms(secrets, scheme.tolerance, own_tolerance=True)))
    for name, value in (webhook.headers or {}).items():
        found.append((HeaderEquals(name), Terms((value.get_secret_value(),))))
    return found


class Verification:
    """The checks of one webhook, made ready when its definition is read."""

    def __init__(self, webhook: Webhook, platform: Platform, fetch: Fetch = no_fetch):
        verifiers = verifiers_of(webhook, platform, fetch)
        self.checks: Sequence[Check] = tuple(verifier.check(terms) for verifier, terms in verifiers)
        self.needs_challenge = not self.checks and webhook.verifier != "none"
        """Whether nothing but an answered challenge verifies the webhook."""
        self.secret_headers = frozenset(
            verifier.header.lower()
            for verifier, _ in verifiers
            if isinstance(verifier, (HeaderEquals, Hmac, TimedHmac))
        )

    def verify(self, request: Request) -> VerifiedDelivery:
        """Raises what a `Check` raises, unless every kind of verification holds."""
        for check in self.checks:
            check(request)
        return VerifiedDelivery(request, _SEAL)


# --- verified or not ---------------------------------------------------------------------------------------


def fingerprint(webhook: Webhook, salt: bytes) -> str:
    """A text that changes with the webhook's verifier and secrets, and tells nobody what they are.

    Takes some 50 ms by design: guessing a secret by its fingerprint must not pay.
    """
    return hashlib.scrypt(_verifier_text(webhook), salt=salt, n=2**14, r=8, p=1, dklen=16).hex()


def _verifier_text(webhook: Webhook) -> bytes:
    signature: dict[str, Any] | None = None
    if webhook.signature is not None:
        signature = webhook.signature.model_dump(exclude={"secret", "tolerance"})
        signature["secret"] = [secret.get_secret_value() for secret in webhook.signature.secret]
    parts: Mapping[str, Any] = {
        "platform": webhook.platform,
        "secret": [secret.get_secret_value() for secret in webhook.secret or ()],
        "verify_token": webhook.verify_token.get_secret_value() if webhook.verify_token else None,
        "audience": webhook.audience,
        "service_account": webhook.service_account,
        "headers": {name.lower(): value.get_secret_value() for name, value in sorted((webhook.headers or {}).items())},
        "signature": signature,
        "challenge": webhook.challenge,
        "verifier": webhook.verifier,
    }
    return json.dumps(parts, sort_keys=True).encode()


Key = tuple[str, bytes]
"""What a webhook is remembered by in this process, for as long as its name and verifier stay."""


class VerifiedWebhooks:
    """Which webhooks are verified: in the store, and remembered in this process so that deliveries don't ask it."""

    def __init__(self, store: DeliveryStore):
        self._store = store
        self._lock = threading.Lock()
        self._salt: bytes | None = None
        self._fingerprints: dict[Key, str] = {}
        self._verified: set[Key] = set()

    @staticmethod
    def key(webhook: Webhook) -> Key:
        """The key of a webhook: never leaves the process."""
        return webhook.name, hashlib.sha256(_verifier_text(webhook)).digest()

    def is_verified(self, webhook: Webhook, key: Key) -> bool:
        """Raises StoreUnavailable if that must be read and can't be.

        Another process may have answered the challenge, so as long as the webhook is unverified the store is asked.
        """
        if key in self._verified:
            return True
        if self._store.verified_at(webhook.name, self._fingerprint(webhook, key)) is None:
            return False
        self._verified.add(key)
        return True

    def mark(self, webhook: Webhook, key: Key, at: int) -> None:
        """Makes it verified, from `at` (Unix milliseconds) on if it wasn't. Raises StoreUnavailable."""
        if not self.is_verified(webhook, key):
            self._store.set_verified(webhook.name, self._fingerprint(webhook, key), at)
            self._verified.add(key)

    def is_known(self, key: Key) -> bool:
        """Whether this process knows that it is verified."""
        return key in self._verified

    def _fingerprint(self, webhook: Webhook, key: Key) -> str:
        found = self._fingerprints.get(key)
        if found is None:
            with self._lock:
                if self._salt is None:
                    self._salt = self._store.fingerprint_salt()
                found = self._fingerprints.get(key) or fingerprint(webhook, self._salt)
                self._fingerprints[key] = found
        return found

    def forget_all_but(self, keys: set[Key]) -> None:
        """After a reload: keeps what is remembered of these only."""
        with self._lock:
            self._fingerprints = {key: value for key, value in self._fingerprints.items() if key in keys}
            self._verified &= keys
