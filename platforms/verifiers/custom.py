"""The HMAC schemes that definitions describe, for senders that are no platform of ours."""

from __future__ import annotations

import re
from collections.abc import Callable
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
        name, algorithm, encoding, lower = (
            self.header.lower(),
            self.algorithm,
            self.encoding,
            self.encoding == "hex",
        )
        keys = usable(credentials.secrets, READ_KEY[self.key_encoding])
        signed, read_header = SignedParts(self.signed), self._reader()
        timestamp = Timestamp(self.timestamp_header, "any") if self.timestamp_header else None
        with_time, with_query, headers = (
            timestamp is not None or self._has_time,
            signed.with_query,
            signed.headers,
        )

        def check(request: Request) -> Proof:
            given, time = read_header(required_header(request, name))
            if timestamp:
                time = timestamp.text(request)
            at = read_time(time, "any") if with_time else 0.0
            message = signed.message(request, header_bytes(time))
            if lower:
                given = [signature.lower() for signature in given]
            expected = [encoded_hmac(key, message, algorithm, encoding) for key in keys]
            if not any(any_equal(signature, expected) for signature in given):
                raise Refused(
                    "the signature does not match" if keys else "the webhook's secret is not a key"
                )
            if with_time:
                check_age(at, request.now, credentials.tolerance)
            return proof_of(request, message, url=with_query, headers=headers)

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
        if value.startswith(prefix) and not _SEPARATORS.search(
            value, len(prefix)
        ):  # nearly always there is one
            return [header_bytes(value[len(prefix) :])], ""
        # No digit of a signature can be taken for what separates signatures; a prefix may contain a
        # space.
        parts = begin.split(value, maxsplit=MAX_SIGNATURES)
        found = [
            part
            for text in parts[bool(prefix) :]
            if (part := _SEPARATORS.split(text.strip(), maxsplit=1)[0])
        ]
        return _some(found), ""

    return read


def _in_format(form: str) -> ReadHeader:
    """Elements in any order, where the format has a comma, semicolon or space between them, so that
    several signatures can be told apart; else exactly the format."""
    pieces = re.split(r"\{(signature|timestamp)\}", form)
    between = re.fullmatch(r"([^,;\s]*)([,;\s]+)(.*)", pieces[2]) if len(pieces) > 3 else None
    scheme, start = re.fullmatch(r"((?:.*[,;\s])?)(.*)", pieces[0], re.DOTALL).groups()  # type: ignore[union-attr]
    scheme = scheme.strip()
    if len(pieces) > 3 and (between is None or not (start and between[3])):
        return _exactly(form)
    starts, ends = {pieces[1]: start}, {pieces[1]: pieces[2]}
    if between is not None:
        starts, ends = (
            starts | {pieces[3]: between[3]},
            {pieces[1]: between[1], pieces[3]: pieces[4]},
        )

    def read(value: str) -> tuple[list[bytes], str]:
        value = value.strip()
        if not value.startswith(scheme):
            raise Refused("the signature has another form")
        elements = re.split(r"[,;\s]+", value[len(scheme) :].strip(), maxsplit=MAX_SIGNATURES)
        found: dict[str, list[str]] = {"signature": [], "timestamp": []}
        for element in elements:
            for name, start in starts.items():
                end = ends[name]
                if (
                    element.startswith(start)
                    and element.endswith(end)
                    and len(element) > len(start) + len(end)
                ):
                    found[name].append(element[len(start) : len(element) - len(end)])
                    break
        times = found["timestamp"]
        if len(times) != ("timestamp" in starts):
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
