"""Any other sender: headers, an HMAC scheme or a challenge, as defined by the webhook."""

from typing import Any

from platforms.base import Platform
from platforms.bodies import BadBody, read_body, read_query
from platforms.http import Request, Response, json_response, text_response
from platforms.verifiers import Credentials

_LARGEST_CHALLENGE = 64 * 1024
"""Bytes of a body that are read before anything is proven."""


class Custom(Platform):
    name = "custom"
    title = "Custom"
    purpose = "any other sender: a header with a key, or an HMAC signature"
    made_by = "us"
    required = frozenset()
    proofs = ("headers", "signature", "jwt", "mtls", "challenge", "callback", "none")
    options = frozenset({"challenge"})
    bodies = "declared"

    def challenge(self, request: Request, credentials: Credentials) -> Response | None:
        """Answers the query parameter or JSON field of the definition's `challenge` with its value,
        or a HEAD or GET that only asks if the URL exists."""
        name, asks = credentials.challenge, None
        if credentials.answers_head and request.method in ("HEAD", "GET"):
            asks = Response(200)
        if name is None or request.method == "HEAD":
            return asks
        value = _value_of(name, request)
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            return asks
        if credentials.challenge_in_json:
            return json_response({name: value})
        return text_response(str(value))


def _value_of(challenge: str, request: Request) -> Any:
    """What the request says is to be answered; None if it says nothing."""
    in_query = read_query(request.query).get(challenge)
    if in_query is not None or not 0 < len(request.body) <= _LARGEST_CHALLENGE:
        return in_query
    try:
        body = read_body(request.body, request.headers.get("content-type"))
    except BadBody:
        return None
    # Only in JSON: a form may have such a field in every delivery.
    is_object = body.text is not None and isinstance(body.value, dict)
    return body.value.get(challenge) if is_object else None


PLATFORM = Custom()
