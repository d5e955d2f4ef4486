"""Keeps deliveries of webhooks with `listen` as they came, for `webhook-bridge listen`."""

from __future__ import annotations

from config.watch import DefinitionsSource
from config.webhooks import Webhook
from platforms.base import Platform
from platforms.http import Request
from platforms.verifiers import HeaderEquals
from platforms.verifiers.client_certificates import ClientCertificate
from platforms.verifiers.jwts import Jwt
from relay.verify.verification import verifiers_of
from store.delivery_records import RawDelivery
from store.sql.raw_deliveries import RawDeliveries

NEVER_KEPT = frozenset({"authorization", "proxy-authorization", "cookie"})
"""Headers that are credentials, whatever the definition says."""
_SELDOM = 60
"""Calls of `Pruning.run` between two that prune while no webhook has `listen`."""


class RawCopies:
    """Copies one webhook's deliveries.

    Signatures are copied: they prove one delivery, and reveal no secret. A header whose value is itself a secret isn't,
    since anyone who has it could send anything.
    """

    def __init__(self, webhook: Webhook, platform: Platform):
        tokens = (HeaderEquals, Jwt, ClientCertificate)
        secrets = {
            verifier.header.lower() for verifier, _ in verifiers_of(webhook, platform) if isinstance(verifier, tokens)
        }
        self._left_out = NEVER_KEPT | platform.secret_headers | secrets

    def of(self, request: Request) -> RawDelivery:
        """The delivery as it came."""
        headers = {name: value for name, value in request.headers.items() if name not in self._left_out}
        return RawDelivery(request.method, request.query, headers, request.body)


class Pruning:
    """Deletes copies that are beyond their bounds, soon after they were made."""

    def __init__(self, store: RawDeliveries, source: DefinitionsSource):
        self._store = store
        self._source = source
        self._calls = -1

    def run(self) -> None:
        """To be called about once a second. Raises StoreUnavailable."""
        self._calls += 1
        # Copies of a webhook that has lost its `listen` still get too old.
        if self._calls % _SELDOM == 0 or any(webhook.listen for webhook in self._source.current.webhooks):
            self._store.prune()
