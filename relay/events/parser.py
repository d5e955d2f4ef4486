"""From a verified delivery to the events that are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from config.webhooks import Webhook
from platforms.base import Platform
from platforms.bodies import Body, MalformedBody, read_query
from relay.events.decoding import Decoder, decoding_of
from relay.events.delivery_ids import DeliveryIds
from relay.events.payload import (
    CONDUCTOR_PAYLOAD,
    PayloadTooLarge,
    dump,
    payload_of,
    size_in_conductor,
)
from relay.events.splitting import Part, parts_of
from relay.verify.secrets import NEVER_KEPT, as_it_came, tokens_of
from relay.verify.verification import VerifiedDelivery
from store.records import NewEvent, document_of, new_event_id
from store.summary import Summarizer

SMALL = 64 * 1024
"""Bytes of a body that is read in a millisecond or two."""
FEW = 20
"""Events that are made and selected in a millisecond or two."""
MAX_ELEMENTS = 10_000
"""Events that one delivery may be split into."""
_MOST_REPEATED = 32 * 1024 * 1024
"""Bytes that the events of one delivery may repeat."""
_LONGEST_IN_UTF8 = 4
"""Bytes that Conductor makes of one character of JSON text, at most."""
_OTHER_METADATA = 512 * 1024
"""Bytes: more than the rest of `_webhook` (header names and the query) can take, as the server
refuses such requests."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A verified delivery with its body. Only `Parser.parse` makes one."""

    delivery: VerifiedDelivery
    body: Body


class Parser:
    """Turns one webhook's deliveries into events."""

    def __init__(
        self,
        webhook: Webhook,
        platform: Platform,
        dropped_headers: frozenset[str],
        conductor_payload: int = CONDUCTOR_PAYLOAD,
        proof: str | None = None,
    ):
        """`proof`: by what the deliveries are verified, in words."""
        self._webhook = webhook.name
        self._proof = proof
        self._metadata = webhook.metadata
        self._conductor_payload = conductor_payload
        self._split = webhook.split
        self._hold = int(webhook.hold * 1000)
        self._platform = platform
        decoding = decoding_of(webhook, platform)
        self._decoder = Decoder(decoding, conductor_payload) if decoding else None
        self._ids = DeliveryIds(webhook, platform)
        self._tokens = tokens_of(webhook, platform) if webhook.listen else None
        self._dropped_headers = NEVER_KEPT | platform.secret_headers | dropped_headers
        self._summarizer = Summarizer(platform, webhook.hide)

    def is_large(self, delivery: VerifiedDelivery) -> bool:
        """Whether reading the delivery's body may keep others waiting."""
        return len(delivery.request.body) > SMALL

    def parse(self, delivery: VerifiedDelivery) -> Parsed:
        """With the body, or the query of a delivery whose method needs no body. Raises BadBody."""
        body = self._platform.read(delivery.request, delivery.proof.signed is not None)
        return Parsed(delivery, body)

    def takes_long(self, parsed: Parsed) -> bool:
        """Whether making its events may keep others waiting: it is large, or may become large, or
        many events."""
        value = parsed.body.value
        is_long = isinstance(value, list) and len(value) > FEW
        may_grow = bool(self._split) or self._decoder is not None
        return is_long or may_grow or self.is_large(parsed.delivery)

    def events(
        self,
        parsed: Parsed,
        received_at: int,
        traceparent: str | None = None,
        remote: str | None = None,
    ) -> list[NewEvent]:
        """One event, or with `split` one for each element of an array. `received_at` is the store's
        time; `traceparent` the parent span of the worker's spans for these events; `remote` the
        address that sent them.

        Raises MalformedBody for too many elements, and PayloadTooLarge if an event is larger than
        Conductor accepts.
        """
        delivery, body = parsed.delivery, parsed.body
        decoded = body if self._decoder is None else self._decoder.decode(body)
        if decoded is not body:
            with suppress(PayloadTooLarge):  # it stays as it came
                return self._events(delivery, body, decoded, received_at, traceparent, remote)
        return self._events(delivery, body, body, received_at, traceparent, remote)

    def _events(
        self,
        delivery: VerifiedDelivery,
        body: Body,
        decoded: Body,
        received_at: int,
        traceparent: str | None,
        remote: str | None,
    ) -> list[NewEvent]:
        request = delivery.request
        query = read_query(request.query) if request.query else {}
        merged = query if delivery.proof.url else {}
        headers = self._kept(request.headers)
        if traceparent is not None:
            headers["traceparent"] = traceparent
        if isinstance(self._split, str):
            decoded = self._concealed(decoded)
        parts = parts_of(decoded, self._split, MAX_ELEMENTS + 1)
        if len(parts) > MAX_ELEMENTS:
            raise MalformedBody(f"the array has more than {MAX_ELEMENTS} elements")
        if len(parts) > 1:
            self._refuse_repetition(parts, headers, query, delivery.proof.claims)
        whole_id = delivery_id = self._ids.of_delivery(delivery, body.value, decoded.value)
        raw = None
        if self._tokens is not None:
            raw = as_it_came(request, self._webhook, received_at, self._tokens)
        events = []
        for number, part in enumerate(parts):
            if part.is_element:
                delivery_id = self._ids.of_element(
                    delivery, whole_id, part.body.value, number, part.of_top
                )
            shown = self._concealed(part.body)
            kind, summary = self._summarizer.summarize(shown.value)
            event = NewEvent(
                id=new_event_id(),
                webhook=self._webhook,
                received_at=received_at,
                payload=payload_of(shown, merged),
                headers=headers,
                query=query,
                hold_until=received_at + self._hold,
                delivery_id=delivery_id,
                raw=raw,
                type=kind,
                summary_parts=summary,
                remote=remote,
                proof=self._proof,
                enclosing=part.enclosing,
                claims=delivery.proof.claims,
            )
            if self._is_too_large(event):
                raise PayloadTooLarge(
                    f"the payload is larger than the {self._conductor_payload} bytes of Conductor"
                )
            events.append(event)
        return events

    def _refuse_repetition(self, parts: Sequence[Part], *shared: Mapping[str, Any] | None) -> None:
        """Each event has what all share: from a few bytes for each element, a long head makes
        hundreds of megabytes. Raises PayloadTooLarge."""
        around = {id(part.enclosing): part.enclosing for part in parts}
        sizes = {key: len(dump(enclosing)) for key, enclosing in around.items()}
        size = len(dump(shared)) * len(parts) + sum(sizes[id(part.enclosing)] for part in parts)
        if size > _MOST_REPEATED:
            raise PayloadTooLarge(
                f"{len(parts)} events would repeat {size} bytes of headers and of what is around"
                f" the array, at most {_MOST_REPEATED} may be: send fewer elements at a time"
            )

    def _is_too_large(self, event: NewEvent) -> bool:
        characters = len(event.payload) + (
            sum(map(len, event.headers.values())) if self._metadata else 0
        )
        # The hot path.
        if characters * _LONGEST_IN_UTF8 + _OTHER_METADATA < self._conductor_payload:
            return False
        document = document_of(event, self._metadata)
        return size_in_conductor(document) > self._conductor_payload

    def _concealed(self, body: Body) -> Body:
        value = self._platform.conceal(body.value)
        return body if value is body.value else Body(value)

    def _kept(self, headers: Mapping[str, str]) -> dict[str, str]:
        dropped = self._dropped_headers
        return {
            name: value if value.isascii() else _as_utf8(value)
            for name, value in headers.items()
            if name not in dropped and "signature" not in name
        }


def _as_utf8(value: str) -> str:
    """WSGI decodes headers as Latin-1; those that are UTF-8 are decoded as UTF-8."""
    raw = value.encode("latin-1", "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
