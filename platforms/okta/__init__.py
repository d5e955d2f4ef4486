"""Okta event hooks. The secret is the value of the Authorization header that was entered at Okta."""

from typing import Any

from platforms.declaration import Platform, at, together
from platforms.request import Answer, Request, json_answer
from platforms.verifiers import HeaderEquals, Terms


# https://developer.okta.com/docs/concepts/event-hooks/#one-time-verification-request
def verification_request(request: Request, _terms: Terms) -> Answer | None:
    challenge = request.headers.get("x-okta-verification-challenge") if request.method == "GET" else None
    return json_answer({"verification": challenge}) if challenge else None


def event_uuids(_request: Request, value: Any) -> str | None:
    data = value.get("data") if isinstance(value, dict) else None
    events = data.get("events") if isinstance(data, dict) else None
    return together([at(event, "uuid") for event in events]) if isinstance(events, list) else None


# https://developer.okta.com/docs/concepts/event-hooks/#authorization-header
PLATFORM = Platform(
    name="okta",
    title="Okta",
    purpose="users and sign-ins, by event hook",
    made_by="us",
    secret_label="Authentication secret",
    verifier=HeaderEquals("Authorization"),
    challenge_only=True,
    methods=frozenset({"GET", "POST"}),
    challenge=verification_request,
    delivery_id=event_uuids,
)
