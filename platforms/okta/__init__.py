"""Okta event hooks. The secret is the value of the Authorization header, as entered at Okta."""

from platforms.base import Platform
from platforms.http import Request, Response, json_response
from platforms.verifiers import Credentials, HeaderEquals


# https://developer.okta.com/docs/concepts/event-hooks/#authorization-header
class Okta(Platform):
    name = "okta"
    title = "Okta"
    purpose = "users and sign-ins, by event hook"
    types = ("$.data.events[0].eventType", "$.eventType")
    summary = ("$.data.events[0].displayMessage", "$.data.events[0].outcome.result")
    made_by = "us"
    secret_label = "Authentication secret"
    answer_within = 3
    verifier = HeaderEquals("Authorization")
    challenge_only = True
    challenge_methods = frozenset({"GET"})
    events_at = ("data", "events")
    element_id_at = ("uuid",)

    # https://developer.okta.com/docs/concepts/event-hooks/#one-time-verification-request
    def challenge(self, request: Request, credentials: Credentials) -> Response | None:
        challenge = request.headers.get("x-okta-verification-challenge")
        if request.method != "GET" or not challenge:
            return None
        return json_response({"verification": challenge})


PLATFORM = Okta()
