"""What paths into `_webhook` can select: each event has the same members there."""

from __future__ import annotations

from criteria.jsonpath import plain_steps
from criteria.suggestions import did_you_mean

MEMBERS = ("name", "eventId", "receivedAt", "headers", "query", "claims", "enclosing")
"""All that `store.documents` may put there."""


def leads_into_metadata(path: str) -> bool:
    """Whether a path, with or without ``$``, begins with ``_webhook``."""
    return _steps(path)[:1] == ("_webhook",)


def why_nothing(path: str) -> tuple[str, str] | None:
    """Why a path selects nothing in any event's `_webhook`, and the remedy; None if it may select something."""
    steps = _steps(path)
    if len(steps) < 2 or steps[0] != "_webhook":
        return None
    member = steps[1]
    if member not in MEMBERS:
        return f"`_webhook` has no {member}, so the path selects nothing", did_you_mean(str(member), MEMBERS)
    name = steps[2] if member == "headers" and len(steps) > 2 else ""
    if isinstance(name, str) and name != name.lower():
        return (
            f"header names are in lower case in `_webhook.headers`, so {name} selects nothing",
            f"write $._webhook.headers['{name.lower()}']",
        )
    return None


def _steps(path: str) -> tuple[str | int, ...]:
    path = path.strip()
    return plain_steps(path if path.startswith("$") else f"$.{path}") or ()
