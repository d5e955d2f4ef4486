"""The delivery id: what tells a repeated delivery from a new one.

It decides whether an event is created, so it is derived only from what the proof covers: an id in
the signed part, or a digest of all of it. An unsigned header counts only if the proof is of the
sender, so that everything is the sender's word, or if the definition asks for it (`dedup: {header:
…}`), and then never alone.
"""

from __future__ import annotations

import json
from typing import Any

from config.webhooks import Webhook
from criteria.jsonpath import Select, compile_path
from platforms.base import Platform, digest
from relay.verify.verification import VerifiedDelivery

_LONGEST_ID = 256


class DeliveryIds:
    """Finds the delivery ids of one webhook."""

    def __init__(self, webhook: Webhook, platform: Platform):
        self._platform = platform
        self._asked = webhook.dedup is not None
        self._header: str | None = None
        self._path: Select | None = None
        if webhook.dedup is not None and webhook.dedup.header is not None:
            self._header = webhook.dedup.header.lower()
        if webhook.dedup is not None and webhook.dedup.path is not None:
            self._path = compile_path(webhook.dedup.path)

    def of_delivery(self, delivery: VerifiedDelivery, value: Any, decoded: Any) -> str | None:
        """The id of a delivery with this body; None if nothing identifies a repetition. `decoded`:
        the same, with what `decode` made of it, which the path of `dedup` leads into."""
        return _storable(self._find(delivery, value, decoded))

    def of_element(
        self, delivery: VerifiedDelivery, whole: Any, value: Any, number: int, of_top: bool = True
    ) -> str | None:
        """The id of one element of a split delivery; `whole` is the id of the whole delivery.
        `of_top`: whether it is an element of the top-level array, whose ids the platform knows."""
        found = None
        if self._trusts_body(delivery):
            if self._path is not None:
                found = _at(self._path, value)
            elif of_top and not self._asked:
                found = self._platform.element_id(value)
        return _storable(found) or (f"{whole}#{number}" if whole else None)

    def _find(self, delivery: VerifiedDelivery, value: Any, decoded: Any) -> str | None:
        if self._header is not None:
            found = self._in_header(self._header, delivery)
        elif self._path is not None:
            found = _at(self._path, decoded) if self._trusts_body(delivery) else None
        else:
            found = self._of_platform(delivery, value)
        return found or self._digest(delivery, value)

    def _in_header(self, header: str, delivery: VerifiedDelivery) -> str | None:
        request, proof = delivery.request, delivery.proof
        given = request.headers.get(header)
        if not given or not self._trusts_body(delivery):
            return None
        # If the signature doesn't cover the header, anyone could have set it. Combined with the
        # body it can't suppress a different delivery.
        is_proven = proof.signed is None or header in proof.headers
        return given if is_proven else digest(given, request.body)

    def _of_platform(self, delivery: VerifiedDelivery, value: Any) -> str | None:
        request, proof, found = delivery.request, delivery.proof, None
        if proof.signed is None:
            found = self._platform.header_id(request, value)
        # The body's id is the event's; the signed one may only be the message's.
        if not found and self._trusts_body(delivery):
            found = self._platform.delivery_id(request, value)
        return found or proof.id

    def _digest(self, delivery: VerifiedDelivery, value: Any) -> str | None:
        """Of all that is signed; None if that can't tell another event from a repetition."""
        signed = delivery.proof.signed
        nothing_tells = not self._platform.id_headers and self._platform.may_come_again(value)
        if signed is None or (nothing_tells and not self._asked):
            return None
        return digest(signed)

    def _trusts_body(self, delivery: VerifiedDelivery) -> bool:
        return delivery.proof.signed is None or delivery.proof.body


def _storable(delivery_id: str | None) -> str | None:
    """The id; a digest if it is very long or isn't ASCII; None if it is empty."""
    if not delivery_id or (len(delivery_id) <= _LONGEST_ID and delivery_id.isascii()):
        return delivery_id or None
    return digest(delivery_id)


def _at(select: Select, value: Any) -> str | None:
    """What the path of `dedup` selects, as text."""
    found = select(value if isinstance(value, dict) else {"request": value})
    if not found or found[0] is None:
        return None
    return found[0] if isinstance(found[0], str) else json.dumps(found[0], sort_keys=True)
