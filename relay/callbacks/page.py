"""What people see when they follow a callback's link: a page with a button, and then the result.

Opening the link does nothing: mail scanners and previews open it too. The page needs no script, and
its address doesn't leak: no referrer, no cache, no frame.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from datetime import datetime, timezone
from typing import Any

from platforms.bodies import BadBody, read_query
from platforms.http import Response, error_response

_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0"
    " 1rem;color:#1c1c1c}"
    "h1{font-size:1.4rem}dt{font-weight:600}dd{margin:0 0 .5rem;overflow-wrap:anywhere}"
    "button{font:inherit;padding:.5rem"
    " 1.5rem;border:0;border-radius:.3rem;background:#0b5cad;color:#fff}"
    "@media(prefers-color-scheme:dark){body{background:#1c1c1c;color:#eee}}"
)
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; form-action 'self'; frame-ancestors 'none';"
    " base-uri 'none'"
)
PRIVATE = (
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Robots-Tag", "noindex, nofollow"),
)
"""Headers of every answer at a URL that a webhook made."""
_OF_PAGES = (*PRIVATE, ("Content-Security-Policy", _POLICY), ("X-Frame-Options", "DENY"))
EXPIRED = error_response(410, "expired", "this URL has expired")
USED = error_response(410, "used", "this URL has been used; it works only once")
LEFT_OUT = error_response(
    200, "filtered", "what was confirmed isn't what this link is for, so nothing was done"
)
"""For people: `only` or `schema` has left out what they sent."""
_TITLES = {"used": "This link has been used", "expired": "This link has expired"}
_MOST_FIELDS = 10
_LONGEST_FIELD = 200


def used(at: int | None) -> Response:
    """The answer at a URL that was used at that time (Unix milliseconds; None if the time isn't
    known)."""
    if at is None:
        return USED
    when = datetime.fromtimestamp(at / 1000, timezone.utc).strftime("%Y-%m-%d at %H:%M UTC")
    return error_response(410, "used", f"this URL was used on {when}; it works only once")


def ask(query: str) -> Response:
    """The page with the button. It shows `query`: what counts of the link's query (raw, as in the
    URL)."""
    try:
        fields = read_query(query)
    except BadBody as error:  # pressing the button would get the same answer
        return presented(error_response(400, "malformed_body", str(error)))
    listed = "".join(
        f"<dt>{_escaped(name)}</dt><dd>{_escaped(value)}</dd>"
        for name, value in list(fields.items())[:_MOST_FIELDS]
    )
    if len(fields) > _MOST_FIELDS:  # they are confirmed, too
        listed += f"<dt>…</dt><dd>and {len(fields) - _MOST_FIELDS} more</dd>"
    # Without an action the form is posted to the page's own address, whatever a proxy has made of
    # it.
    content = (
        f"{f'<dl>{listed}</dl>' if listed else ''}<form method=post><button>Confirm</button></form>"
    )
    return _page(200, "Please confirm", content)


def shown(response: Response, wants_page: bool) -> Response:
    """The answer for a person's browser, or for a program."""
    return presented(response) if wants_page else private(response)


def presented(response: Response) -> Response:
    """The answer as a page for people."""
    if response.status < 400 and response is not LEFT_OUT:
        return _page(
            200, "Received", "<p>Your confirmation has been received. You can close this page.</p>"
        )
    try:
        answer = json.loads(response.body)
        message, code = str(answer["message"]), answer["error"]
    except (LookupError, TypeError, ValueError):
        message, code = "This didn't work.", ""
    title = _TITLES.get(code, "Nothing was done")
    sentence = f"{message[:1].upper()}{message[1:].removesuffix('.')}."
    page = _page(response.status, title, f"<p>{html.escape(sentence)}</p>")
    again = tuple(header for header in response.headers if header[0] == "Retry-After")
    return Response(page.status, page.body, page.content_type, (*page.headers, *again))


def private(response: Response) -> Response:
    """The answer for a program, with the headers that keep its URL from spreading."""
    names = {name.lower() for name, _ in response.headers}
    added = tuple(header for header in PRIVATE if header[0].lower() not in names)
    return Response(
        response.status, response.body, response.content_type, (*response.headers, *added)
    )


def _page(status: int, title: str, content: str) -> Response:
    text = (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{title}</h1>{content}</main></body></html>"
    )
    return Response(status, text.encode("utf-8", "replace"), "text/html; charset=utf-8", _OF_PAGES)


def _escaped(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    # Invisible characters, and those that reverse the direction of text, must not make it read as
    # something else.
    shown = "".join(
        one if one.isprintable() else f"\\u{ord(one):04x}" for one in text[:_LONGEST_FIELD]
    )
    return html.escape(shown + ("…" if len(text) > _LONGEST_FIELD else ""))
