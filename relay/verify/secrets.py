"""What is never kept of a delivery, with its bytes or as an event: the webhook's secrets, and what
may be one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from urllib.parse import quote, unquote_to_bytes

from config.webhooks import Webhook
from platforms.base import Platform
from platforms.http import Request
from platforms.verifiers import HeaderEquals
from platforms.verifiers.client_certificates import ClientCertificate
from platforms.verifiers.jwts import Jwt
from relay.verify.verification import verifiers_of
from store.delivery_records import RawDelivery

NEVER_KEPT = frozenset({"authorization", "proxy-authorization", "cookie"})
"""Headers that are credentials, whatever the definition says."""
_SHORT = 8
"""Characters; a shorter secret occurs by chance."""
_CREDENTIALS = frozenset(
    {
        "apikey",
        "auth",
        "authentication",
        "authorization",
        "cookie",
        "credential",
        "credentials",
        "jwt",
        "key",
    }
    | {"passwd", "password", "secret", "session", "token"}
)
"""Words in the names of headers that may hold a secret, perhaps with a mistake in it."""
_NO_CREDENTIALS = frozenset({"idempotency-key", "i-twilio-idempotency-token", "x-event-key"})
"""Headers whose names sound like it, and in which platforms send what tells their events apart."""


def tokens_of(webhook: Webhook, platform: Platform) -> frozenset[str]:
    """Lower-case names of the headers whose value is itself a secret: anyone who has it could send
    anything.

    Signatures aren't among them: they prove one delivery, and reveal no secret.
    """
    tokens = (HeaderEquals, Jwt, ClientCertificate)
    verifiers = (verifier for verifier, _ in verifiers_of(webhook, platform))
    headers = {verifier.header.lower() for verifier in verifiers if isinstance(verifier, tokens)}
    return NEVER_KEPT | platform.secret_headers | headers


def as_it_came(request: Request, webhook: str, at: int, tokens: frozenset[str]) -> RawDelivery:
    """An accepted delivery, for `listen`, without these headers; it gets the id of its first event
    that is new."""
    headers = {name: value for name, value in request.headers.items() if name not in tokens}
    method, query, body = request.method, request.query, request.body
    return RawDelivery(
        "", webhook, "accepted", at, method=method, query=query, headers=headers, body=body
    )


def without_secrets(
    delivery: RawDelivery, webhook: Webhook, proof: frozenset[str]
) -> RawDelivery | None:
    """The delivery, which nothing proves, without headers that may hold a secret; None if one of
    the webhook's secrets occurs in it, or if it can't be told from a repetition without one of
    those headers.

    `proof`: lower-case names of the headers that prove it. They are kept if it was rejected, to be
    verified again, but not with what people save.
    """
    identity = None
    if webhook.dedup is not None and webhook.dedup.header is not None:
        identity = webhook.dedup.header.lower()
    is_rejected = delivery.verdict == "rejected"

    def may_be_kept(name: str) -> bool:
        if name in NEVER_KEPT:
            return False
        if name in proof or "signature" in name:
            return is_rejected
        is_harmless = _CREDENTIALS.isdisjoint(name.replace("_", "-").split("-"))
        return is_harmless or name == identity or name in _NO_CREDENTIALS

    headers = {name: value for name, value in delivery.headers.items() if may_be_kept(name.lower())}
    left_out = {name.lower() for name in delivery.headers.keys() - headers.keys()}
    if is_rejected and identity in left_out:
        return None
    cleaned = replace(delivery, headers=headers)
    return None if _holds_any(cleaned, _secrets_of(webhook)) else cleaned


def _holds_any(delivery: RawDelivery, secrets: Iterable[bytes]) -> bool:
    query = delivery.query.encode("utf-8", "replace")
    values = [value.encode("latin-1", "replace") for value in delivery.headers.values()]
    places = [delivery.body, query, unquote_to_bytes(delivery.query), *values]
    return any(secret in place for secret in secrets for place in places)


def _secrets_of(webhook: Webhook) -> Iterator[bytes]:
    """The secrets, with and without the prefix that some platforms show them with, and as JSON and
    forms write them.

    The body isn't decoded instead, as a stranger's could take long.
    """
    given = list(webhook.secret or ())
    if webhook.signature is not None:
        given += webhook.signature.secret
    if webhook.verify_token is not None:
        given.append(webhook.verify_token)
    for secret in given:
        text = secret.get_secret_value()
        for part in {text, text.removeprefix("whsec_")}:
            if len(part) >= _SHORT:
                quoted = quote(part, safe="")
                lower = re.sub("%..", lambda found: found[0].lower(), quoted)
                yield from {
                    form.encode() for form in (part, part.replace("/", r"\/"), quoted, lower)
                }
