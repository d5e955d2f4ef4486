"""Contentful, with request verification. The secret is the space's signing secret."""

import re
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import quote, urlsplit

from platforms.base import Platform, digest
from platforms.http import Request
from platforms.summary import Value
from platforms.verifiers import Check, Credentials, Draft, Part, Proof, Refused, Timestamp
from platforms.verifiers.compare import any_equal, header_bytes, required_header
from platforms.verifiers.hmacs import encoded_hmac
from platforms.verifiers.timestamps import write_time

_TIME = Timestamp("X-Contentful-Timestamp", "ms")
_NAMES = "X-Contentful-Signed-Headers"
_TOPIC = "x-contentful-topic"
_ALWAYS = frozenset({_TIME.header.lower(), _NAMES.lower()})
_NAME = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
_MOST_HEADERS = 50
_UNESCAPED = "-_.!~*'()"
_RESERVED = ";,/?:@&=+$#"


def _path(url: str) -> bytes:
    """Path and query as Contentful signs them: encoded once more, the query twice. Raises Refused
    for a query that has a question mark, behind which it signs nothing."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise Refused("the URL can't be read") from None
    if "?" in parts.query:
        raise Refused("the URL's query has a question mark")
    query = f"?{quote(header_bytes(parts.query), safe=_UNESCAPED)}" if parts.query else ""
    return quote(header_bytes(parts.path + query), safe=_UNESCAPED + _RESERVED).encode()


def _message(method: str, url: str, headers: list[tuple[str, str]], body: bytes) -> bytes:
    joined = ";".join(f"{name}:{value}" for name, value in headers)
    return b"\n".join((method.encode(), _path(url), header_bytes(joined), body))


# https://www.contentful.com/developers/docs/webhooks/request-verification/
# https://github.com/contentful/node-apps-toolkit/blob/main/src/requests/sign-request.ts
@dataclass(frozen=True)
class CanonicalRequest:
    """HMAC-SHA256, in hexadecimal digits, over method, path, the headers that a header names, and
    the body."""

    header: str = "X-Contentful-Signature"
    covers: ClassVar[frozenset[Part]] = frozenset({"time", "method", "url", "body"})

    def check(self, credentials: Credentials) -> Check:
        name, keys = self.header.lower(), [secret.encode() for secret in credentials.secrets]

        def check(request: Request) -> Proof:
            given, names = header_bytes(required_header(request, name)), self._names(request)
            headers = [(signed, required_header(request, signed).strip()) for signed in names]
            message = _message(request.method, request.url, headers, request.body)
            if not any_equal(given, [encoded_hmac(key, message, "sha256", "hex") for key in keys]):
                raise Refused(
                    "the signature does not match (is the public URL the one that Contentful"
                    " calls?)"
                )
            _TIME.check(_TIME.text(request), request.now, credentials.tolerance)
            # Each attempt may be signed with its own time; the topic isn't in the body.
            topic = dict(headers).get(_TOPIC, "")
            return Proof(message, url=True, id=digest(topic, request.body))

        return check

    def _names(self, request: Request) -> list[str]:
        """The names of the signed headers, in order. Raises Refused unless what is signed has one
        reading."""
        names = required_header(request, _NAMES.lower()).split(",", _MOST_HEADERS)
        is_list = len(names) <= _MOST_HEADERS and all(map(_NAME.fullmatch, names))
        if not is_list or names != sorted(set(names)) or not _ALWAYS.issubset(names):
            raise Refused(f"the header {_NAMES.lower()} has another form")
        return names

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        draft = draft.with_header(_TIME.header, write_time(draft.now, "ms"))
        sent = {name.lower(): value for name, value in draft.headers.items()}
        names = sorted(_ALWAYS | {"content-type", _TOPIC} & sent.keys())
        draft = draft.with_header(_NAMES, ",".join(names))
        headers = [(name, (sent | {_NAMES.lower(): ",".join(names)})[name]) for name in names]
        message = _message(draft.method, draft.url, headers, draft.body)
        signature = encoded_hmac(credentials.first_secret.encode(), message, "sha256", "hex")
        return draft.with_header(self.header, signature.decode())


class Contentful(Platform):
    name = "contentful"
    title = "Contentful"
    purpose = "entries and assets published, changed or deleted"
    types = ("$.sys.type",)
    summary = (
        Value("$.sys.contentType.sys.id"),
        Value("$.sys.id"),
        Value("$.sys.environment.sys.id", before="in "),
    )
    secret_label = "Signing secret"
    verifier = CanonicalRequest()
    tolerance = 300


PLATFORM = Contentful()
