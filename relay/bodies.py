"""How a delivery's body is read: as its platform sends it, not as a header says that nobody has signed."""

from __future__ import annotations

import json
import re

from events.payload import Body, MalformedBody, read_body, read_query
from relay.platform import Bodies
from relay.request import Request

_FORM = "application/x-www-form-urlencoded"
_STARTS_AS_FORM = re.compile(rb"[A-Za-z0-9_.~%+*-]+=")
"""No JSON text starts so."""


def read_delivery(request: Request, bodies: Bodies, signed: bool) -> Body:
    """The body; of a delivery without one, by a method that needs none, the query. Raises BadBody.

    `signed`: whether its bytes are, so that their content type is not.
    """
    body, content_type = request.body, request.headers.get("content-type")
    if not body:
        if request.method in ("GET", "DELETE"):
            return Body(read_query(request.query))
        if not content_type or bodies == "json or form":
            return Body({})
    if bodies == "json":
        return read_body(body, None, always_json=True)
    if bodies == "json or form":
        return read_body(body, _FORM if _STARTS_AS_FORM.match(body) else "application/json")
    if signed and looks_like_json(body):
        try:
            return read_body(body, None, always_json=True)
        except MalformedBody:
            if _is_json(body):
                raise
    return read_body(body, content_type)


def looks_like_json(body: bytes) -> bool:
    """Whether it may be the text of a JSON object or array."""
    return body.lstrip()[:1] in (b"{", b"[")


def _is_json(body: bytes) -> bool:
    """Whether it is refused for what is in it (NaN, its depth, a NUL), not for its form."""
    try:
        json.loads(body)
    except RecursionError:
        return True
    except ValueError:
        return False
    return True
