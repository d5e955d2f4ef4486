"""monday.com. The secret is the app's signing secret."""

from dataclasses import dataclass
from typing import ClassVar

from platforms.base import Platform, at
from platforms.bodies import BadBody, read_body
from platforms.http import Request, Response, json_response
from platforms.verifiers import OF_SENDER, Check, Credentials, Draft, Part, Proof
from platforms.verifiers.compare import required_header
from platforms.verifiers.tokens import (
    SHARED,
    check_claims,
    check_signature,
    read_token,
    write_shared_token,
)

_LARGEST_CHALLENGE = 4096
"""Bytes of a body that is read before anything is proven."""
_VALID_FOR = 300


# https://developer.monday.com/apps/docs/authorization-header
@dataclass(frozen=True)
class AppToken:
    """A token of the app, signed with its secret, for the URL that is called."""

    covers: ClassVar[frozenset[Part]] = frozenset({"sender"})

    def check(self, credentials: Credentials) -> Check:
        keys = [secret.encode() for secret in credentials.secrets]

        def check(request: Request) -> Proof:
            token = read_token(
                required_header(request, "authorization").removeprefix("Bearer ").strip(), [SHARED]
            )
            check_signature(token, keys)
            check_claims(token, audiences=[request.url], now=request.now)
            return OF_SENDER

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        claims = {"aud": draft.url, "iat": int(draft.now), "exp": int(draft.now) + _VALID_FOR}
        return draft.with_header(
            "Authorization", write_shared_token(claims, credentials.first_secret.encode())
        )


class Monday(Platform):
    name = "monday"
    title = "monday.com"
    purpose = "items and columns of a board changed"
    types = ("$.event.type",)
    summary = ("$.event.pulseName", "$.event.columnTitle", "$.event.value.label.text")
    secret_label = "Signing secret"
    verifier = AppToken()
    challenge_only = True
    # One change may be sent for several subscriptions.
    id_at = ("event", "triggerUuid")
    scope_at = ("event", "subscriptionId")

    # https://developer.monday.com/api-reference/reference/webhooks#url-verification
    def challenge(self, request: Request, credentials: Credentials) -> Response | None:
        """monday.com sends it when a webhook is created. Boards' own webhooks carry no token, so it
        is not proven."""
        if (
            request.method != "POST"
            or len(request.body) > _LARGEST_CHALLENGE
            or b'"challenge"' not in request.body
        ):
            return None
        try:
            value = read_body(request.body, None, always_json=True).value
        except BadBody:
            return None
        challenge = at(value, "challenge")
        if challenge is not None and len(value) == 1:
            return json_response({"challenge": challenge})
        return None


PLATFORM = Monday()
