"""Meta: Facebook, Instagram, Messenger and WhatsApp."""

from typing import Any

from platforms.base import MB, Platform, at, digest, together
from platforms.bodies import read_query
from platforms.http import Request, Response, text_response
from platforms.summary import SummaryPart, Value
from platforms.verifiers import Credentials, Hmac, Refused
from platforms.verifiers.compare import equal


def message_id(event: Any) -> str | None:
    """A message's id; its deletion and echo are separate events with the same id."""
    identifier = at(event, "message", "mid")
    kinds = [
        kind for kind in ("is_deleted", "is_echo") if identifier and event["message"].get(kind)
    ]
    return " ".join([identifier, *kinds]) if identifier else None


# https://developers.facebook.com/docs/graph-api/webhooks/getting-started#validate-payloads
class Facebook(Platform):
    name = "facebook"
    title = "Facebook, Instagram, WhatsApp"
    purpose = "messages and posts by Meta: Messenger, Instagram, WhatsApp"
    types: tuple[SummaryPart, ...] = (
        "$.entry[0].changes[0].field",
        Value("$.entry[0].messaging[0].message", word="message"),
        Value("$.entry[0].messaging[0].postback", word="postback"),
        Value("$.entry[0].messaging[0].read", word="read"),
        Value("$.entry[0].messaging[0].delivery", word="delivery"),
        "$.object",
    )
    summary: tuple[SummaryPart, ...] = (
        "$.entry[0].changes[0].value.messages[0].type",
        "$.entry[0].changes[0].value.statuses[0].status",
        Value("$.object", before="to "),
        "$.entry[0].id",
    )
    secret_label = "App secret"
    verifier = Hmac(header="X-Hub-Signature-256", prefix="sha256=")
    options = frozenset({"verify_token"})
    challenge_only = True
    challenge_proves = True
    challenge_settings = frozenset({"verify_token"})
    challenge_methods = frozenset({"GET"})
    # https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/overview
    max_body = 3 * MB

    # https://developers.facebook.com/docs/graph-api/webhooks/getting-started#verification-requests
    def challenge(self, request: Request, credentials: Credentials) -> Response | None:
        """A GET with the token that was entered at Meta; anything else gets Meta's own 403."""
        if request.method != "GET":
            return None
        query = read_query(request.query)
        token, challenge = query.get("hub.verify_token"), query.get("hub.challenge")
        if (
            query.get("hub.mode") != "subscribe"
            or not isinstance(token, str)
            or not isinstance(challenge, str)
        ):
            raise Refused("not a verification request of Meta", 403)
        if credentials.verify_token is None or not equal(token, credentials.verify_token):
            raise Refused("hub.verify_token has another value", 403)
        return text_response(challenge)

    def delivery_id(self, request: Request, value: Any) -> str | None:
        """Messages have ids. Other entries have only a time in seconds, and are told apart by their
        content."""
        found = value.get("entry") if isinstance(value, dict) else None
        if not isinstance(found, list) or not found:
            return None
        messages: list[str | None] = []
        for entry in found:
            messaging = entry.get("messaging") if isinstance(entry, dict) else None
            if isinstance(messaging, list):
                messages += map(message_id, messaging)
            else:
                messages.append(None)
        return together(messages) or digest(
            *(f"{at(entry, 'id')} {at(entry, 'time')}" for entry in found), request.body
        )


PLATFORM = Facebook()
