"""Twilio: messages, calls and everything else that it sends as a form or JSON."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from platforms.base import Platform, at
from platforms.bodies import MAX_FIELDS, read_query
from platforms.http import Request, Response
from platforms.summary import Value
from platforms.verifiers import Check, Credentials, Draft, Part, Proof, Refused
from platforms.verifiers.compare import any_equal, equal, header_bytes, required_header
from platforms.verifiers.hmacs import Algorithm, encoded_hmac, sha256_hex

_FORM = "application/x-www-form-urlencoded"


def _urls(url: str) -> tuple[str, ...]:
    """The URL as called, without its port, and with the default port: Twilio may sign any of
    these."""
    try:
        parts = urlsplit(url)
        host, port = parts.netloc, parts.port
    except ValueError:
        return (url,)
    implied = 443 if parts.scheme == "https" else 80
    other = host.removesuffix(f":{port}") if port is not None else f"{host}:{implied}"
    return url, url.replace(f"//{host}", f"//{other}", 1)


def _fields(body: bytes) -> str:
    """Names sorted case-sensitively, values sorted and without repetitions; blank values count."""
    try:
        text = body.decode("utf-8", "replace")
        pairs = parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise Refused("the form has too many fields") from None
    return "".join(name + value for name, value in sorted(set(pairs)))


def _message(url: str, fields: str) -> bytes:
    return header_bytes(url) + fields.encode("utf-8", "replace")


def _is_form(content_type: str | None) -> bool:
    return (content_type or "").partition(";")[0].strip().lower() == _FORM


# https://www.twilio.com/docs/usage/security#validating-requests
@dataclass(frozen=True)
class UrlAndFields:
    """The signature covers the URL and a form's fields; for any other body, the URL contains its
    hash.

    A delivery by GET has its fields in the URL, and nothing is appended. The signed URL tells which
    kind it is. The content type must not: JSON could pass for a form without fields, for which the
    URL's signature holds too.
    """

    header: str = "X-Twilio-Signature"
    covers: ClassVar[frozenset[Part]] = frozenset({"url", "body"})

    def check(self, credentials: Credentials) -> Check:
        name, keys = self.header.lower(), [key.encode() for key in credentials.secrets]

        def check(request: Request) -> Proof:
            given = header_bytes(required_header(request, name))
            stated = read_query(request.query).get("bodySHA256")
            if stated is None:
                fields = _fields(request.body)
            elif isinstance(stated, str) and equal(stated, sha256_hex(request.body)):
                fields = ""
            else:
                raise Refused("bodySHA256 is not the body's hash")
            # Sent with keys that are shared between accounts: key=…,algorithm=HMAC_SHA256
            settings = request.headers.get("x-twilio-webhooks-signature-settings", "")
            algorithm: Algorithm = "sha256" if "HMAC_SHA256" in settings else "sha1"
            for message in (_message(url, fields) for url in _urls(request.url)):
                if any_equal(
                    given, [encoded_hmac(key, message, algorithm, "base64") for key in keys]
                ):
                    # What is signed has several readings, so nothing in one of them tells
                    # deliveries apart.
                    return Proof(message, body=False, url=True)
            raise Refused(
                "the signature does not match (is the public URL the one that Twilio calls?)"
            )

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        fields = ""
        if _is_form(draft.headers.get("Content-Type")):
            fields = _fields(draft.body)
        elif draft.body:
            separator = "&" if urlsplit(draft.url).query else "?"
            draft = replace(draft, url=f"{draft.url}{separator}bodySHA256={sha256_hex(draft.body)}")
        signature = encoded_hmac(
            credentials.first_secret.encode(), _message(draft.url, fields), "sha1", "base64"
        )
        return draft.with_header(self.header, signature.decode())


class Twilio(Platform):
    name = "twilio"
    title = "Twilio"
    purpose = "messages and calls, and their status"
    types = (
        Value("$.CallStatus", before="call "),
        Value("$.MessageStatus", before="message "),
        Value("$.SmsStatus", before="message "),
    )
    summary = ("$.MessageSid", "$.CallSid", "$.Direction", Value("$.ErrorCode", before="error "))
    secret_label = "Auth token"
    # https://www.twilio.com/docs/usage/webhooks/webhooks-faq
    answer_within = 15
    verifier = UrlAndFields()
    ignores_dedup = True
    methods = frozenset({"POST", "GET"})
    bodies = "json or form"
    id_headers = ("i-twilio-idempotency-token",)
    # Twilio warns about anything that isn't TwiML.
    answer = Response(200, b"<Response/>", "text/xml; charset=utf-8")

    # Names and values are concatenated in what is signed, so different fields may have the same
    # signature. They count as the same delivery: without a `delivery_id`, what is signed tells
    # deliveries apart.
    def header_id(self, request: Request, value: Any) -> str | None:
        message, status = (
            at(value, "MessageSid"),
            at(value, "MessageStatus") or at(value, "SmsStatus") or "",
        )
        return super().header_id(request, value) or (message and f"{message} {status}".rstrip())


PLATFORM = Twilio()
