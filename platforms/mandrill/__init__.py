"""Mandrill, or Mailchimp Transactional. The secret is the webhook's key."""

import binascii
import json
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from urllib.parse import urlencode

from platforms.base import MB, Platform, digest
from platforms.bodies import Body, MalformedBody, read_json
from platforms.http import Request, Response
from platforms.verifiers import Check, Credentials, Draft, Part, Proof, Refused
from platforms.verifiers.compare import any_equal, header_bytes, required_header
from platforms.verifiers.hmacs import encoded_hmac

_FIELD = "mandrill_events"
_IN_A_VALUE = bytes(set(range(0x21, 0x7F)) - set(b"&"))
"""The bytes of which an encoded value consists."""


def _events(body: bytes) -> str | None:
    """The only field of the form; with others, what is signed would have several readings."""
    name, _, value = body.partition(b"=")
    if name != _FIELD.encode() or value.translate(None, _IN_A_VALUE):
        return None
    # Nothing is proven yet, and `parse_qsl` would take eighty times the body's memory.
    # Quoted-printable, which differs only in the escape, is decoded in C, in the memory of the
    # text.
    quoted = value.replace(b"+", b" ").replace(b"=", b"=3D").replace(b"%", b"=")
    try:
        return binascii.a2b_qp(quoted).decode()
    except ValueError:
        return None


def _message(url: str, events: str) -> bytes:
    return header_bytes(url) + (_FIELD + events).encode("utf-8", "surrogatepass")


# https://mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks/#authenticating-webhook-requests
@dataclass(frozen=True)
class UrlAndEvents:
    """HMAC-SHA1, in base64, over the URL and the name and value of the form's only field."""

    header: str = "X-Mandrill-Signature"
    covers: ClassVar[frozenset[Part]] = frozenset({"url", "body"})

    def check(self, credentials: Credentials) -> Check:
        name, keys = self.header.lower(), [key.encode() for key in credentials.secrets]

        def check(request: Request) -> Proof:
            given, events = header_bytes(required_header(request, name)), _events(request.body)
            if events is None:
                raise Refused(f"the body is not a form with the one field {_FIELD}")
            message = _message(request.url, events)
            if not any_equal(given, [encoded_hmac(key, message, "sha1", "base64") for key in keys]):
                raise Refused(
                    "the signature does not match (is the public URL the one that Mandrill calls?)"
                )
            return Proof(message, url=True)

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        events = _events(draft.body)
        if events is None:
            events = draft.body.decode("utf-8", "replace")
            draft = replace(draft, body=urlencode({_FIELD: events}).encode())
        draft = draft.with_header("Content-Type", "application/x-www-form-urlencoded")
        signature = encoded_hmac(
            credentials.first_secret.encode(), _message(draft.url, events), "sha1", "base64"
        )
        return draft.with_header(self.header, signature.decode())


class Mandrill(Platform):
    name = "mandrill"
    title = "Mandrill (Mailchimp Transactional)"
    purpose = "mail sent, bounced, opened, clicked or received"
    types = ("$.event",)
    summary = ("$.msg.subject", "$.msg.bounce_description")
    secret_label = "Webhook key"
    verifier = UrlAndEvents()
    challenge_methods = frozenset({"HEAD"})
    # Up to a thousand events, or messages received, as a form:
    # https://mandrill.zendesk.com/hc/en-us/articles/360038740594
    max_body = 10 * MB

    # https://mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks/#set-up-a-webhook-endpoint
    def challenge(self, request: Request, credentials: Credentials) -> Response | None:
        """Once the URL exists, Mandrill sends no events to it, signed with a key that all know."""
        is_test = request.method == "POST" and _events(request.body) == "[]"
        return Response(200) if is_test else super().challenge(request, credentials)

    def read(self, request: Request, signed: bool) -> Body:
        """The events, each of which becomes one."""
        text = _events(request.body)
        if text is None:
            raise MalformedBody(f"the body is not a form with the one field {_FIELD}")
        value = read_json(text)
        return Body(value, text, batch=isinstance(value, list))

    def element_id(self, element: Any) -> str | None:
        """`_id` is the message's, and may have several events."""
        return digest(json.dumps(element, sort_keys=True))


PLATFORM = Mandrill()
