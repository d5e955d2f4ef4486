"""The keys by which senders of any kind prove themselves: `signature`, `jwt`, `mtls`; their
challenges and ids."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from config.quantities import Duration
from config.references import NOT_LOOKED_UP, UNRESOLVED
from config.urls import is_loopback, parts_of
from config.value_types import (
    TOKEN,
    Expected,
    HeaderName,
    JsonPath,
    Name,
    Names,
    RootedPath,
    Secrets,
    StrictModel,
    is_key,
    may_hold,
)

DEFAULT_TOLERANCE = 300.0
"""Seconds by which a signed timestamp may differ from now, unless the webhook or its platform says
otherwise."""
_CLOCKS = 60.0
"""Seconds by which an issuer's clock may differ from ours."""
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_HEADER = re.compile(f"header:{TOKEN}")
_NAME_PART = re.compile(r"\s*(?:[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)+)=")
"""How a distinguished name begins in RFC 4514's form, which escapes what would look like its next
part."""
_SIGNED = ("timestamp", "method", "url", "path", "query", "body")


class Signature(StrictModel):
    """An HMAC scheme of a custom sender."""

    secret: Secrets = Field(
        description="the key, or a list of keys while one is being rotated",
        examples=["${PARTNER_SECRET}"],
    )
    header: HeaderName = Field(
        description=(
            "the header that carries the signature, or several, separated by commas or spaces"
        ),
        examples=["X-Partner-Signature"],
    )
    algorithm: Literal["sha1", "sha256", "sha512"] = Field(
        default="sha256", description="the hash of the HMAC"
    )
    encoding: Literal["hex", "base64"] = Field(
        default="hex", description="how the signature is written"
    )
    key_encoding: Literal["text", "hex", "base64"] = Field(
        default="text",
        description="how the key is written in the secret: text, its characters are the key",
    )
    prefix: str = Field(default="", description="text before the signature", examples=["sha256="])
    format: str | None = Field(
        default=None,
        description=(
            "the header's form if it is more than a prefix: text with {signature} and maybe"
            " {timestamp}"
        ),
        examples=["t={timestamp},v1={signature}"],
    )
    signed: str = Field(
        default="{body}",
        description=(
            "what is signed: text with {body} and maybe {timestamp}, {method}, {url}, {path},"
            " {query} and {header:NAME}"
        ),
        examples=["{timestamp}.{body}"],
    )
    timestamp_header: HeaderName | None = Field(
        default=None,
        description="the header that carries the timestamp (Unix seconds)",
        examples=["X-Partner-Timestamp"],
    )
    tolerance: Duration = Field(
        default=DEFAULT_TOLERANCE,
        description="how old or early the timestamp may be",
        examples=["5m"],
    )

    @classmethod
    def rules(cls, written: Mapping[str, Any]) -> Iterator[tuple[str | None, str]]:
        yield from _faults_of_format(written)
        yield from _faults_of_signed(written)
        yield from _faults_of_keys(written)


def _faults_of_keys(written: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    secrets, encoding = written.get("secret"), written.get("key_encoding", "text")
    for secret in secrets if isinstance(secrets, list) else [secrets]:
        if not isinstance(secret, str) or secret in (UNRESOLVED, NOT_LOOKED_UP):
            continue
        if not is_key(secret, encoding):
            message = f"not a key in {encoding}, as key_encoding says; correct one of them"
            yield "secret", message
            return


def _faults_of_signed(written: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    signed, form = written.get("signed", "{body}"), written.get("format")
    if not isinstance(signed, str):
        return
    yield from (("signed", message) for message in _ambiguities(signed))
    has_time = "timestamp_header" in written or "{timestamp}" in str(form)
    if "{timestamp}" in signed and not has_time:
        yield (
            "signed",
            (
                "{timestamp} is signed, but no key says where it is; add timestamp_header: NAME, or"
                " a format with {timestamp}"
            ),
        )


def _ambiguities(signed: str) -> Iterator[str]:
    """What is wrong with a text that is signed: above all, that it has more than one reading."""
    pieces = _PLACEHOLDER.split(signed)  # literal, name, literal, name, …
    literals, names = pieces[::2], pieces[1::2]
    for name in names:
        if name not in _SIGNED and not _HEADER.fullmatch(name):
            known = ", ".join(f"{{{one}}}" for one in _SIGNED)
            yield f"{{{name}}} can't be signed; only {known} and {{header:NAME}} can"
            return
    if "body" not in names:
        yield 'the body isn\'t signed; write text with {body}, such as "{timestamp}.{body}"'
        return
    lower = [name.lower() for name in names]
    for name in dict.fromkeys(lower):
        if lower.count(name) > 1:
            yield f"{{{name}}} is there twice; write it once"
    yield from _neighbours(names, literals)


def _neighbours(names: Sequence[str], literals: Sequence[str]) -> Iterator[str]:
    """Parts that nothing separates. Before the body a part ends where the text after it begins, and
    after the body the other way round."""
    lower = [name.lower() for name in names]
    body = lower.index("body")
    for place in range(body):
        if _is_unbounded(lower[place], literals[place + 1]):
            yield _unbounded(names[place], names[place + 1])
    for place in range(body + 1, len(names)):
        bound = literals[place]
        # A path may begin with the text before it.
        may_begin_so = lower[place] == "path" and "/api".endswith(bound)
        if may_begin_so or _is_unbounded(lower[place], bound):
            yield _unbounded(names[place], names[place - 1])


def _is_unbounded(name: str, bound: str) -> bool:
    return not bound and (name == "query" or name.startswith("header:"))


def _unbounded(name: str, beside: str) -> str:
    return (
        f"nothing separates {{{name}}} from {{{beside}}}, so bytes of the one could be taken for"
        " the other's; write what the sender puts between them, or leave it out"
    )


def _faults_of_format(written: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    form = written.get("format")
    if not isinstance(form, str):
        return
    names = _PLACEHOLDER.findall(form)
    unknown = [name for name in names if name not in ("signature", "timestamp")]
    if unknown:
        yield (
            "format",
            f"{{{unknown[0]}}} can't be in a format; only {{signature}} and {{timestamp}} can",
        )
    elif names.count("signature") != 1 or names.count("timestamp") > 1:
        yield "format", 'not one {signature}; write it once, as in "t={timestamp},v1={signature}"'
    elif "}{" in form:
        yield (
            "format",
            "nothing separates time and signature; write what the sender puts between them",
        )
    if "prefix" in written:
        yield "prefix", "a prefix beside a format; write it into the format, before {signature}"
    if "timestamp" in names and "timestamp_header" in written:
        yield (
            "timestamp_header",
            "a second place for the time, which the format already has; remove one",
        )


def _check_key_url(value: str) -> str:
    parts = parts_of(value)
    is_safe = parts is not None and (parts.scheme == "https" or is_loopback(parts.hostname))
    is_plain = (
        parts is not None and not parts.fragment and parts.username is None and value.isascii()
    )
    if not is_safe or not is_plain or any(character <= " " for character in value):
        raise ValueError(
            f"{value!r} is not a URL to fetch keys from; write one with https (or http on this"
            " machine), such as https://login.example.com/keys"
        )
    return value


class Jwt(StrictModel):
    """A bearer token (JWT) of an issuer."""

    issuer: Name = Field(
        description=(
            "the token's issuer; without jwks its URL, where OpenID discovery finds its keys"
        ),
        examples=["https://login.example.com"],
    )
    audience: Names | None = Field(
        default=None,
        description="the audience that the token is for, or a list of them",
        examples=["hooks"],
    )
    jwks: Annotated[str, AfterValidator(_check_key_url)] | None = Field(
        default=None,
        description="the URL of the issuer's keys (JWK Set), if there is no discovery",
        examples=["https://login.example.com/keys"],
    )
    claims: dict[RootedPath, Annotated[Expected, may_hold("every token would be refused")]] = Field(
        default={},
        min_length=1,
        description=(
            "JSONPath into the token's claims → expected value, or operators; all must hold"
        ),
        examples=[{"$.scope": "orders"}],
    )
    header: HeaderName = Field(
        default="Authorization",
        description="the header with the token; in Authorization it follows Bearer",
        examples=["X-Token"],
    )
    tolerance: Duration = Field(
        default=_CLOCKS, description="by how much the issuer's clock may differ", examples=["1m"]
    )

    @classmethod
    def rules(cls, written: Mapping[str, Any]) -> Iterator[tuple[str | None, str]]:
        issuer = written.get("issuer")
        if isinstance(issuer, str) and issuer and "jwks" not in written:
            try:
                _check_key_url(issuer)
            except ValueError:
                yield (
                    "issuer",
                    (
                        f"{issuer!r} is not a URL where keys can be discovered; write the issuer's"
                        " https URL, or add jwks: URL"
                    ),
                )


class Mtls(StrictModel):
    """A client certificate, as a trusted proxy hands it on."""

    header: HeaderName = Field(
        description="the header in which the proxy forwards it, and which it overwrites",
        examples=["X-SSL-Client-S-DN"],
    )
    subject: Names | None = Field(
        default=None,
        description="the certificate's subject, or a list of them",
        examples=["CN=partner,O=Example,C=SE"],
    )
    san: Names | None = Field(
        default=None,
        description=(
            "a subject alternative name (DNS name, URI, e-mail or IP address), or a list of them"
        ),
        examples=["partner.example.com"],
    )
    form: Literal["name", "certificate", "envoy"] | None = Field(
        default=None,
        description=(
            "what the header carries: the name itself, the certificate (PEM or base64), or Envoy's"
            " X-Forwarded-Client-Cert; by default as the header's name says, else the name"
        ),
        examples=["certificate"],
    )

    @classmethod
    def rules(cls, written: Mapping[str, Any]) -> Iterator[tuple[str | None, str]]:
        if "subject" not in written and "san" not in written:
            yield None, "any certificate would do; add subject: or san:"
        subjects = written.get("subject")
        for subject in subjects if isinstance(subjects, list) else [subjects]:
            if isinstance(subject, str) and "=" in subject and not _NAME_PART.match(subject):
                yield (
                    "subject",
                    (
                        f"{subject[:60]!r} can be the text of several certificates: in this form a"
                        " value may contain what looks like the next part; have the proxy forward"
                        " the certificate (HAProxy: http-request set-header X-SSL-Client-Cert"
                        " %[ssl_c_der,base64]), and write CN=partner,O=Example,C=SE"
                    ),
                )


class Challenge(StrictModel):
    """A custom sender's challenge."""

    name: Name | None = Field(
        default=None,
        description="the query parameter or JSON field whose value is answered",
        examples=["challenge"],
    )
    answer: Literal["text", "json"] = Field(
        default="text",
        description="text: the value as plain text; json: an object with name and value",
    )
    head: bool = Field(
        default=False,
        description=(
            "true: a HEAD, or a GET without the challenge, asks if the URL exists, and is"
            " answered 200"
        ),
    )

    @classmethod
    def rules(cls, written: Mapping[str, Any]) -> Iterator[tuple[str | None, str]]:
        if "name" not in written and written.get("head") is not True:
            yield None, "no challenge; add name: NAME, or head: true"
        if "name" not in written and "answer" in written:
            yield "answer", "an answer to no challenge; add name: NAME"


def _from_name(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


Challenges = Annotated[
    Challenge,
    BeforeValidator(_from_name),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1}, Challenge.model_json_schema()]}),
]
"""A challenge, or only its name."""


class Dedup(StrictModel):
    """Where a custom sender puts the id that stays the same when it delivers again."""

    header: HeaderName | None = Field(
        default=None, description="a header", examples=["X-Delivery-Id"]
    )
    path: JsonPath | None = Field(
        default=None, description="a JSONPath into the payload", examples=["$.id"]
    )

    @classmethod
    def rules(cls, written: Mapping[str, Any]) -> Iterator[tuple[str | None, str]]:
        if ("header" in written) == ("path" in written):
            yield (
                None,
                "not one place for the delivery id; write either header: NAME or path: JSONPATH",
            )
