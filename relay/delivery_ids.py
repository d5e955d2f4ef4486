"""The delivery id: what tells a delivery that is repeated from one that is new.

It decides whether an event is created, so it is made only of what the proof covers: an id among what is signed, or a
digest of all of it. An id in a header that nobody signs counts only where the proof is of the sender, whose word
everything is then; or where the definition asks for it (`dedup: {header: …}`), and then never alone.
"""

from __future__ import annotations

import json
from typing import Any

from config.webhooks import Webhook
from criteria.jsonpath import Select, compile_path
from platforms.base import Platform, digest
from platforms.http import Request
from relay.verification import VerifiedDelivery

_LONGEST_ID = 256


class DeliveryIds:
    """Finds the ids of one webhook's deliveries."""

    def __init__(self, webhook: Webhook, platform: Platform):
        dedup = webhook.dedup
        self._platform = platform
        self._asked = dedup is not None
        self._header = dedup.header.lower() if dedup is not None and dedup.header is not None else None
        self._path = compile_path(dedup.path) if dedup is not None and dedup.path is not None else None

    def of_delivery(self, delivery: VerifiedDelivery, value: Any) -> str | None:
        """The id of a delivery with this body; None if nothing tells a repetition."""
        return _storable(self._find(delivery, value))

    def of_element(self, delivery: VerifiedDelivery, whole: Any, value: Any, number: int) -> str | None:
        """The same of an element of a delivery that is split; `whole` is the id of all of it."""
        found = None
        if self._trusts_body(delivery):
            if self._path is not None:
                found = _at(self._path, value)
            elif not self._asked:
                found = self._platform.element_id(value)
        return _storable(found) or (f"{whole}#{number}" if whole else None)

    def _find(self, delivery: VerifiedDelivery, value: Any) -> str | None:
        request, proof = delivery.request, delivery.proof
        if self._header is not None:
            given = request.headers.get(self._header)
            if given and self._trusts_body(delivery):
                # Under a signature the header is a stranger's word: with the body beside it, it can't stand in the
                # way of another delivery.
                return given if proof.signed is None else digest(given, request.body)
        else:
            if self._path is None:
                if proof.id is not None:
                    return proof.id
                if proof.signed is None and (found := self._platform.header_id(request, value)):
                    return found
            if self._trusts_body(delivery) and (found := self._in_body(request, value)):
                return found
        if proof.signed is None or (self._platform.alike and not self._asked):
            return None
        return digest(proof.signed)

    def _in_body(self, request: Request, value: Any) -> str | None:
        return self._platform.delivery_id(request, value) if self._path is None else _at(self._path, value)

    def _trusts_body(self, delivery: VerifiedDelivery) -> bool:
        return delivery.proof.signed is None or delivery.proof.body


def _storable(delivery_id: str | None) -> str | None:
    """The id, or a digest of one that is very long or no ASCII text; an empty one is none."""
    if not delivery_id or (len(delivery_id) <= _LONGEST_ID and delivery_id.isascii()):
        return delivery_id or None
    return digest(delivery_id)


def _at(select: Select, value: Any) -> str | None:
    """What the path of `dedup` selects, as text."""
    found = select(value if isinstance(value, dict) else {"request": value})
    if not found or found[0] is None:
        return None
    return found[0] if isinstance(found[0], str) else json.dumps(found[0], sort_keys=True)
