"""Asana. The secret is the ``X-Hook-Secret`` that Asana returns to whoever creates the webhook."""

from platforms.base import Platform
from platforms.http import Request, Response, json_response
from platforms.summary import Value
from platforms.verifiers import Credentials, Hmac, Refused

_LONGEST_SECRET = 256


# https://developers.asana.com/docs/webhooks-guide#security
class Asana(Platform):
    name = "asana"
    title = "Asana"
    purpose = "tasks, projects and comments changed"
    types = ("$.events[0].action",)
    summary = (
        "$.events[0].resource.resource_type",
        "$.events[0].resource.gid",
        Value("$.events[0].change.field", before="its "),
    )
    secret_label = "X-Hook-Secret"
    verifier = Hmac(header="X-Hook-Signature")
    secret_headers = frozenset({"x-hook-secret"})
    events_at = ("events",)
    # https://developers.asana.com/docs/webhooks-guide#webhook-heartbeat-events
    # A heartbeat has no events.
    no_events = json_response({})

    # https://developers.asana.com/docs/webhooks-guide#the-webhook-handshake
    def challenge(self, request: Request, credentials: Credentials) -> Response | None:
        """The handshake tells the secret, which is only returned, never kept: a stranger could tell
        any."""
        secret = request.headers.get("x-hook-secret")
        if not secret or "x-hook-signature" in request.headers:
            return None
        if len(secret) > _LONGEST_SECRET or not secret.isascii() or not secret.isprintable():
            raise Refused("X-Hook-Secret is not a secret of Asana")
        return Response(200, b"", None, (("X-Hook-Secret", secret),))


PLATFORM = Asana()
