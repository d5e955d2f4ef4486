"""X, formerly Twitter: the Account Activity and Webhooks APIs."""

from dataclasses import dataclass
from typing import Any, ClassVar

from platforms.base import Platform, at, digest
from platforms.bodies import read_query
from platforms.http import Request, Response, json_response
from platforms.summary import Value
from platforms.verifiers import Check, Credentials, Draft, Hmac, Part, Proof, Refused
from platforms.verifiers.hmacs import encoded_hmac

_SIGNATURE = Hmac(header="x-twitter-webhooks-signature", encoding="base64", prefix="sha256=")


@dataclass(frozen=True)
class SignedObject:
    """The signature of a JSON object. The challenge signs any other text for anyone who asks."""

    covers: ClassVar[frozenset[Part]] = frozenset({"body"})

    def check(self, credentials: Credentials) -> Check:
        check_signature = _SIGNATURE.check(credentials)

        def check(request: Request) -> Proof:
            if not request.body.lstrip().startswith(b"{"):
                raise Refused("the body is not a JSON object")
            return check_signature(request)

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        return _SIGNATURE.sign(draft, credentials)


# https://docs.x.com/x-api/webhooks/quickstart#signature-header-validation
class X(Platform):
    name = "twitter"
    title = "X (Twitter)"
    purpose = "posts, mentions and direct messages"
    types = (
        Value("$.tweet_create_events", word="post created"),
        Value("$.tweet_delete_events", word="post deleted"),
        Value("$.favorite_events", word="like"),
        Value("$.follow_events", word="follow"),
        Value("$.direct_message_events", word="direct message"),
        Value("$.user_event", word="user event"),
    )
    summary = (
        Value("$.tweet_create_events[0].user.screen_name", before="by @"),
        "$.tweet_create_events[0].text",
        Value("$.for_user_id", before="for "),
    )
    secret_label = "Consumer secret"
    verifier = SignedObject()
    challenge_methods = frozenset({"GET"})

    # https://docs.x.com/x-api/webhooks/quickstart#challenge-response-checks-crc
    def challenge(self, request: Request, credentials: Credentials) -> Response | None:
        """X repeats it about hourly; it is not signed.

        The answer is a signature like a delivery's, over text that anyone may choose. So text that
        could be a delivery gets none: X's tokens contain no brace, and all of its deliveries begin
        with one.
        """
        token = read_query(request.query).get("crc_token") if request.method == "GET" else None
        if not isinstance(token, str) or not credentials.secrets:
            return None
        if "{" in token:
            raise Refused("crc_token could be a delivery")
        signature = encoded_hmac(
            credentials.secrets[0].encode(), token.encode(), "sha256", "base64"
        ).decode()
        return json_response({"response_token": f"sha256={signature}"})

    def delivery_id(self, request: Request, value: Any) -> str | None:
        """Each event in a delivery has its own id, and a delivery has one list of events per kind."""
        if not isinstance(value, dict):
            return None
        found: list[str] = []
        for kind, events in value.items():
            if not kind.endswith("_events"):
                continue
            for event in events if isinstance(events, list) else [events]:
                identifier = at(event, "id_str") or at(event, "id")
                if identifier is None:
                    return None
                found += (kind, identifier)
        return digest(str(value.get("for_user_id")), *found) if found else None


PLATFORM = X()
