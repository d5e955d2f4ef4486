"""Notion. The secret is the verification token of the subscription."""

from platforms.base import Platform, at
from platforms.bodies import BadBody, read_body
from platforms.http import Request, Response, json_response
from platforms.verifiers import Credentials, Hmac

_LARGEST_HANDSHAKE = 4096
"""Bytes of a body that is read before anything is proven."""


# https://developers.notion.com/reference/webhooks#step-3-validating-event-payloads-recommended
class Notion(Platform):
    name = "notion"
    title = "Notion"
    purpose = "pages, databases and comments changed"
    types = ("$.type",)
    summary = ("$.entity.type", "$.entity.id")
    secret_label = "Verification token"
    verifier = Hmac(header="X-Notion-Signature", prefix="sha256=")
    id_at = ("id",)

    # https://developers.notion.com/reference/webhooks#step-2-verifying-the-subscription
    def challenge(self, request: Request, credentials: Credentials) -> Response | None:
        """The handshake tells the token. It is never kept, not even as a refused delivery; only
        where nothing is verified it is an event, in which it can be read."""
        is_possible = credentials.secrets and "x-notion-signature" not in request.headers
        if not is_possible or request.method != "POST" or len(request.body) > _LARGEST_HANDSHAKE:
            return None
        try:
            value = read_body(request.body, None, always_json=True).value
        except BadBody:
            return None
        is_token = at(value, "verification_token") is not None and len(value) == 1
        return json_response({}) if is_token else None


PLATFORM = Notion()
