"""Twilio: messages, calls and everything else that it sends as a form or as JSON."""

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from events.payload import MAX_FIELDS, read_query
from relay.platform import Accepted, Platform, at, first_of, in_header
from relay.request import Answer, Request
from relay.verifiers import CannotSign, Check, Draft, Refused, Terms
from relay.verifiers.compare import any_equal, equal, header_bytes, required_header
from relay.verifiers.hmacs import Algorithm, encoded_hmac, sha256_hex

_FORM = "application/x-www-form-urlencoded"


def _urls(url: str) -> tuple[str, ...]:
    """As it was called, without its port, and with the port that goes without saying: Twilio signs any of them."""
    try:
        parts = urlsplit(url)
        host, port = parts.netloc, parts.port
    except ValueError:
        return (url,)
    implied = 443 if parts.scheme == "https" else 80
    other = host.removesuffix(f":{port}") if port is not None else f"{host}:{implied}"
    return url, url.replace(f"//{host}", f"//{other}", 1)


def _fields(body: bytes) -> str:
    """Names sorted by their case, values sorted and each once; blank values count."""
    try:
        text = body.decode("utf-8", "replace")
        pairs = parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise Refused("the form has too many fields") from None
    return "".join(name + value for name, value in sorted(set(pairs)))


def _signature(key: str, url: str, fields: str, algorithm: Algorithm = "sha1") -> bytes:
    message = header_bytes(url) + fields.encode("utf-8", "replace")
    return encoded_hmac(key.encode(), message, algorithm, "base64")


def _is_form(content_type: str | None) -> bool:
    return (content_type or "").partition(";")[0].strip().lower() == _FORM


# https://www.twilio.com/docs/usage/security#validating-requests
@dataclass(frozen=True)
class UrlAndFields:
    """The signature covers the URL and the fields of a form; of another body the hash, in the URL, is covered.

    A delivery by GET has its fields in the URL, and nothing is appended.
    """

    header: str = "X-Twilio-Signature"

    def check(self, terms: Terms) -> Check:
        name = self.header.lower()

        def check(request: Request) -> None:
            given = header_bytes(required_header(request, name))
            fields = ""
            if _is_form(request.headers.get("content-type")):
                fields = _fields(request.body)
            else:
                stated = read_query(request.query).get("bodySHA256", None if request.body else sha256_hex(b""))
                if not isinstance(stated, str) or not equal(stated, sha256_hex(request.body)):
                    raise Refused("bodySHA256 is not the body's hash")
            # Sent with keys that are shared between accounts: key=…,algorithm=HMAC_SHA256
            settings = request.headers.get("x-twilio-webhooks-signature-settings", "")
            algorithm: Algorithm = "sha256" if "HMAC_SHA256" in settings else "sha1"
            expected = [_signature(key, url, fields, algorithm) for key in terms.secrets for url in _urls(request.url)]
            if not any_equal(given, expected):
                raise Refused("the signature does not match (is the public URL the one that Twilio calls?)")

        return check

    def sign(self, draft: Draft, terms: Terms) -> Draft:
        if not terms.secrets:
            raise CannotSign("the webhook has no secret to sign with")
        fields = ""
        if _is_form(draft.headers.get("Content-Type")):
            fields = _fields(draft.body)
        elif draft.body:
            separator = "&" if urlsplit(draft.url).query else "?"
            draft = replace(draft, url=f"{draft.url}{separator}bodySHA256={sha256_hex(draft.body)}")
        return draft.with_header(self.header, _signature(terms.secrets[0], draft.url, fields).decode())


def message_and_status(_request: Request, value: Any) -> str | None:
    message = at(value, "MessageSid")
    return message and f"{message} {at(value, 'MessageStatus') or at(value, 'SmsStatus') or ''}".rstrip()


def empty_twiml(_accepted: Accepted) -> Answer:
    """Twilio warns of anything that is no TwiML."""
    return Answer(200, b"<Response/>", "text/xml; charset=utf-8")


PLATFORM = Platform(
    name="twilio",
    verifier=UrlAndFields(),
    methods=frozenset({"POST", "GET"}),
    delivery_id=first_of(in_header("I-Twilio-Idempotency-Token"), message_and_status),
    answer=empty_twiml,
)
