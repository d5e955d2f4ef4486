"""Why calls failed, without what differs from one call to the next: the same reason for the same cause."""

from __future__ import annotations

import re

UNKNOWN = "no reason is known"
_LONGEST = 200
_VARIABLE = re.compile(
    r"""[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}  # a UUID
      | \b(?=[\w-]*\d)[\w-]{6,}\b                                                    # an id with a digit in it
      | \b\d+(?:[.,:]\d+)*\b                                                         # a number, or a time
    """,
    re.VERBOSE,
)


def reason_of(error: str | None) -> str:
    """The error with ``…`` for ids and numbers, on one line."""
    if not error or not error.strip():
        return UNKNOWN
    text = _VARIABLE.sub("…", " ".join(error[: 4 * _LONGEST].split()))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
