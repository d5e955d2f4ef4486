"""What a failed call to Conductor means: what may have happened, and whether another try is worth it."""

from __future__ import annotations

import json
from typing import Any

# Answers that say nothing about the request itself: worth another try, and nothing has happened.
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
    """Conductor wouldn't look at the request now (a rate limit, a permission), or it was too late to send it."""


class OutcomeUnknown(ConductorError):
    """The call broke or timed out on its way, or Conductor failed over it: it may have taken effect, or still may."""


class NotThere(OutcomeUnknown):
    """What answers has no such call: it is no Conductor, another address of it, one that starts, or too old."""


class Garbled(OutcomeUnknown):
    """The answer can't be read: it isn't UTF-8, or too large, or it lacks what it must have."""


class BrokenOff(Garbled):
    """A search has met so many tasks that no page comes with that it ended early; it can go on where it ended."""

    def __init__(self, reached: int):
        """All tasks were read, or found to be unreadable, that started up to then by the server's clock."""
        super().__init__("many waiting tasks can't be read: the search goes on where it broke off")
        self.reached = reached


class Refused(ConductorError):
    """Conductor refuses this request for good: the same answer would come at every try."""


class NotFound(Refused):
    """Conductor doesn't know what the request names."""


def is_of_an_item(error: ConductorError) -> bool:
    """Whether a search may have failed so over one of the tasks that it was to show."""
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
        # A proxy or a server that is starting also says 404; Conductor says what it doesn't know.
        return NotFound if message and not message.startswith(_NO_SUCH_PATH) else NotThere
    if status in (405, 501) or message.startswith("Request method "):  # 405 in Conductor 3.32, 500 in 3.13
        return NotThere
    if status in _TRY_AGAIN:
        return NotNow
    if (400 <= status < 500 and status != 408) or _remedy(message):
        return Refused
    return OutcomeUnknown


_NO_SUCH_PATH = ("No static resource", "No message available")
"""What Spring says of a path that no call has; older ones say nothing."""

# Answers of 500 that would come at every try, as their texts begin or contain, and what we know of each.
_FINAL = (
    ("is greater than the permissible limit", "set BRIDGE_CONDUCTOR_PAYLOAD to what Conductor is set up for"),
    ("exceeds the maximum allowed", "the payload is beyond what Conductor's JSON parser takes"),
    ("unsupported Unicode escape sequence", "PostgreSQL, where Conductor stores, can't hold the character NUL"),
)


def _remedy(message: str) -> str:
    """Our words beside Conductor's, for an answer that will never change; empty for any other."""
    return next((f" ({words})" for part, words in _FINAL if part in message), "")


def _message(body: Any) -> str:
    try:
        return str(json.loads(body)["message"])[:500]
    except (KeyError, TypeError, ValueError):
        return ""
