"""How a delivery's body is read: as its platform sends it, not as a header says that nobody has signed."""

from __future__ import annotations

import codecs
import json
import re

from relay.platform import Bodies
from relay.request import Request
from store.payload import Body, MalformedBody, read_body, read_query

_FORM = "application/x-www-form-urlencoded"
_STARTS_AS_FORM = re.compile(rb"[A-Za-z0-9_.~%+*-]+=")
"""No JSON text starts so."""
_IS_FORM = re.compile(rb"[A-Za-z0-9_.~%+*\[\]-]+=[!-;=?-~]*")
"""One line without spaces, as forms are encoded."""
_MULTIPART = re.compile(
    rb"--([A-Za-z0-9'()+_,./:=?-]{1,70})\r?\n(?:[^\n]{0,500}\n){0,3}?content-disposition:", re.IGNORECASE
)
_XML_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_delivery(request: Request, bodies: Bodies, signed: bool) -> Body:
    """The body; of a delivery without one, by a method that needs none, the query. Raises BadBody.

    `signed`: whether its bytes are, so that their content type is not.
    """
    body, content_type = request.body, request.headers.get("content-type")
    if not body:
        if request.method in ("GET", "DELETE"):
            return Body(read_query(request.query))
        if (not content_type and not (signed and bodies == "json")) or bodies == "json or form":
            return Body({})
    if bodies == "json":
        return read_body(body, None, always_json=True)
    if bodies == "json or form":
        return read_body(body, _FORM if _STARTS_AS_FORM.match(body) else "application/json")
    return _by_its_bytes(body, content_type) if signed else read_body(body, content_type)


def _by_its_bytes(body: bytes, content_type: str | None) -> Body:
    """The body by what it is: a text may only be read in one way if it is signed and its content type isn't."""
    if body.lstrip()[:1] in (b"{", b"["):
        try:
            return read_body(body, None, always_json=True)
        except MalformedBody:
            if _is_json(body):
                raise
    if _IS_FORM.fullmatch(body):
        return read_body(body, _FORM)
    if parts := _MULTIPART.match(body):
        return read_body(body, f'multipart/form-data; boundary="{parts[1].decode("ascii")}"')
    if body.lstrip().startswith(b"<?xml") or body.startswith(_XML_16):
        return read_body(body, "text/xml")
    try:
        return read_body(body, "text/plain")
    except MalformedBody:
        # Not UTF-8: all that says what it is then is the header.
        return read_body(body, content_type)


def _is_json(body: bytes) -> bool:
    """Whether it is refused for what is in it (NaN, its depth, a NUL), not for its form."""
    try:
        json.loads(body)
    except RecursionError:
        return True
    except ValueError:
        return False
    return True
