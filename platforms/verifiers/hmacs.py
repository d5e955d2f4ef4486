"""Signatures with a shared secret: HMAC in its various forms."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from platforms.http import Request
from platforms.verifiers.compare import any_equal, header_bytes, required_header
from platforms.verifiers.protocol import Check, Credentials, Draft, Part, Proof, proof_of
from platforms.verifiers.public_keys import base64_key, hex_key, usable
from platforms.verifiers.refused import CannotSign, Refused
from platforms.verifiers.templates import Parts, compile_template, names_in, parts_of
from platforms.verifiers.timestamps import (
    TimeInBody,
    Timestamp,
    Unit,
    check_age,
    read_time,
    write_time,
)

Algorithm = Literal["sha1", "sha256", "sha512"]
Encoding = Literal["hex", "base64"]
KeyEncoding = Literal["text", "hex", "base64"]

READ_KEY: Mapping[KeyEncoding, Callable[[str], bytes]] = {
    "text": str.encode,
    "hex": hex_key,
    "base64": base64_key,
}

MAX_SIGNATURES = 50
"""Signatures in one header that are checked: rotating secrets causes two or three."""


def encoded_hmac(key: bytes, message: bytes, algorithm: Algorithm, encoding: Encoding) -> bytes:
    """The HMAC as ASCII text."""
    digest = hmac.digest(key, message, algorithm)
    return digest.hex().encode() if encoding == "hex" else base64.b64encode(digest)


@dataclass(frozen=True)
class Hmac:
    """An HMAC in a header."""

    header: str
    algorithm: Algorithm = "sha256"
    encoding: Encoding = "hex"
    prefix: str = ""
    signed: str = "{body}"
    """What is signed (`platforms.verifiers.templates`)."""
    timestamp: Timestamp | None = None
    time_in_body: TimeInBody | None = None
    """The time whose age is checked, if it is in the body; then that of a header only has to have
    the right form."""
    identifier: str | None = None
    """The header of a signed id, ``{id}`` in what is signed."""
    separator: str | None = None
    """The separator between several signatures in the header, any of which may match."""
    further: tuple[str, ...] = ()
    """Further headers that may carry a signature, one for each of the platform's keys; any may
    match."""
    key_encoding: KeyEncoding = "text"
    """How the secret encodes the key. `text`: its characters are the key."""
    any_case: bool = False
    """Whether hexadecimal digits may be upper-case."""

    def __post_init__(self) -> None:
        needed, given = names_in(self.signed), {"timestamp": self.timestamp, "id": self.identifier}
        for name, header in given.items():
            if name in needed and header is None:
                raise ValueError(
                    f"{self.header}: no header is declared that has the {{{name}}} of what is"
                    " signed"
                )

    @property
    def covers(self) -> frozenset[Part]:
        return parts_of(self.signed) | (frozenset({"time"}) if self.time_in_body else frozenset())

    def urls(self, url: str) -> tuple[str, ...]:
        """The forms of the URL that the platform may have signed."""
        return (url,)

    def _keys(self, credentials: Credentials) -> list[bytes]:
        return usable(credentials.secrets, READ_KEY[self.key_encoding])

    def check(self, credentials: Credentials) -> Check:
        names = _lower(self.header, *self.further)
        prefix, separator, timestamp = self.prefix.encode(), self.separator, self.timestamp
        keys, in_body = self._keys(credentials), self.time_in_body
        lower = self.any_case and self.encoding == "hex"
        messages, with_url = self._messages(), "url" in names_in(self.signed)
        # The time in the body counts; then that of the header only has to have the right form.
        tolerance = None if in_body else credentials.tolerance

        def check(request: Request) -> Proof:
            given = _signatures(_sent(request, names), prefix, separator)
            if lower:
                given = [signature.lower() for signature in given]
            time_text = timestamp.text(request) if timestamp else ""
            identifier = _identifier(request, self.identifier) if self.identifier else None
            message = self._proven(messages(request, time_text, identifier or ""), given, keys)
            if timestamp:
                timestamp.check(time_text, request.now, tolerance)
            if in_body:
                in_body.check(request.body, request.now, credentials.tolerance)
            return proof_of(request, message, url=with_url, identifier=identifier)

        return check

    def _proven(self, messages: list[bytes], given: list[bytes], keys: list[bytes]) -> bytes:
        """The message that one of the given signatures is for. Raises Refused."""
        for message in messages:
            expected = [encoded_hmac(key, message, self.algorithm, self.encoding) for key in keys]
            if any(any_equal(signature, expected) for signature in given):
                return message
        raise mismatch(keys)

    def _messages(self) -> Callable[[Request, str, str], list[bytes]]:
        """The texts that the platform may have signed, of a request, its time and its id."""
        render, needed = compile_template(self.signed), names_in(self.signed)

        def of_body(request: Request, time_text: str, identifier: str) -> list[bytes]:
            if not request.body:
                # The signature would be the same for ever. Sentry sends it with each request for
                # options.
                raise Refused("there is no body that could be signed")
            return [render({"body": request.body})]

        def of_parts(request: Request, time_text: str, identifier: str) -> list[bytes]:
            parts = {
                "body": request.body,
                "method": request.method.encode(),
                "timestamp": header_bytes(time_text),
                "id": header_bytes(identifier),
            }
            called = self.urls(request.url) if "url" in needed else ("",)
            return [render(parts | {"url": header_bytes(url)}) for url in called]

        return of_body if needed == {"body"} else of_parts

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        keys = self._keys(credentials)
        if not keys:
            raise CannotSign("the webhook has no secret to sign with")
        if self.time_in_body:
            draft = replace(draft, body=self.time_in_body.write(draft.body, draft.now))
        parts: Parts = {
            "body": draft.body,
            "method": draft.method.encode(),
            "url": draft.url.encode(),
        }
        if self.timestamp:
            unit = "s" if self.timestamp.unit == "any" else self.timestamp.unit
            time_text = write_time(draft.now, unit)
            parts["timestamp"] = time_text.encode()
            draft = draft.with_header(self.timestamp.header, time_text)
        if self.identifier:
            parts["id"] = f"msg-{secrets.token_hex(12)}".encode()
            draft = draft.with_header(self.identifier, parts["id"].decode())
        message = compile_template(self.signed)(parts)
        signature = encoded_hmac(keys[0], message, self.algorithm, self.encoding).decode()
        return draft.with_header(self.header, self.prefix + signature)


_IDENTIFIER = re.compile(r"[A-Za-z0-9+/=_-]{1,128}", re.ASCII)
"""Nothing in an id can be taken for the separator, time or JSON that follows it in what is signed.
"""


def mismatch(keys: Sequence[bytes]) -> Refused:
    """Why no signature by these keys matches."""
    if not keys:
        return Refused("the webhook's secret is not a key")
    return Refused("the signature does not match")


def _lower(*names: str) -> tuple[str, ...]:
    return tuple(name.lower() for name in names)


def _sent(request: Request, names: Sequence[str]) -> list[bytes]:
    """The values of those headers that are there. Raises Refused if none is."""
    found = [header_bytes(request.headers[name]) for name in names if name in request.headers]
    if not found:
        required_header(request, names[0])
    return found


def _identifier(request: Request, header: str) -> str:
    """The signed id. Raises Refused if it is missing, or has another form."""
    found = required_header(request, header.lower())
    if not _IDENTIFIER.fullmatch(found):
        raise Refused(f"the header {header.lower()} is not an id")
    return found


def _signatures(values: Sequence[bytes], prefix: bytes, separator: str | None) -> list[bytes]:
    """The signatures in the headers' values that have the prefix, without it. Raises Refused if
    there are none."""
    candidates = list(values)
    if separator:
        candidates = [
            one for value in values for one in value.split(separator.encode(), MAX_SIGNATURES)
        ]
        if len(candidates) > MAX_SIGNATURES:
            raise Refused("too many signatures")
    stripped = [candidate.strip() for candidate in candidates] if separator else candidates
    found = [candidate[len(prefix) :] for candidate in stripped if candidate.startswith(prefix)]
    if not found:
        raise Refused("the signature has another form")
    return found


@dataclass(frozen=True)
class TimedHmac:
    """A header that contains the time and one or more signatures, as in
    ``t=1760000000,v1=…,v1=…``."""

    header: str
    scheme: str = "v1"
    time: str = "t"
    """The name before the time."""
    separator: str = ","
    joint: str = "."
    """What is between the time and the body in what is signed."""
    unit: Unit = "s"
    covers: ClassVar[frozenset[Part]] = frozenset({"time", "body"})

    def check(self, credentials: Credentials) -> Check:
        name, scheme, time, separator = self.header.lower(), self.scheme, self.time, self.separator
        joint, keys = self.joint.encode(), [secret.encode() for secret in credentials.secrets]

        def check(request: Request) -> Proof:
            value = required_header(request, name)
            pairs = [part.strip().partition("=") for part in value.split(separator, MAX_SIGNATURES)]
            times = [text for key, _, text in pairs if key == time]
            given = [header_bytes(text) for key, _, text in pairs if key == scheme]
            if not times or not given or len(pairs) > MAX_SIGNATURES:
                raise Refused("the signature has another form")
            at = read_time(times[0], self.unit)
            message = times[0].encode() + joint + request.body
            expected = [encoded_hmac(key, message, "sha256", "hex") for key in keys]
            if not any(any_equal(signature, expected) for signature in given):
                raise Refused("the signature does not match")
            check_age(at, request.now, credentials.tolerance)
            return proof_of(request, message)

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        time_text = write_time(draft.now, self.unit)
        message = (time_text + self.joint).encode() + draft.body
        signature = encoded_hmac(
            credentials.first_secret.encode(), message, "sha256", "hex"
        ).decode()
        return draft.with_header(
            self.header, f"{self.time}={time_text}{self.separator}{self.scheme}={signature}"
        )


def sha256_hex(body: bytes) -> str:
    """The SHA-256 of the body in lower-case hexadecimal digits."""
    return hashlib.sha256(body).hexdigest()
