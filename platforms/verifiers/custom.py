"""The HMAC schemes that definitions describe, for senders that are no platform of ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from platforms.http import Request
from platforms.verifiers.compare import any_equal, header_bytes, required_header
from platforms.verifiers.hmacs import (
    MAX_SIGNATURES,
    READ_KEY,
    Algorithm,
    Encoding,
    KeyEncoding,
    encoded_hmac,
    mismatch,
)
from platforms.verifiers.protocol import Check, Credentials, Draft, Part, Proof, proof_of
from platforms.verifiers.public_keys import usable
from platforms.verifiers.refused import CannotSign, Refused
from platforms.verifiers.signed_parts import SignedParts
from platforms.verifiers.timestamps import Timestamp, check_age, read_time, write_time

_SEPARATORS = re.compile(r"[,\s]+")
_COVERED: dict[str, Part] = {"body": "body", "timestamp": "time", "method": "method", "url": "url"}

ReadHeader = Callable[[str], tuple[list[bytes], str]]
"""Returns the signatures and the time (empty without one) in a header's value. Raises Refused."""


@dataclass(frozen=True)
class CustomHmac:
    """An HMAC in a header, over parts of the request (`platforms.verifiers.signed_parts`)."""

    header: str
    algorithm: Algorithm = "sha256"
    encoding: Encoding = "hex"
    key_encoding: KeyEncoding = "text"
    prefix: str = ""
    format: str | None = None
    """The form of the header's value, with ``{signature}`` and maybe ``{timestamp}``; None for the
    prefix alone."""
    signed: str = "{body}"
    timestamp_header: str | None = None

    @property
    def covers(self) -> frozenset[Part]:
        return frozenset(
            _COVERED[name] for name in SignedParts(self.signed).names if name in _COVERED
        )

    def check(self, credentials: Credentials) -> Check:
        name, algorithm, encoding = self.header.lower(), self.algorithm, self.encoding
        keys = usable(credentials.secrets, READ_KEY[self.key_encoding])
        signed, read_header = SignedParts(self.signed), self._reader()
        timestamp = Timestamp(self.timestamp_header, "any") if self.timestamp_header else None
        with_time = timestamp is not None or self._has_time

        def check(request: Request) -> Proof:
            given, time = read_header(required_header(request, name))
            if timestamp:
                time = timestamp.text(request)
            at = read_time(time, "any") if with_time else 0.0
            message = signed.message(request, header_bytes(time))
            if encoding == "hex":
                given = [signature.lower() for signature in given]
            expected = [encoded_hmac(key, message, algorithm, encoding) for key in keys]
            if not any(any_equal(signature, expected) for signature in given):
                raise mismatch(keys)
            if with_time:
                check_age(at, request.now, credentials.tolerance)
            return proof_of(request, message, url=signed.with_query, headers=signed.headers)

        return check

    @property
    def _has_time(self) -> bool:
        return self.format is not None and "{timestamp}" in self.format

    def _reader(self) -> ReadHeader:
        return _after_prefix(self.prefix) if self.format is None else _in_format(self.format)

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        keys = usable(credentials.secrets, READ_KEY[self.key_encoding])
        if not keys:
            raise CannotSign("the webhook has no secret to sign with")
        time = write_time(draft.now, "s")
        if self.timestamp_header:
            draft = draft.with_header(self.timestamp_header, time)
        try:
            message = SignedParts(self.signed).message(_request_of(draft), time.encode())
        except Refused as refused:
            raise CannotSign(refused.reason) from None
        signature = encoded_hmac(keys[0], message, self.algorithm, self.encoding).decode()
        form = self.prefix + "{signature}" if self.format is None else self.format
        return draft.with_header(
            self.header, form.replace("{timestamp}", time).replace("{signature}", signature)
        )


def _request_of(draft: Draft) -> Request:
    headers = {name.lower(): value for name, value in draft.headers.items()}
    query = draft.url.partition("?")[2].partition("#")[0]
    return Request(draft.method, draft.url, query, headers, draft.body, None, draft.now)


def _after_prefix(prefix: str) -> ReadHeader:
    # Looks at one character before the prefix only: a header of separators would be searched again
    # from each of them.
    begin = re.compile(rf"(?:^|(?<=[,\s])){re.escape(prefix)}") if prefix else _SEPARATORS

    def read(value: str) -> tuple[list[bytes], str]:
        is_single = value.startswith(prefix) and not _SEPARATORS.search(value, len(prefix))
        if is_single:  # nearly always
            return [header_bytes(value[len(prefix) :])], ""
        # No digit of a signature can be taken for what separates signatures; a prefix may contain a
        # space.
        parts = begin.split(value, maxsplit=MAX_SIGNATURES)
        after = parts[1:] if prefix else parts
        found = [_SEPARATORS.split(text.strip(), maxsplit=1)[0] for text in after]
        return _some([one for one in found if one]), ""

    return read


@dataclass(frozen=True)
class _Element:
    """How a header writes one of its values: between two texts."""

    name: str
    start: str
    end: str

    def value_in(self, text: str) -> str | None:
        """The value; None if the text is another element."""
        around = len(self.start) + len(self.end)
        if len(text) <= around or not text.startswith(self.start) or not text.endswith(self.end):
            return None
        return text[len(self.start) : len(text) - len(self.end)]


def _in_format(form: str) -> ReadHeader:
    """Elements in any order, where the format has a comma, semicolon or space between them, so that
    several signatures can be told apart; else exactly the format."""
    before, first, *rest = re.split(r"\{(signature|timestamp)\}", form)
    start = re.split(r"[,;\s]", before)[-1]
    scheme = before.removesuffix(start).strip()
    if len(rest) == 1:
        return _in_any_order(scheme, [_Element(first, start, rest[0])])
    middle, second, end = rest
    between = re.fullmatch(r"([^,;\s]*)[,;\s]+(.*)", middle)
    if between is None or not start or not between[2]:
        return _exactly(form)
    elements = [_Element(first, start, between[1]), _Element(second, between[2], end)]
    return _in_any_order(scheme, elements)


def _in_any_order(scheme: str, elements: Sequence[_Element]) -> ReadHeader:
    """`scheme`: what comes before the elements."""
    has_time = "timestamp" in [element.name for element in elements]

    def read(value: str) -> tuple[list[bytes], str]:
        value = value.strip()
        if not value.startswith(scheme):
            raise Refused("the signature has another form")
        texts = re.split(r"[,;\s]+", value[len(scheme) :].strip(), maxsplit=MAX_SIGNATURES)
        found: dict[str, list[str]] = {"signature": [], "timestamp": []}
        for text in texts:
            for element in elements:
                inside = element.value_in(text)
                if inside is not None:
                    found[element.name].append(inside)
                    break
        times = found["timestamp"]
        if len(times) != has_time:
            raise Refused("the signature has another form")
        return _some(found["signature"]), times[0] if times else ""

    return read


def _exactly(form: str) -> ReadHeader:
    pattern = re.compile(
        re.escape(form)
        .replace(r"\{timestamp\}", r"(?P<timestamp>[0-9TtZz:.+-]{1,40})")
        .replace(r"\{signature\}", r"(?P<signature>[A-Za-z0-9+/=_-]{1,1000})")
    )

    def read(value: str) -> tuple[list[bytes], str]:
        found = pattern.fullmatch(value.strip())
        if found is None:
            raise Refused("the signature has another form")
        return [found["signature"].encode()], found["timestamp"]

    return read


def _some(found: list[str]) -> list[bytes]:
    if not found:
        raise Refused("the signature has another form")
    if len(found) > MAX_SIGNATURES:
        raise Refused("too many signatures")
    return [header_bytes(one) for one in found]
