"""Microsoft Graph change notifications. The secret is the subscription's ``clientState``."""

import json
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from platforms.base import Platform, at, together
from platforms.bodies import peek_json, read_json, read_query
from platforms.http import Request, Response, text_response
from platforms.verifiers import (
    OF_SENDER,
    CannotSign,
    Check,
    Credentials,
    Draft,
    Part,
    Proof,
    Refused,
)
from platforms.verifiers.compare import any_equal


def _notifications(value: Any) -> list[Any]:
    found = value.get("value") if isinstance(value, dict) else None
    return found if isinstance(found, list) else []


# https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks#processing-the-change-notification
@dataclass(frozen=True)
class ClientState:
    """Every notification of a batch carries it."""

    covers: ClassVar[frozenset[Part]] = frozenset({"sender"})

    def check(self, credentials: Credentials) -> Check:
        def known(notification: Any) -> bool:
            state = notification.get("clientState") if isinstance(notification, dict) else None
            return isinstance(state, str) and any_equal(state, credentials.secrets)

        def check(request: Request) -> Proof:
            notifications = _notifications(peek_json(request.body))
            if not notifications or not all(map(known, notifications)):
                raise Refused("a notification has no clientState, or another one")
            return OF_SENDER

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        try:
            value = read_json(draft.body.decode())
        except ValueError:
            value = None
        notifications = _notifications(value)
        if not notifications or not all(isinstance(one, dict) for one in notifications):
            raise CannotSign('the body is not {"value": [{…}, …]}, as Microsoft Graph sends it')
        signed = [one | {"clientState": credentials.first_secret} for one in notifications]
        return replace(draft, body=json.dumps(value | {"value": signed}).encode())


class MicrosoftGraph(Platform):
    name = "microsoft-graph"
    title = "Microsoft Graph"
    purpose = "changes to mail, calendars, files and users"
    types = ("$.value[0].lifecycleEvent", "$.value[0].changeType")
    summary = ("$.value[0].resource",)
    made_by = "us"
    secret_label = "clientState"
    # https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks: later answers
    # make it drop some.
    answer_within = 10
    verifier = ClientState()
    challenge_only = True
    secret_in_body = True

    # https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks#notificationurl-validation
    def challenge(self, request: Request, credentials: Credentials) -> Response | None:
        """A POST with a token in the query, which must be returned decoded, as plain text."""
        if "validationToken" not in request.query:
            return None
        token = read_query(request.query).get("validationToken")
        return text_response(token) if isinstance(token, str) else None

    def delivery_id(self, request: Request, value: Any) -> str | None:
        return together([at(notification, "id") for notification in _notifications(value)])

    def conceal(self, value: Any) -> Any:
        notifications = _notifications(value)
        if not any(isinstance(one, dict) and "clientState" in one for one in notifications):
            return value
        kept = [
            (
                {name: item for name, item in one.items() if name != "clientState"}
                if isinstance(one, dict)
                else one
            )
            for one in notifications
        ]
        return value | {"value": kept}


PLATFORM = MicrosoftGraph()
