"""What tasks match on and receive: an event's payload, with `_webhook`."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from criteria.inputs import filled, value_at

if TYPE_CHECKING:
    from store.records import Event, NewEvent

_ESCAPED = re.compile(r"\\u00(?:5f|77|65|62|68|6f|6b)", re.IGNORECASE)
"""An escaped letter of `_webhook`, as JSON may write it."""


_FIRST, _LAST = -62_135_596_800_000, 253_402_300_799_999
"""The years 1 to 9999, in Unix milliseconds."""


def iso(milliseconds: int | None) -> str | None:
    """ISO 8601 in UTC with milliseconds, as in ``2026-01-31T12:00:00.123Z``; None for None.

    A time that no calendar has, which only a damaged row can hold, is the first or the last one.
    """
    if milliseconds is None:
        return None
    milliseconds = min(max(milliseconds, _FIRST), _LAST)
    moment = datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def document_of(event: NewEvent | Event, metadata: bool = True) -> dict[str, Any]:
    """What tasks match on and receive: the payload, with `_webhook` if it has `metadata`.

    Raises ValueError if the payload isn't a JSON object.
    """
    document: dict[str, Any] = json.loads(event.payload)
    if not isinstance(document, dict):
        raise ValueError("the stored payload is not a JSON object")
    if metadata:
        document["_webhook"] = _metadata_of(event)
    else:
        document.pop("_webhook", None)
    return document


def text_of(event: Event, metadata: bool = True) -> str:
    """The same as JSON text, for Conductor. Raises ValueError if the payload isn't a JSON object.

    Spliced, not parsed and serialized again: with ten megabytes of small values that would block all other threads
    for seconds. It also means that numbers reach Conductor as the sender wrote them.
    """
    payload = event.payload.strip()
    if payload[:1] != "{" or payload[-1:] != "}":
        raise ValueError("the stored payload is not a JSON object")
    if _may_name_webhook(payload):
        return json.dumps(document_of(event, metadata), separators=(",", ":"))
    if not metadata:
        return payload
    inner = payload[1:-1].rstrip()
    added = json.dumps(_metadata_of(event), separators=(",", ":"))
    return "".join(("{", inner, "," if inner else "", '"_webhook":', added, "}"))


def input_of(event: Event, written: str, most: int) -> str:
    """What a start gets whose entry has this `input` (JSON), as JSON text of at most this many characters.

    Its paths may read `_webhook` whatever the webhook's `metadata` says. Raises InputTooLarge, or ValueError if the
    payload can't be read.
    """
    document = document_of(event)
    return filled(json.loads(written), lambda path: value_at(path, document), most)


def _may_name_webhook(payload: str) -> bool:
    """Whether the text may already have a key `_webhook`, with letters escaped or not."""
    return '"_webhook"' in payload or ("\\u00" in payload and _ESCAPED.search(payload) is not None)


def _metadata_of(event: NewEvent | Event) -> dict[str, Any]:
    about: dict[str, Any] = {
        "name": event.webhook,
        "eventId": event.id,
        "receivedAt": iso(event.received_at),
        "headers": event.headers,
        "query": event.query,
    }
    if event.claims is not None:
        about["claims"] = event.claims
    if event.enclosing is not None:
        about["enclosing"] = event.enclosing
    return about
