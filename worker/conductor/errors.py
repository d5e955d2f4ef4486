"""What a failed call to Conductor means: what may have happened, and whether another try is worthwhile."""

from __future__ import annotations

import json
from typing import Any

# Nothing has happened, and a later try may succeed.
_TRY_AGAIN = frozenset((401, 403, 429))


class ConductorError(Exception):
    """A call to Conductor failed."""

    def __init__(self, message: str = "", status: int = 0, call: str = ""):
        """`status` is that of the answer, 0 without one; `call` is what was answered, as ``GET /tasks/{id}``."""
        super().__init__(message)
        self.status = status
        self.call = call


class NotSent(ConductorError):
    """Nothing has happened."""


class Unreachable(NotSent):
    """Conductor wasn't reached."""


class NotNow(NotSent):
    """Conductor wouldn't take the request now (a rate limit, a permission), or it was too late to send it."""


class OutcomeUnknown(ConductorError):
    """The connection broke, the call timed out, or Conductor failed over it: it may have taken effect, or still may."""


class NotThere(OutcomeUnknown):
    """What answers has no such call: it isn't Conductor's API, or Conductor is starting, or too old."""


class Garbled(OutcomeUnknown):
    """The answer can't be read: it isn't UTF-8, is too large, or lacks something that it must have."""


class BrokenOff(Garbled):
    """A search has met so many tasks that no page can be had with that it broke off; it can go on from there."""

    def __init__(self, reached: int):
        """All tasks that started up to `reached`, by the server's clock, were read or found to be unreadable."""
        super().__init__("many waiting tasks can't be read: the search goes on where it broke off")
        self.reached = reached


class Refused(ConductorError):
    """Conductor refuses this request for good: every try would get the same answer."""


class NotFound(Refused):
    """Conductor doesn't know what the request names."""


def is_of_an_item(error: ConductorError) -> bool:
    """Whether a search may have failed because of a single task that it was to return."""
    return error.status == 500 or (isinstance(error, (Garbled, NotThere)) and not error.status)


def is_denied(error: ConductorError) -> bool:
    """Whether the call can't be made at this server at all: it has none, or refuses it, or the key may not make it."""
    return isinstance(error, (Refused, NotThere)) or error.status == 403


def answered(status: int, reason: str, body: Any, call: str) -> ConductorError:
    """What an answer to this call that isn't 2xx means; `call` is the call as ``GET /tasks/{id}``."""
    message = _message(body)
    text = f"{status} {message or ' '.join(reason.split())}"
    if _kind(status, message) is NotThere:
        text += f" ({call} isn't there: CONDUCTOR_SERVER_URL must end with /api, and the server may be too old)"
    if status in (401, 403):
        text += f" ({call}: the key of CONDUCTOR_AUTH_KEY may not do so)"
    return _kind(status, message)(text + _remedy(message), status, call)


def _kind(status: int, message: str) -> type[ConductorError]:
    if status == 404:
        # A proxy, or a server that is starting, also answers 404; Conductor adds what it doesn't know.
        return NotFound if message and not message.startswith(_NO_SUCH_PATH) else NotThere
    if status in (405, 501) or message.startswith("Request method "):  # 405 in Conductor 3.32, 500 in 3.13
        return NotThere
    if status in _TRY_AGAIN:
        return NotNow
    if (400 <= status < 500 and status != 408) or _remedy(message):
        return Refused
    return OutcomeUnknown


_NO_SUCH_PATH = ("No static resource", "No message available")
"""What Spring says of a path that no call has; older versions say nothing."""

# What the texts of those answers of 500 contain that every try would get, and what to do about each.
_FINAL = (
    ("is greater than the permissible limit", "set BRIDGE_CONDUCTOR_PAYLOAD to what Conductor is set up for"),
    ("exceeds the maximum allowed", "the payload is beyond what Conductor's JSON parser takes"),
    ("unsupported Unicode escape sequence", "PostgreSQL, where Conductor stores, can't hold the character NUL"),
)


def _remedy(message: str) -> str:
    """What to add to Conductor's words, of an answer that every try would get; empty for any other."""
    return next((f" ({words})" for part, words in _FINAL if part in message), "")


def _message(body: Any) -> str:
    try:
        return str(json.loads(body)["message"])[:500]
    except (KeyError, TypeError, ValueError):
        return ""
