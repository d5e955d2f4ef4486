"""From a verified delivery to the events that are stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from config.jsonpath import compile_path
from config.webhooks import Webhook
from events.payload import (
    CONDUCTOR_PAYLOAD,
    Body,
    MalformedBody,
    PayloadTooLarge,
    elements_of,
    payload_of,
    read_body,
    read_query,
    size_in_conductor,
)
from events.records import NewEvent, document_of, new_event_id
from relay.platform import DeliveryId, Platform, digest, in_header
from relay.request import Request
from relay.verification import VerifiedDelivery

MAX_ELEMENTS = 10_000
"""Events that one delivery may be split into."""
_LONGEST_ID = 256
_LONGEST_IN_UTF8 = 4
"""Bytes that Conductor makes of one character of a JSON text, at most."""
_OTHER_METADATA = 512 * 1024
"""Bytes that the rest of `_webhook`, names of headers and the query, can't reach: the server takes no such requests."""
_NEVER_KEPT = frozenset({"authorization", "proxy-authorization", "cookie"})

ElementId = Callable[[Request, Any], str | None]


class Intake:
    """Makes events of the deliveries of one webhook."""

    def __init__(
        self,
        webhook: Webhook,
        platform: Platform,
        dropped_headers: frozenset[str],
        conductor_payload: int = CONDUCTOR_PAYLOAD,
    ):
        self._webhook = webhook.name
        self._metadata = webhook.metadata
        self._conductor_payload = conductor_payload
        self._split = webhook.split
        self._hold = int(webhook.hold * 1000)
        self._always_json = platform.always_json
        self._read = platform.read
        self._conceal = platform.conceal
        self._delivery_id, self._element_id = _ids_of(webhook, platform)
        self._dropped_headers = _NEVER_KEPT | platform.secret_headers | dropped_headers

    def read(self, request: Request) -> Body:
        """The body; of a delivery without one, by a method that needs none, the query. Raises BadBody."""
        if self._read is not None:
            return self._read(request)
        if not request.body and request.method in ("GET", "DELETE"):
            return Body(read_query(request.query))
        return read_body(request.body, request.headers.get("content-type"), self._always_json)

    def events(self, delivery: VerifiedDelivery, body: Body, received_at: int) -> list[NewEvent]:
        """One event, or with `split` one for each element of a JSON array; `received_at` is the store's time.

        Raises MalformedBody if there are too many, PayloadTooLarge if one is more than Conductor takes.
        """
        request = delivery.request
        query = read_query(request.query) if request.query else {}
        headers = self._kept(request.headers)
        split = self._split or body.batch
        elements = elements_of(body) if split else (body,)
        if len(elements) > MAX_ELEMENTS:
            raise MalformedBody(f"the array has more than {MAX_ELEMENTS} elements")
        several = split and isinstance(body.value, list)
        delivery_id = self._delivery_id(request, body.value) if self._delivery_id and not several else None
        events = []
        for number, element in enumerate(elements):
            if several:
                delivery_id = self._element_id(request, element.value, number)
            event = NewEvent(
                id=new_event_id(),
                webhook=self._webhook,
                received_at=received_at,
                payload=payload_of(self._concealed(element), query),
                headers=headers,
                query=query,
                hold_until=received_at + self._hold,
                delivery_id=_storable_id(delivery_id),
            )
            if self._is_too_large(event):
                raise PayloadTooLarge(f"the payload is larger than the {self._conductor_payload} bytes of Conductor")
            events.append(event)
        return events

    def _is_too_large(self, event: NewEvent) -> bool:
        characters = len(event.payload) + (sum(map(len, event.headers.values())) if self._metadata else 0)
        if characters * _LONGEST_IN_UTF8 + _OTHER_METADATA < self._conductor_payload:  # the hot path
            return False
        document = document_of(event, self._metadata)
        return size_in_conductor(document) > self._conductor_payload

    def _concealed(self, body: Body) -> Body:
        if self._conceal is None:
            return body
        value = self._conceal(body.value)
        return body if value is body.value else Body(value)

    def _kept(self, headers: Mapping[str, str]) -> dict[str, str]:
        dropped = self._dropped_headers
        return {
            name: value if value.isascii() else _as_utf8(value)
            for name, value in headers.items()
            if name not in dropped and "signature" not in name
        }


def _as_utf8(value: str) -> str:
    """WSGI gives headers as Latin-1; those that were UTF-8 are read as that."""
    raw = value.encode("latin-1", "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _storable_id(delivery_id: str | None) -> str | None:
    """The id, or a digest of one that is very long or no Unicode text."""
    if delivery_id is None or (len(delivery_id) <= _LONGEST_ID and delivery_id.isascii()):
        return delivery_id
    return digest(delivery_id)


def _ids_of(
    webhook: Webhook, platform: Platform
) -> tuple[DeliveryId | None, Callable[[Request, Any, int], str | None]]:
    """How the id of a delivery, and of an element of one that is split, are found."""
    whole, element = platform.delivery_id, platform.element_id
    if webhook.dedup is not None and webhook.dedup.path is not None:
        find = _by_path(webhook.dedup.path)
        return find, lambda request, value, _number: find(request, value)
    if webhook.dedup is not None and webhook.dedup.header is not None:
        whole, element = in_header(webhook.dedup.header), None

    def element_id(request: Request, value: Any, number: int) -> str | None:
        if element is not None:
            return element(value)
        delivery_id = whole(request, value) if whole else None
        # An id in a header is the whole delivery's.
        return delivery_id and f"{delivery_id}#{number}"

    return whole, element_id


def _by_path(path: str) -> DeliveryId:
    select = compile_path(path)

    def find(_request: Request, value: Any) -> str | None:
        found = select(value if isinstance(value, dict) else {"request": value})
        if not found or found[0] is None:
            return None
        return found[0] if isinstance(found[0], str) else json.dumps(found[0], sort_keys=True)

    return find
