"""From a webhook's definition to its verification, and from a request to a `VerifiedDelivery`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import SecretStr

from config.proof_keys import Jwt as JwtKeys
from config.proof_keys import Mtls, Signature
from config.webhooks import Webhook
from criteria.conditions import Conditions
from platforms.base import Platform
from platforms.http import Request
from platforms.verifiers import (
    OF_SENDER,
    Check,
    Credentials,
    Fetch,
    HeaderEquals,
    Hmac,
    Proof,
    Refused,
)
from platforms.verifiers.client_certificates import ClientCertificate, form_of
from platforms.verifiers.custom import CustomHmac
from platforms.verifiers.hmacs import TimedHmac
from platforms.verifiers.jwts import Jwt
from platforms.verifiers.protocol import Verifier, no_fetch
from relay.callbacks.urls import Call
from store.sql.facts import Verifications

_SEAL = object()


class VerifiedDelivery:
    """A request proven to come from its webhook's sender. Only `Verification.verify` and `by_url`
    make one."""

    __slots__ = ("proof", "request")

    def __init__(self, request: Request, proof: Proof, seal: object):
        if seal is not _SEAL:
            raise TypeError("only Verification.verify and by_url make a VerifiedDelivery")
        self.request = request
        self.proof = proof


def by_url(call: Call, request: Request) -> VerifiedDelivery:
    """A request to a URL that names a task, which `call` proves. What it says of a body doesn't
    count without one, nor does what `call` doesn't allow of its query."""
    request = replace(request, query=call.allowed(request.query))
    if not request.body:
        headers = {name: value for name, value in request.headers.items() if name != "content-type"}
        request = replace(request, headers=headers)
    return VerifiedDelivery(request, OF_SENDER, _SEAL)


def _only_by_url(request: Request) -> Proof:
    raise Refused("not called by a URL that names a task")


def credentials_of(webhook: Webhook, platform: Platform, fetch: Fetch = no_fetch) -> Credentials:
    """The definition's configuration for its platform's verifier."""
    return Credentials(
        secrets=tuple(secret.get_secret_value() for secret in webhook.secret or ()),
        tolerance=platform.tolerance if webhook.tolerance is None else webhook.tolerance,
        verify_token=webhook.verify_token.get_secret_value() if webhook.verify_token else None,
        audience=webhook.audience,
        topics=webhook.topic or (),
        service_account=webhook.service_account,
        challenge=webhook.challenge.name if webhook.challenge else None,
        challenge_in_json=webhook.challenge is not None and webhook.challenge.answer == "json",
        answers_head=webhook.challenge is not None and webhook.challenge.head,
        fetch=fetch,
    )


def verifiers_of(
    webhook: Webhook, platform: Platform, fetch: Fetch = no_fetch
) -> list[tuple[Verifier, Credentials]]:
    """Everything that must hold for a delivery: the platform's proof, and what the definition asks
    for besides."""
    found: list[tuple[Verifier, Credentials]] = []
    if platform.verifier is not None and _proves_itself(webhook, platform):
        found.append((platform.verifier, credentials_of(webhook, platform, fetch)))
    if webhook.signature is not None:
        found.append(_custom(webhook.signature))
    if webhook.jwt is not None:
        found.append((_jwt(webhook.jwt), Credentials(tolerance=webhook.jwt.tolerance, fetch=fetch)))
    if webhook.mtls is not None:
        found.append((_client_certificate(webhook.mtls), Credentials()))
    for name, values in (webhook.headers or {}).items():
        secrets = tuple(value.get_secret_value() for value in values)
        found.append((HeaderEquals(name), Credentials(secrets)))
    return found


def _proves_itself(webhook: Webhook, platform: Platform) -> bool:
    """Whether the definition has what the platform's own proof needs."""
    names = ("secret", "audience", "service_account")
    given = {name for name in names if getattr(webhook, name) is not None}
    return webhook.verifier != "none" and platform.required <= given


def _custom(scheme: Signature) -> tuple[Verifier, Credentials]:
    verifier = CustomHmac(**scheme.model_dump(exclude={"secret", "tolerance"}))
    secrets = tuple(secret.get_secret_value() for secret in scheme.secret)
    return verifier, Credentials(secrets, scheme.tolerance)


def _client_certificate(keys: Mtls) -> ClientCertificate:
    form = keys.form or form_of(keys.header)
    return ClientCertificate(keys.header, keys.subject or (), keys.san or (), form)


def _jwt(keys: JwtKeys) -> Jwt:
    expected = Conditions.parse(keys.claims)

    def find_wrong(claims: Mapping[str, Any]) -> str | None:
        if expected.holds(claims):
            return None
        path = next(criterion.path for criterion in expected.explain(claims) if not criterion.holds)
        return f"the token's claim {path} has another value"

    return Jwt(keys.issuer, keys.audience, keys.jwks, keys.header, find_wrong)


class Verification:
    """One webhook's checks, prepared when its definition is read."""

    def __init__(self, webhook: Webhook, platform: Platform, fetch: Fetch = no_fetch):
        verifiers = verifiers_of(webhook, platform, fetch)
        # What needs no key first: a sender that doesn't know it can't cause a fetch of one.
        verifiers.sort(key=lambda pair: _turn(pair[0]))
        self.checks: Sequence[Check] = tuple(
            verifier.check(credentials) for verifier, credentials in verifiers
        )
        if webhook.callback is not None:
            self.checks = (_only_by_url,)
        self.needs_challenge = not self.checks and webhook.verifier != "none"
        """Whether only an answered challenge verifies the webhook."""
        self.description = " and ".join(
            sorted({_describe(verifier, webhook.platform) for verifier, _ in verifiers})
        )
        """By what a delivery is verified, for people; empty if by nothing."""
        if webhook.callback is not None:
            by = "token" if webhook.callback.by is None else "workflow's id"
            self.description = f"the {by} in its URL"
        headers = [getattr(verifier, "header", "") for verifier, _ in verifiers]
        self.secret_headers = frozenset(header.lower() for header in headers if header)

    def verify(self, request: Request) -> VerifiedDelivery:
        """Raises what a `Check` raises unless every kind of verification holds."""
        proof = OF_SENDER
        for check in self.checks:
            proof &= check(request)
        if proof.content is not None:
            request = replace(request, body=proof.content)
        return VerifiedDelivery(request, proof, _SEAL)


def _turn(verifier: Verifier) -> int:
    if isinstance(verifier, (HeaderEquals, ClientCertificate)):
        return 0
    return 2 if isinstance(verifier, Jwt) else 1


def _describe(verifier: Verifier, platform: str) -> str:
    match verifier:
        case HeaderEquals():
            return f"the header {verifier.header}"
        case Jwt():
            return f"a token of {verifier.issuer}"
        case ClientCertificate():
            return f"the client certificate in {verifier.header}"
        case Hmac() | TimedHmac() | CustomHmac():
            return f"the signature in {verifier.header}"
        case _:
            return f"the proof that {platform} sends"


# --- verified or not


def fingerprint(webhook: Webhook, key: bytes) -> str:
    """A text that changes with the webhook's verifier and secrets, which makes the webhook
    Unverified again.

    `key`: random bytes from the store that keeps it. docs/decisions.md says what that protects and
    what it doesn't.
    """
    return hashlib.blake2b(verifier_text(webhook), key=key, digest_size=16).hexdigest()


def verified_since(
    webhook: Webhook, stored: Mapping[str, tuple[str, int]], key: bytes
) -> int | None:
    """When it was verified (Unix milliseconds); None if it isn't. `stored`: name → (fingerprint,
    time)."""
    text, at = stored.get(webhook.name, (None, None))
    return at if text == fingerprint(webhook, key) else None


_DECIDING = {
    "secret",
    "verify_token",
    "audience",
    "service_account",
    "topic",
    "headers",
    "signature",
    "jwt",
    "mtls",
    "challenge",
    "verifier",
    "callback",
}
_NOT_DECIDING = {
    "signature": {"tolerance"},
    "jwt": {"tolerance"},
    "callback": {"expires", "tasks", "query"},
}


def verifier_text(webhook: Webhook) -> bytes:
    """Everything that decides how the webhook's deliveries are verified, secrets included. Never
    leaves the process."""
    # What isn't set is left out, so that a key of a later version makes no webhook Unverified that
    # doesn't use it.
    parts = webhook.model_dump(include=_DECIDING, exclude=_NOT_DECIDING, exclude_defaults=True)
    if "headers" in parts:
        parts["headers"] = {name.lower(): values for name, values in parts["headers"].items()}
    parts["platform"] = webhook.platform
    return json.dumps(parts, sort_keys=True, default=SecretStr.get_secret_value).encode()


Key = tuple[str, bytes]
"""Identifies a webhook in this process for as long as its name and verifier stay the same."""


class VerifiedWebhooks:
    """Which webhooks are verified: kept in the store, and cached in this process so that deliveries
    needn't query it."""

    def __init__(self, store: Verifications):
        self._store = store
        self._salt: bytes | None = None
        self._verified: set[Key] = set()

    @staticmethod
    def key(webhook: Webhook) -> Key:
        """The webhook's key. It never leaves the process."""
        return webhook.name, hashlib.sha256(verifier_text(webhook)).digest()

    def is_known(self, key: Key) -> bool:
        """Whether this process knows that the webhook is verified."""
        return key in self._verified

    def is_verified(self, webhook: Webhook, key: Key, until: float = float("inf")) -> bool:
        """Raises StoreUnavailable if the store must be read and can't be by `until` (monotonic
        clock).

        Another process may have answered the challenge, so the store is read as long as the webhook
        is unverified.
        """
        if key not in self._verified:
            if (
                self._store.verified_at(webhook.name, self._fingerprint(webhook, until), until)
                is None
            ):
                return False
            self._verified.add(key)
        return True

    def mark(self, webhook: Webhook, key: Key, at: int, until: float = float("inf")) -> None:
        """Marks it as verified since `at` (Unix milliseconds), unless it already is. Raises
        StoreUnavailable."""
        if not self.is_verified(webhook, key, until):
            self._store.set_verified(webhook.name, self._fingerprint(webhook, until), at, until)
            self._verified.add(key)

    def replace(self, keys: Collection[Key]) -> None:
        """After a reload: these are the webhooks now. Forgets all others."""
        self._verified.intersection_update(keys)

    def _fingerprint(self, webhook: Webhook, until: float) -> str:
        if self._salt is None:
            self._salt = self._store.salt(until)
        return fingerprint(webhook, self._salt)
