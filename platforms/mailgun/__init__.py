"""Mailgun: time, token and signature are in the body, and the signature doesn't cover the rest of
it."""

import json
import secrets
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from urllib.parse import urlencode

from platforms.base import MB, Platform
from platforms.bodies import peek_fields, peek_json, read_json
from platforms.http import Request
from platforms.summary import Value
from platforms.verifiers import CannotSign, Check, Credentials, Draft, Part, Proof, Refused
from platforms.verifiers.compare import any_equal
from platforms.verifiers.hmacs import encoded_hmac
from platforms.verifiers.timestamps import check_age, read_time, write_time

_FORM = "application/x-www-form-urlencoded"
_FIELDS = ("timestamp", "token", "signature")


def _signature(value: Any) -> dict[str, Any]:
    """The object ``signature`` of webhooks, or the fields of a form of routes."""
    inner = value.get("signature") if isinstance(value, dict) else None
    found = inner if isinstance(inner, dict) else value
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class BodySignature:
    """HMAC-SHA256 of timestamp and token, in hexadecimal digits."""

    covers: ClassVar[frozenset[Part]] = frozenset({"time", "id"})

    def check(self, credentials: Credentials) -> Check:
        keys = [secret.encode() for secret in credentials.secrets]

        def check(request: Request) -> Proof:
            if request.body.lstrip()[:1] == b"{":
                fields = _signature(peek_json(request.body))
            else:
                fields = peek_fields(request.body, _FIELDS)
            timestamp, token, given = (fields.get(name) for name in _FIELDS)
            if isinstance(timestamp, int) and not isinstance(timestamp, bool):
                timestamp = str(timestamp)
            if not (
                isinstance(timestamp, str) and isinstance(token, str) and isinstance(given, str)
            ):
                raise Refused("timestamp, token or signature is missing in the body")
            at = read_time(timestamp, "s")
            message = (timestamp + token).encode("utf-8", "surrogatepass")
            if not any_equal(given, [encoded_hmac(key, message, "sha256", "hex") for key in keys]):
                raise Refused("the signature does not match")
            check_age(at, request.now, credentials.tolerance)
            return Proof(message, body=False, id=token)

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        timestamp, token = write_time(draft.now, "s"), secrets.token_hex(25)
        signature = encoded_hmac(
            credentials.first_secret.encode(), (timestamp + token).encode(), "sha256", "hex"
        ).decode()
        fields = {"timestamp": timestamp, "token": token, "signature": signature}
        if draft.headers.get("Content-Type", "").startswith(_FORM):
            separator = b"&" if draft.body else b""
            return replace(draft, body=draft.body + separator + urlencode(fields).encode())
        try:
            value = read_json(draft.body.decode())
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise CannotSign("Mailgun signs inside the body, which must be a JSON object or a form")
        return replace(draft, body=json.dumps(value | {"signature": fields}).encode())


# https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
class Mailgun(Platform):
    name = "mailgun"
    title = "Mailgun"
    purpose = "mail delivered, bounced, opened or received"
    types = (
        "$.event-data.event",
        "$.event",
        Value("$.recipient", word="message"),
    )
    summary = (
        "$.event-data.severity",
        "$.event-data.reason",
        "$.event-data.message.headers.subject",
        "$.subject",
    )
    secret_label = "HTTP signing key"
    verifier = BodySignature()
    ignores_dedup = True
    # Every attempt is signed with the first one's time, and the last comes eight hours later.
    tolerance = 12 * 3600
    bodies = "declared"
    # Mailgun takes messages of up to 25 MB, with their attachments.
    max_body = 25 * MB

    def delivery_id(self, request: Request, value: Any) -> str | None:
        found = _signature(value).get("token")
        return found if isinstance(found, str) and found else None

    def conceal(self, value: Any) -> Any:
        fields = _signature(value)
        if "signature" not in fields:
            return value
        kept = {name: item for name, item in fields.items() if name != "signature"}
        return kept if fields is value else value | {"signature": kept}


PLATFORM = Mailgun()
