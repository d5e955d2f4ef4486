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
        asks = (
            Response(200)
            if credentials.answers_head and request.method in ("HEAD", "GET")
            else None
        )
        if request.method == "HEAD" or credentials.challenge is None:
            return asks
        value: Any = read_query(request.query).get(credentials.challenge)
        if value is None and 0 < len(request.body) <= _LARGEST_CHALLENGE:
            try:
                body = read_body(request.body, request.headers.get("content-type"))
            except BadBody:
                return asks
            # Only in JSON: a form may have such a field in every delivery.
            is_object = body.text is not None and isinstance(body.value, dict)
            value = body.value.get(credentials.challenge) if is_object else None
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            return asks
        return (
            json_response({credentials.challenge: value})
            if credentials.challenge_in_json
            else text_response(str(value))
        )


PLATFORM = Custom()
