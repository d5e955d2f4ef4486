"""Why a path selects nothing in a document, where that can be told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

from criteria.jsonpath import plain_steps
from criteria.suggestions import did_you_mean

MEMBERS = ("name", "eventId", "receivedAt", "headers", "query", "claims", "enclosing")
"""All that `store.records` may put into `_webhook`."""
_NAME = re.compile(r"[A-Za-z_]\w*")
_COMPARED = 1000
"""Keys of one object among which a similar one is looked for."""
_AS_JSON = ", but looks like JSON: have its sender say Content-Type: application/json"


def why_missing(path: str, document: Mapping[str, Any]) -> str:
    """Why a path into an event's payload (with `_webhook`) selects nothing: empty if there is no
    more to say than that something isn't there, and for paths that may select several values."""
    never = why_nothing(path)
    if never is not None:
        return "; ".join(never)
    steps = plain_steps(path.strip()) or ()
    value: Any = document
    for number, step in enumerate(steps):
        if isinstance(value, dict) and isinstance(step, str):
            if step not in value:
                return _without_key(step, value, _path(steps[:number]))
        elif not isinstance(value, list) or isinstance(step, str):
            return _neither(value, _path(steps[:number]))
        elif not -len(value) <= step < len(value):
            return (
                f"{_path(steps[:number])} has {len(value)} element{'' if len(value) == 1 else 's'}"
            )
        value = value[step]
    return ""


def why_nothing(path: str) -> tuple[str, str] | None:
    """Why a path selects nothing in any event's `_webhook`, and the remedy; None if it may select
    something."""
    steps = plain_steps(path.strip()) or ()
    if len(steps) < 2 or steps[0] != "_webhook":
        return None
    member = steps[1]
    if member not in MEMBERS:
        return f"`_webhook` has no {member}, so the path selects nothing", did_you_mean(
            str(member), MEMBERS
        )
    name = steps[2] if member == "headers" and len(steps) > 2 else ""
    if isinstance(name, str) and name != name.lower():
        return (
            f"header names are in lower case in `_webhook.headers`, so {name} selects nothing",
            f"write $._webhook.headers['{name.lower()}']",
        )
    return None


def _path(steps: tuple[str | int, ...]) -> str:
    return "$" + "".join(map(_segment, steps))


def _segment(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if _NAME.fullmatch(step) else f"['{step}']"


def _without_key(key: str, value: Mapping[str, Any], place: str) -> str:
    if len(value) <= _COMPARED:
        similar = next((other for other in value if other.lower() == key.lower()), None)
        if similar is not None:
            return f"{'the payload' if place == '$' else place} has {similar}, and case counts"
    return _of_whole_body(value) if place == "$" else ""


def _of_whole_body(payload: Mapping[str, Any]) -> str:
    """Why a body was read otherwise than somebody expected."""
    names = {name for name in islice(payload, _COMPARED) if name != "_webhook"}
    if any(map(_looks_like_json, names)):
        return f"the body was sent as a form{_AS_JSON}"
    body = payload["request"] if names == {"request"} else None
    if isinstance(body, list):
        return (
            "the body is a list, which is at $.request; `split` makes each of its elements an event"
        )
    if isinstance(body, str):
        return (
            "the body was sent as text, and is at"
            f" $.request{_AS_JSON if _looks_like_json(body) else ''}"
        )
    return ""


def _looks_like_json(text: str) -> bool:
    return text.lstrip()[:1] in ("{", "[")


def _neither(value: Any, place: str) -> str:
    """Why a step leads nowhere in a value that isn't what it is a step into."""
    if isinstance(value, dict):
        return f"{place} is an object, not a list"
    if isinstance(value, list):
        return (
            f"{place} is a list: name an element, as in {place}[0], or all of them, as in"
            f" {place}[*]"
        )
    if isinstance(value, str) and _looks_like_json(value):
        return (
            f"{place} is a text that looks like JSON, which `decode` in the webhook's definition"
            " can read"
        )
    kind = {str: "a text", bool: "a boolean", type(None): "null"}.get(type(value), "a number")
    return f"{place} is {kind}"
