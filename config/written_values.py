"""What was hardly meant as it is written: a condition's number where a text is meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from config.yaml_lines import Located, Where
from criteria.equality import shortest_text


class Written(NamedTuple):
    """Something that was hardly meant as it is written."""

    webhook: int
    """The webhook's place in the list."""
    place: Where
    """Its place in the webhook."""
    what: str
    remedy: str


def find_unlike_text(document: Located) -> Iterator[Written]:
    """The conditions whose value is written unlike its shortest JSON text, which is the only text that it equals.

    ``1.10`` is the number 1.1: it equals the text ``1.1`` in a payload, but not ``1.10``.
    """
    for place, written in document.unlike_json.items():
        webhook, inside = _in_webhook(place)
        if not inside or not _is_compared(_after_path(inside)):
            continue
        value = document.value
        for part in place:
            value = value[part]
        text = shortest_text(value)
        kind = "boolean" if isinstance(value, bool) else "number"
        what = f"{written} is the {kind} {text}, which equals the text {text}, but not the text {written}"
        remedy = f'write "{written}", in quotes, if a text is meant, or else {text}'
        yield Written(webhook, inside, what, remedy)


def _in_webhook(place: Where) -> tuple[int, Where]:
    """The webhook's place in the list, and the place in the webhook; the latter is empty outside of webhooks."""
    if len(place) > 2 and place[0] == "webhooks" and isinstance(place[1], int):
        return place[1], place[2:]
    return 0, ()


def _after_path(place: Where) -> Where | None:
    """What leads from a condition's path to the value; None if the place isn't in a condition."""
    if place[0] == "only":
        return place[2:]
    if place[0] in ("starts", "messages") and place[2:3] == ("when",):
        return place[4:]
    return place[3:] if place[:2] == ("jwt", "claims") else None


def _is_compared(place: Where | None) -> bool:
    """Whether the value is compared with texts too: only ordering compares no number with a text, and neither do lists
    and objects."""
    while place and place[0] == "$not":
        place = place[1:]
    if not place:
        return place is not None
    return place in (("$eq",), ("$ne",)) or (place[0] in ("$in", "$nin") and len(place) == 2)
