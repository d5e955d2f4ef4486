"""Rejected deliveries of webhooks with `keep_rejected`: bounded, and written once a second.

A stranger can cause any number of refusals. So little is kept until it is written: the rest of a flood is dropped.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote_to_bytes

import structlog

from config.webhooks import Webhook
from platforms.http import Request
from platforms.verifiers import Refused
from relay.reports.raw_deliveries import NEVER_KEPT
from relay.route import Route
from store.delivery_records import KeptDelivery
from store.errors import StoreUnavailable
from store.records import new_event_id
from store.rules.eviction import sender_of
from store.sql.raw_deliveries import KeptDeliveries

LARGEST = 1024 * 1024
"""Bytes of the largest delivery that is kept."""
UNWRITTEN = 2 * 1024 * 1024
"""Bytes of all deliveries of a process that wait to be written."""
A_SENDER = 5
"""Deliveries of one sender to one webhook that wait to be written."""
A_WEBHOOK = 20
"""The same of all senders."""
_REASON = 500
_ADDRESS = 100
_SHORT = 8
"""Characters; a shorter secret occurs by chance."""
_CREDENTIALS = frozenset(
    {"apikey", "auth", "authentication", "authorization", "cookie", "credential", "credentials", "jwt", "key"}
    | {"passwd", "password", "secret", "session", "token"}
)
"""Words in the names of headers that may hold a secret, perhaps with a mistake in it."""
_NO_CREDENTIALS = frozenset({"idempotency-key", "i-twilio-idempotency-token", "x-event-key"})
"""Headers whose names sound like it, and in which platforms send what tells their events apart."""


@dataclass(frozen=True, slots=True)
class _Refused:
    route: Route
    delivery: KeptDelivery
    size: int


class Keeper:
    """Collects rejected deliveries, and writes them. Thread-safe."""

    def __init__(self, store: KeptDeliveries):
        self._store = store
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._unwritten: list[_Refused] = []
        self._bytes = 0
        self._numbers: Counter[tuple[str, str]] = Counter()

    def keep(self, route: Route, request: Request, path: str, url: str, at: int, refused: Refused) -> str | None:
        """Keeps the delivery, unless it is too large or too many wait to be written. Returns its id, None if it isn't
        kept.

        `path` and `url` are as in `KeptDelivery`; `at` is the store's time.
        """
        name, remote = route.webhook.name, request.remote
        kept = KeptDelivery(
            new_event_id(),
            name,
            at,
            refused.status,
            refused.reason[:_REASON],
            remote and remote[:_ADDRESS],
            request.method,
            path,
            url,
            request.query,
            dict(request.headers),
            request.body,
        )
        one, sender = _Refused(route, kept, kept.size), sender_of(kept.remote)
        with self._lock:
            if (
                one.size > LARGEST
                or self._bytes + one.size > UNWRITTEN
                or self._numbers[name, sender] >= A_SENDER
                or sum(number for (webhook, _), number in self._numbers.items() if webhook == name) >= A_WEBHOOK
            ):
                return None
            self._unwritten.append(one)
            self._bytes += one.size
            self._numbers[name, sender] += 1
        return kept.id

    def flush(self) -> None:
        """Writes what has accumulated since the last call; what the store can't take is dropped."""
        with self._lock:
            refused = self._unwritten
            self._reset()
        most: dict[str, int] = {}
        deliveries = []
        for one in refused:
            webhook = one.route.webhook
            cleaned = without_secrets(one.delivery, webhook, one.route.verification.secret_headers)
            if cleaned is not None and webhook.keep_rejected is not None:
                deliveries.append(cleaned)
                most[webhook.name] = webhook.keep_rejected
        if not deliveries:
            return
        try:
            self._store.keep(deliveries, most)
        except StoreUnavailable as error:
            structlog.get_logger().warning(
                "rejected deliveries can't be kept", number=len(deliveries), error=str(error)
            )


def without_secrets(delivery: KeptDelivery, webhook: Webhook, proof: frozenset[str]) -> KeptDelivery | None:
    """The delivery without headers that may hold a secret; None if one of the webhook's secrets occurs in it, or if it
    can't be told from a repetition without one of those headers.

    `proof`: lower-case names of the headers that the signature is in.
    """
    identity = _identity_of(webhook)
    headers = {name: value for name, value in delivery.headers.items() if _may_be_kept(name, proof | identity)}
    if not identity & delivery.headers.keys() <= headers.keys():
        return None
    places = [delivery.body, delivery.query.encode(), unquote_to_bytes(delivery.query)]
    places += [value.encode("latin-1", "replace") for value in headers.values()]
    if any(secret in place for secret in _secrets_of(webhook) for place in places):
        return None
    return replace(delivery, headers=headers)


def _identity_of(webhook: Webhook) -> frozenset[str]:
    """The header that tells the webhook's deliveries apart, if its definition names one."""
    header = webhook.dedup.header if webhook.dedup is not None else None
    return frozenset() if header is None else frozenset({header.lower()})


def _may_be_kept(name: str, needed: frozenset[str]) -> bool:
    if name in NEVER_KEPT:
        return False
    if name in needed or "signature" in name or name in _NO_CREDENTIALS:
        return True
    return _CREDENTIALS.isdisjoint(name.replace("_", "-").split("-"))


def _secrets_of(webhook: Webhook) -> Iterator[bytes]:
    """The secrets, with and without the prefix that some platforms show them with, and as JSON and forms write them.

    The body isn't decoded instead, as a stranger's could take long.
    """
    given = [*(webhook.secret or ()), *(webhook.signature.secret if webhook.signature is not None else ())]
    if webhook.verify_token is not None:
        given.append(webhook.verify_token)
    for secret in given:
        text = secret.get_secret_value()
        for part in {text, text.removeprefix("whsec_")}:
            if len(part) >= _SHORT:
                quoted = quote(part, safe="")
                lower = re.sub("%..", lambda found: found[0].lower(), quoted)
                yield from {form.encode() for form in (part, part.replace("/", r"\/"), quoted, lower)}
