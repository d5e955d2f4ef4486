"""What a failed call to Conductor means: what may have happened, and whether to try again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Nothing has happened, and a later try may succeed.
_TRY_AGAIN = frozenset((401, 403, 407, 421, 429))


class ConductorError(Exception):
    """A call to Conductor failed."""

    def __init__(self, message: str = "", status: int = 0, call: str = ""):
        """`status` is the answer's, 0 without one; `call` is the call, such as ``GET
        /tasks/{id}``."""
        super().__init__(message)
        self.status = status
        self.call = call
        self.workflow_id: str | None = None
        """The workflow that a message was for, if one was found."""


class NotSent(ConductorError):
    """Nothing has happened."""


class Unreachable(NotSent):
    """Conductor wasn't reached."""


class NotNow(NotSent):
    """Conductor wouldn't accept the request now (a rate limit, a permission), or it was too late to
    send it."""


class OutcomeUnknown(ConductorError):
    """The connection broke, the call timed out, or Conductor failed: the call may have taken
    effect, or still may."""


class NotThere(OutcomeUnknown):
    """The server has no such call: it isn't Conductor's API, or Conductor is starting, or is too
    old."""


class Garbled(OutcomeUnknown):
    """The answer can't be read: it isn't UTF-8, is too large, or lacks something required."""


class Refused(ConductorError):
    """Conductor refuses this request permanently: every try would get the same answer."""


class NotFound(Refused):
    """Conductor doesn't know what the request names."""


def is_of_an_item(error: ConductorError) -> bool:
    """Whether a poll may have failed because of a single task in its results."""
    return error.status == 500 or (isinstance(error, (Garbled, NotThere)) and not error.status)


def is_denied(error: ConductorError) -> bool:
    """Whether this server never allows the call: it doesn't have it, or refuses it, or the key may
    not make it."""
    return isinstance(error, (Refused, NotThere)) or error.status == 403


@contextmanager
def looking_up(what: str) -> Iterator[None]:
    """For a look-up that comes before a call: whatever fails, nothing has happened this time.
    `what` begins the text of the error."""
    try:
        yield
    except (NotSent, Refused):
        raise
    except ConductorError as error:
        raise NotNow(f"{what}: {error}", error.status) from error


def must_name(id_: str, error: NotFound) -> None:
    """Raises NotThere unless the answer names the id that was asked for: Conductor does, and others
    may be in between. Even then it proves only that whoever answered doesn't know the id."""
    if id_ not in str(error):
        raise NotThere(str(error), error.status, error.call) from error


def answered(status: int, reason: str | None, body: Any, call: str) -> ConductorError:
    """What a non-2xx answer to this call means; `call` is written as ``GET /tasks/{id}``."""
    message = _message(body)
    text = f"{status} {message or ' '.join((reason or '').split())}"
    if _kind(status, message) is NotThere:
        text += (
            f" ({call} isn't there: CONDUCTOR_SERVER_URL must end with /api, and the server may be"
            " too old)"
        )
    if status in (401, 403):
        text += f" ({call}: the key in CONDUCTOR_AUTH_KEY lacks the permission)"
    if _TOO_LARGE in message:
        text += " (set BRIDGE_CONDUCTOR_PAYLOAD to Conductor's own limit)"
    return _kind(status, message)(text, status, call)


def _kind(status: int, message: str) -> type[ConductorError]:
    if status == 404:
        # A gateway, or a server that is starting, also answers 404; Conductor names what it doesn't
        # know.
        return NotFound if _NO_SUCH_ITEM.match(message) else NotThere
    # 405 in Conductor 3.32, 500 in 3.13.
    if status in (405, 501) or message.startswith("Request method "):
        return NotThere
    if status in _TRY_AGAIN:
        return NotNow
    if (400 <= status < 500 and status != 408) or _TOO_LARGE in message:
        return Refused
    return OutcomeUnknown


_NO_SUCH_ITEM = re.compile("No such |(Task|Workflow) .*not found")
"""How Conductor's messages begin, and none of a gateway's: those are `Resource not found`, or `no
Route matched`."""

_TOO_LARGE = "is greater than the permissible limit"
"""In an answer of 500 that every try would get."""


def _message(body: Any) -> str:
    try:
        return str(json.loads(body)["message"])[:500]
    except (KeyError, TypeError, ValueError):
        return ""
