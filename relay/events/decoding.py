"""Decodes parts of a payload that are JSON, Base64 or gzip inside a text, as `decode` says.

What can't be decoded stays as it is, so that no delivery is lost for it.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from config.payload_keys import Encoding
from config.webhooks import Webhook
from criteria.evaluator import TooCostly
from criteria.jsonpath import Place, places, put
from platforms.base import Platform
from platforms.bodies import (
    MAX_DEPTH,
    MAX_VALUES,
    Body,
    is_nested_deeper,
    read_json,
    refuse_unstorable,
    values_in,
)

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
_GZIP = 16 + zlib.MAX_WBITS
_MAGIC = b"\x1f\x8b"
_PIECE = 16 * 1024
"""Bytes that are decompressed at once, and what a text counts for that turns out to be broken
within them."""


class _Stays(ValueError):
    """The text can't be decoded, as other ValueErrors say of its JSON, Base64 or UTF-8."""


def decoding_of(webhook: Webhook, platform: Platform) -> Mapping[str, Encoding]:
    """JSONPath → how what it selects is written: the platform's own, and the webhook's, which go
    before them."""
    if webhook.decode is False:
        return {}
    return {**platform.decode, **(webhook.decode or {})}


@dataclass
class _Budget:
    """What may still come of one delivery's texts: bytes, and values, which take the time."""

    left: int
    values: int

    def take(self, size: int, values: int = 0) -> None:
        """Raises _Stays if there is less: then nothing more is decoded, or each text would be tried
        in vain."""
        if size > self.left or values > self.values:
            self.left = self.values = 0
            raise _Stays
        self.left -= size
        self.values -= values


class Decoder:
    """Decodes the bodies of one webhook."""

    def __init__(self, decoding: Mapping[str, Encoding], most: int):
        """`most`: bytes that all texts of a delivery together may be decoded to."""
        self._decoding = decoding
        self._most = most

    def decode(self, body: Body) -> Body:
        """The body with its texts decoded; the same one if there is nothing to decode."""
        budget = _Budget(self._most, MAX_VALUES - values_in(body.text or "", MAX_VALUES))
        is_object = isinstance(body.value, dict)
        payload = before = body.value if is_object else {"request": body.value}
        for path, encoding in self._decoding.items():
            changes = list(_changes(payload, path, encoding, budget))
            payload = put(payload, changes) if changes else payload
        if payload is before:
            return body
        # A body that is a single text stays at `request`, whatever the text becomes.
        return Body(
            payload["request"] if isinstance(body.value, list) else payload, batch=body.batch
        )


def _changes(
    payload: Any, path: str, encoding: Encoding, budget: _Budget
) -> Iterable[tuple[Place, Any]]:
    try:
        found = places(payload, path)
    except TooCostly:
        return
    for place, text in found:
        if isinstance(text, str):
            with suppress(ValueError):  # what can't be decoded
                yield place, _decoded(text, encoding, budget, MAX_DEPTH - len(place))


def _decoded(text: str, encoding: Encoding, budget: _Budget, depth: int) -> Any:
    """Raises ValueError, such as _Stays or BadBody."""
    if encoding != "json":
        data = _from_base64(text)
        if encoding == "gzip":
            data = _inflated(data, budget)
        else:
            budget.take(len(data))
        text = data.decode("utf-8")
    else:
        budget.take(len(text))
    if encoding == "base64" or (encoding == "gzip" and not _may_be_json(text)):
        value: Any = text
    else:
        value = _from_json(text, budget, depth)
    refuse_unstorable(value)
    return value


def _may_be_json(text: str) -> bool:
    """Whether it begins as an object or array: a text that is a number or word is meant as one."""
    return text.lstrip(" \t\r\n")[:1] in ("{", "[")


def _from_json(text: str, budget: _Budget, depth: int) -> Any:
    if not _may_be_json(text):
        raise _Stays
    budget.take(0, values_in(text, budget.values))
    value = read_json(text)
    if is_nested_deeper(value, depth):
        raise _Stays
    return value


def _from_base64(text: str) -> bytes:
    """Either alphabet, with or without padding."""
    if not _BASE64.fullmatch(text) or ("=" in text and len(text) % 4):
        raise _Stays
    bare = text.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)


def _inflated(data: bytes, budget: _Budget) -> bytes:
    """Counts what is made as it is made: a broken text costs time too, and there may be many."""
    inflater = zlib.decompressobj(_GZIP)
    found = bytearray()
    try:
        for start in range(0, len(data), _PIECE):
            rest = data[start : start + _PIECE]
            while rest:
                if inflater.eof:
                    raise _Stays
                piece = inflater.decompress(rest, _PIECE)
                budget.take(len(piece))
                found += piece
                rest = inflater.unconsumed_tail
    except zlib.error:
        budget.take(_PIECE if data.startswith(_MAGIC) else 0)
        raise _Stays from None
    if not inflater.eof or inflater.unused_data:
        raise _Stays
    return bytes(found)
