"""Google Cloud Pub/Sub push subscriptions with authentication."""

import json
from dataclasses import dataclass
from typing import Any, ClassVar

from platforms.base import Platform, at
from platforms.http import Request
from platforms.telling import Value
from platforms.verifiers import (
    OF_SENDER,
    CannotSign,
    Check,
    Credentials,
    Draft,
    Fetch,
    KeysUnavailable,
    Part,
    Proof,
    Refused,
)
from platforms.verifiers.compare import equal, required_header
from platforms.verifiers.tokens import check_token, read_token

CERTIFICATES = "https://www.googleapis.com/oauth2/v1/certs"
_ISSUERS = frozenset({"https://accounts.google.com", "accounts.google.com"})


def certificate(fetch: Fetch, key_id: str, remote: str | None) -> bytes | None:
    """Google's certificate with that id; Google rotates them. Raises KeysUnavailable."""
    for fresh in (False, True):
        try:
            certificates = json.loads(fetch(CERTIFICATES, fresh=fresh, remote=remote))
        except (ValueError, RecursionError):
            raise KeysUnavailable("Google's certificates can't be read") from None
        pem = certificates.get(key_id) if isinstance(certificates, dict) else None
        if isinstance(pem, str):
            return pem.encode()
    return None


# https://docs.cloud.google.com/pubsub/docs/authenticate-push-subscriptions#validate_tokens
@dataclass(frozen=True)
class GoogleToken:
    """A token of the push subscription's service account, issued for our audience."""

    covers: ClassVar[frozenset[Part]] = frozenset({"sender"})

    def check(self, credentials: Credentials) -> Check:
        def check(request: Request) -> Proof:
            scheme, _, text = required_header(request, "authorization").partition(" ")
            if scheme.lower() != "bearer":
                raise Refused("the header authorization is not a bearer token")
            token = read_token(text.strip())
            check_token(
                token,
                lambda key_id: certificate(credentials.fetch, key_id, request.remote),
                issuers=_ISSUERS,
                audience=credentials.audience,
                now=request.now,
            )
            email = token.claims.get("email")
            if (
                credentials.service_account is None
                or not isinstance(email, str)
                or not equal(email, credentials.service_account)
            ):
                raise Refused("the token belongs to another service account")
            if token.claims.get("email_verified") is not True:
                raise Refused("the token's e-mail is not verified")
            return OF_SENDER

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        raise CannotSign("only Google can sign for its service accounts; publish a message to the topic instead")


class GooglePubSub(Platform):
    name = "google-pubsub"
    title = "Google Cloud Pub/Sub"
    purpose = "messages of a topic, by push subscription"
    types = (
        "$.message.attributes.eventType",
        "$.message.attributes.type",
        Value("$.message", word="message"),
    )
    telling = (
        Value("$.message.messageId"),
        Value("$.subscription", before="of "),
        "$.message.attributes.objectId",
    )
    made_by = "nobody"
    verifier = GoogleToken()
    required = frozenset({"audience", "service_account"})
    vendor_keys = True

    # https://docs.cloud.google.com/pubsub/docs/reference/rest/v1/PubsubMessage
    def delivery_id(self, request: Request, value: Any) -> str | None:
        """Ids are unique within their topic."""
        subscription, identifier = at(value, "subscription"), at(value, "message", "messageId")
        return f"{subscription} {identifier}" if subscription and identifier else identifier


PLATFORM = GooglePubSub()
