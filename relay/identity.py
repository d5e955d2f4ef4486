"""The delivery id: what tells a delivery that is repeated from one that is new.

It decides whether an event comes to be, so it is made of nothing but what the proof covers: an id among what is signed,
or a digest of all of it. An id in a header that nobody signs counts only where the proof is of the sender, whose word
everything is then; or where the definition asks for it (`dedup: {header: …}`), and then never alone.
"""

from __future__ import annotations

import json
from typing import Any

from config.webhooks import Webhook
from criteria.jsonpath import compile_path
from platforms.declaration import DeliveryId, Platform, digest
from platforms.request import Request
from relay.verification import VerifiedDelivery

_LONGEST_ID = 256


class Identity:
    """Finds the ids of one webhook's deliveries."""

    def __init__(self, webhook: Webhook, platform: Platform):
        dedup = webhook.dedup
        self._header = dedup.header.lower() if dedup is not None and dedup.header is not None else None
        self._in_body = (
            _by_path(dedup.path) if dedup is not None and dedup.path is not None else platform.delivery_id or _nowhere
        )
        self._own_path = dedup is not None and dedup.path is not None
        self._in_element = None if dedup is not None else platform.element_id
        self._in_headers = platform.header_id or _nowhere
        self._alike = platform.alike and dedup is None

    def of_delivery(self, delivery: VerifiedDelivery, value: Any) -> str | None:
        """The id of a delivery with this body; None if nothing tells a repetition."""
        return _storable(self._find(delivery, value))

    def of_element(self, delivery: VerifiedDelivery, whole: Any, value: Any, number: int) -> str | None:
        """The same of an element of a delivery that is split; `whole` is the id of all of it."""
        found = None
        if self._trusts_body(delivery):
            if self._own_path:
                found = self._in_body(delivery.request, value)
            elif self._in_element is not None:
                found = self._in_element(value)
        return _storable(found) or (f"{whole}#{number}" if whole else None)

    def _find(self, delivery: VerifiedDelivery, value: Any) -> str | None:
        request, proof = delivery.request, delivery.proof
        if self._header is not None:
            given = request.headers.get(self._header)
            if given and self._trusts_body(delivery):
                # Under a signature the header is a stranger's word: with the body beside it, it can't stand in the
                # way of another delivery.
                return given if proof.signed is None else digest(given, request.body)
        elif proof.id is not None and not self._own_path:
            return proof.id
        elif proof.signed is None and not self._own_path and (found := self._in_headers(request, value)):
            return found
        if self._header is None and self._trusts_body(delivery) and (found := self._in_body(request, value)):
            return found
        if proof.signed is None or self._alike:
            return None
        return digest(proof.signed)

    def _trusts_body(self, delivery: VerifiedDelivery) -> bool:
        return delivery.proof.signed is None or delivery.proof.body


def _nowhere(_request: Request, _value: Any) -> None:
    """No id."""


def _storable(delivery_id: str | None) -> str | None:
    """The id, or a digest of one that is very long or no ASCII text; an empty one is none."""
    if not delivery_id or (len(delivery_id) <= _LONGEST_ID and delivery_id.isascii()):
        return delivery_id or None
    return digest(delivery_id)


def _by_path(path: str) -> DeliveryId:
    select = compile_path(path)

    def find(_request: Request, value: Any) -> str | None:
        found = select(value if isinstance(value, dict) else {"request": value})
        if not found or found[0] is None:
            return None
        return found[0] if isinstance(found[0], str) else json.dumps(found[0], sort_keys=True)

    return find
