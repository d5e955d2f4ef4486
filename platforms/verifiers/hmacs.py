"""Signatures with a shared secret: HMAC in its various forms."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from platforms.http import Request
from platforms.verifiers.compare import any_equal, header_bytes, required_header
from platforms.verifiers.protocol import Check, Credentials, Draft, Part, Proof, proof_of
from platforms.verifiers.public_keys import base64_key, hex_key, usable
from platforms.verifiers.refused import CannotSign, Refused
from platforms.verifiers.templates import Parts, compile_template, names_in, parts_of
from platforms.verifiers.timestamps import Timestamp, check_age, read_time, write_time

Algorithm = Literal["sha1", "sha256", "sha512"]
Encoding = Literal["hex", "base64"]
KeyEncoding = Literal["text", "hex", "base64"]

_READ_KEY: Mapping[KeyEncoding, Callable[[str], bytes]] = {"text": str.encode, "hex": hex_key, "base64": base64_key}

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
    separator: str | None = None
    """The separator between several signatures in the header, any of which may match."""
    key_encoding: KeyEncoding = "text"
    """How the secret encodes the key. `text`: its characters are the key."""
    any_case: bool = False
    """Whether hexadecimal digits may be upper-case."""

    @property
    def covers(self) -> frozenset[Part]:
        return parts_of(self.signed)

    def urls(self, url: str) -> tuple[str, ...]:
        """The forms of the URL that the platform may have signed."""
        return (url,)

    def _keys(self, credentials: Credentials) -> list[bytes]:
        return usable(credentials.secrets, _READ_KEY[self.key_encoding])

    def check(self, credentials: Credentials) -> Check:
        name, prefix, timestamp = self.header.lower(), self.prefix.encode(), self.timestamp
        algorithm, encoding, separator = self.algorithm, self.encoding, self.separator
        keys = self._keys(credentials)
        render, needed = compile_template(self.signed), names_in(self.signed)
        lower, with_url = self.any_case and encoding == "hex", "url" in needed

        def matches(message: bytes, given: list[bytes]) -> bool:
            expected = [encoded_hmac(key, message, algorithm, encoding) for key in keys]
            return any(any_equal(signature, expected) for signature in given)

        def check(request: Request) -> Proof:
            given = _signatures(header_bytes(required_header(request, name)), prefix, separator)
            if lower:
                given = [signature.lower() for signature in given]
            time_text = timestamp.text(request) if timestamp else ""
            if needed == {"body"}:
                messages = [render({"body": request.body})]
            else:
                parts = {"body": request.body, "method": request.method.encode(), "timestamp": header_bytes(time_text)}
                called = self.urls(request.url) if with_url else ("",)
                messages = [render(parts | {"url": header_bytes(url)}) for url in called]
            message = next((message for message in messages if matches(message, given)), None)
            if message is None:
                raise Refused("the signature does not match" if keys else "the webhook's secret is not a key")
            if timestamp:
                timestamp.check(time_text, request.now, credentials.tolerance)
            return proof_of(request, message, url=with_url)

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        keys = self._keys(credentials)
        if not keys:
            raise CannotSign("the webhook has no secret to sign with")
        parts: Parts = {"body": draft.body, "method": draft.method.encode(), "url": draft.url.encode()}
        if self.timestamp:
            unit = "s" if self.timestamp.unit == "any" else self.timestamp.unit
            time_text = write_time(draft.now, unit)
            parts["timestamp"] = time_text.encode()
            draft = draft.with_header(self.timestamp.header, time_text)
        message = compile_template(self.signed)(parts)
        signature = encoded_hmac(keys[0], message, self.algorithm, self.encoding).decode()
        return draft.with_header(self.header, self.prefix + signature)


def _signatures(value: bytes, prefix: bytes, separator: str | None) -> list[bytes]:
    """The signatures in a header's value that have the prefix, without it. Raises Refused if there are none."""
    candidates = value.split(separator.encode(), MAX_SIGNATURES) if separator else [value]
    if len(candidates) > MAX_SIGNATURES:
        raise Refused("too many signatures")
    stripped = [candidate.strip() for candidate in candidates] if separator else candidates
    found = [candidate[len(prefix) :] for candidate in stripped if candidate.startswith(prefix)]
    if not found:
        raise Refused("the signature has another form")
    return found


@dataclass(frozen=True)
class TimedHmac:
    """A header that contains the time and one or more signatures, as in ``t=1760000000,v1=…,v1=…``."""

    header: str
    scheme: str = "v1"
    covers: ClassVar[frozenset[Part]] = frozenset({"time", "body"})

    def check(self, credentials: Credentials) -> Check:
        name, scheme = self.header.lower(), self.scheme
        keys = [secret.encode() for secret in credentials.secrets]

        def check(request: Request) -> Proof:
            value = required_header(request, name)
            pairs = [part.strip().partition("=") for part in value.split(",", MAX_SIGNATURES)]
            times = [text for key, _, text in pairs if key == "t"]
            given = [header_bytes(text) for key, _, text in pairs if key == scheme]
            if not times or not given or len(pairs) > MAX_SIGNATURES:
                raise Refused("the signature has another form")
            at = read_time(times[0], "s")
            message = times[0].encode() + b"." + request.body
            expected = [encoded_hmac(key, message, "sha256", "hex") for key in keys]
            if not any(any_equal(signature, expected) for signature in given):
                raise Refused("the signature does not match")
            check_age(at, request.now, credentials.tolerance)
            return proof_of(request, message)

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        time_text = str(int(draft.now))
        message = time_text.encode() + b"." + draft.body
        signature = encoded_hmac(credentials.first_secret.encode(), message, "sha256", "hex").decode()
        return draft.with_header(self.header, f"t={time_text},{self.scheme}={signature}")


def sha256_hex(body: bytes) -> str:
    """The SHA-256 of the body in lower-case hexadecimal digits."""
    return hashlib.sha256(body).hexdigest()
