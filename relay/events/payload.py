"""Payloads: what an event's workflows get.

A payload is the text of a JSON object. A body that already is a JSON object is its own payload,
byte for byte, so that no number is rewritten on the way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from platforms.bodies import BadBody, Body

CONDUCTOR_PAYLOAD = 10 * 1024 * 1024
"""Bytes: the largest output or input that Conductor accepts by default. A larger output fails the
user's workflow, and a larger input is always refused."""


class PayloadTooLarge(BadBody):
    """Conductor doesn't accept an output or input of this size."""


def payload_of(body: Body, query: Mapping[str, Any]) -> str:
    """The payload: the body's object (or ``{"request": value}``), and the query parameters that it
    has no key for."""
    value, text = body.value, body.text
    if not isinstance(value, dict):
        value, text = {"request": value}, '{"request":' + (text or dump(value)) + "}"
    elif text is None:
        text = dump(value)
    added = {name: item for name, item in query.items() if name not in value} if query else None
    if not added:
        return text
    # Spliced, not serialized again: the sender's numbers stay as written.
    return text.rstrip()[:-1] + ("," if value else "") + dump(added)[1:]


def size_in_conductor(document: Mapping[str, Any]) -> int:
    """Bytes of an output or input as Conductor counts them: compact JSON in UTF-8."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode("utf-8", "surrogatepass"))


def dump(value: Any) -> str:
    """The value as JSON text in ASCII, so that a lone surrogate can be stored and passed on."""
    return json.dumps(value, separators=(",", ":"))
