"""An event's summary, for lists: its type, and a few values. Made once, when it arrives.

A platform declares where they are (`platforms.summary`). Where it doesn't, or where nothing is
found, the first fields are taken. Only what the delivery's proof lets into the payload counts,
never a header, and nothing that `hide` names: not what it names when the event arrives, and not
what it names when somebody looks (`store.hiding.masked`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from operator import attrgetter
from typing import Any

import structlog

from config.logs import visible
from criteria.jsonpath import plain_steps
from platforms.base import Platform
from platforms.summary import SummaryPart, Value
from store.hiding import Hidden, may_hide

log = structlog.get_logger()

_LONGEST = 80
"""Characters of a value."""
_LONGEST_TYPE = 100
_ALL = 240
"""Characters of all values together."""
_TYPES = (
    "type",
    "event_type",
    "eventType",
    "event_name",
    "eventName",
    "event",
    "topic",
    "kind",
    "action",
    "object_kind",
)
"""Members that often say what kind of event it is, the likeliest first."""
_FIELDS = 3
"""Fields that are taken of an event whose platform declares none."""
_MEMBERS = 12
"""Members of an object among which they are looked for."""
_LOOKED_AT = 30
"""Members of all objects together."""
_LONGEST_NAME = 80
_NAME = re.compile(r"[^\W\d][\w-]*")
_SECRET = re.compile(
    r"secret|token|passw|pwd|signature|api.?key|private|auth|credential|cookie|session|card|cvc|cvv|iban|ssn",
    re.I,
)
_DULL = re.compile(r"(?:[Tt]imestamp|^time|_time|_at|At|[Vv]ersion)$")
_RANK = attrgetter("rank")
_ARRAY = "$.request"
"""Where a payload has the array that the body was."""


@dataclass(frozen=True, slots=True)
class _Place:
    rank: int
    """Which one of those that a platform declares."""
    path: str
    steps: tuple[str | int, ...]
    value: Value


_Places = Mapping[str | int, Sequence[_Place]]
"""By the first step: of a platform's dozens of places, most events have a few."""


class Summarizer:
    """Makes the summaries of one webhook's events."""

    def __init__(self, platform: Platform, hide: Hidden):
        """`hide`: JSONPaths of values that must not be shown; None for all."""
        self._hides_all = hide is None
        self._hide = known = tuple(hide or ())
        types, summary = tuple(platform.types), tuple(platform.summary)
        self._object = _places(types, "$", known), _places(summary, "$", known)
        element = f"{_ARRAY}[0]"
        self._element = _places(types, element, known), _places(summary, element, known)

    def summarize(self, value: Any) -> tuple[str | None, dict[str, str]]:
        """The type, and JSONPath → what is shown, of a delivery with this body. Never raises.

        If there is a type, the first path is where it is from.
        """
        try:
            return self._summarize(value)
        except Exception as error:  # a list that says less is better than a delivery that is lost
            log.error("an event has no summary", error=f"{type(error).__name__}: {error}")
            return None, {}

    def _summarize(self, value: Any) -> tuple[str | None, dict[str, str]]:
        if self._hides_all:
            return None, {}
        if isinstance(value, list) and value and isinstance(value[0], dict):
            kind, found = self._of_object(value[0], self._element, f"{_ARRAY}[0]")
            if len(value) > 1 and not may_hide(self._hide, _steps(_ARRAY)):
                found[_ARRAY] = f"and {len(value) - 1} more"
            return kind, found
        if isinstance(value, dict):
            return self._of_object(value, self._object, "$")
        return None, self._first_fields({"request": value}, "$")

    def _of_object(
        self, value: Mapping[str, Any], places: tuple[_Places, _Places], root: str
    ) -> tuple[str | None, dict[str, str]]:
        kind: str | None = None
        found: dict[str, str] = {}
        for place in _present(places[0], value):
            text = _shown(value, place, _LONGEST_TYPE)
            if text is not None:
                kind = found[place.path] = text
                break
        left = _ALL
        for place in _present(places[1], value):
            if left <= 0 or place.path in found:
                continue
            text = _shown(value, place, _LONGEST)
            if text is not None:
                found[place.path] = text
                left -= len(text)
        if not found:
            kind, found = self._usual_type(value, root)
            found |= self._first_fields(value, root, found)
        return kind, found

    def _usual_type(self, value: Mapping[str, Any], root: str) -> tuple[str | None, dict[str, str]]:
        for name in _TYPES:
            found = value.get(name)
            if not isinstance(found, str) or not 0 < len(found) <= _LONGEST_TYPE:
                continue
            if _field(self._hide, root, None, name) is not None:
                kind = visible(found)
                return kind, {f"{root}.{name}": kind}
        return None, {}

    def _first_fields(
        self, value: Mapping[str, Any], root: str, without: Collection[str] = ()
    ) -> dict[str, str]:
        """Path → ``name=value`` of the first members, and of those of objects in it, that may be
        shown."""
        found: dict[str, str] = {}
        for outer, name, item in _members(value):
            text = None if type(item) is bool else _text(item)
            if not text:
                continue
            field = _field(self._hide, root, outer, name)
            if field is not None and f"{root}.{field}" not in without:
                found[f"{root}.{field}"] = visible(f"{field}={_cut(text, _LONGEST)}")
                if len(found) == _FIELDS:
                    break
        return found


@lru_cache(maxsize=8192)
def _field(hide: tuple[str, ...], root: str, outer: str | None, name: str) -> str | None:
    """The steps to the member of this name, of the object itself or of one in it; None if it may
    not be shown.

    Cached: the events of a webhook mostly have the same members.
    """
    if not _may_be_shown(name) or (outer is not None and not _may_be_shown(outer)):
        return None
    dotted = name if outer is None else f"{outer}.{name}"
    return None if may_hide(hide, _steps(f"{root}.{dotted}")) else dotted


def _members(value: Mapping[str, Any]) -> Iterator[tuple[str | None, str, Any]]:
    """(Name of the object in it, name, value) of the first members: of the object, then of the
    objects that are among them."""
    left, inner = _LOOKED_AT, []
    for name, item in islice(value.items(), _MEMBERS):
        left -= 1
        if len(name) > _LONGEST_NAME:
            continue
        if isinstance(item, dict):
            inner.append((name, item))
        else:
            yield None, name, item
    for outer, members in inner:
        for name, item in islice(members.items(), min(_MEMBERS, left)):
            left -= 1
            if len(name) <= _LONGEST_NAME:
                yield outer, name, item


def _may_be_shown(name: str) -> bool:
    """Whether a member of this name may be shown: it can be written into a path, and sounds neither
    secret nor dull."""
    return _NAME.fullmatch(name) is not None and not _SECRET.search(name) and not _DULL.search(name)


@lru_cache(maxsize=1024)
def _places(declared: tuple[SummaryPart, ...], root: str, hide: tuple[str, ...]) -> _Places:
    """Where the declared values are, of those that may be shown. Cached: many webhooks are of one
    platform."""
    found: dict[str | int, list[_Place]] = {}
    for rank, one in enumerate(declared):
        value = Value(one) if isinstance(one, str) else one
        steps = _steps(value.path)
        path = root + value.path.removeprefix("$")
        if not may_hide(hide, _steps(path)):
            found.setdefault(steps[0], []).append(_Place(rank, path, steps, value))
    return found


def _present(places: _Places, value: Mapping[str, Any]) -> list[_Place]:
    """Those of which the object has the first member, as they are declared."""
    found = [place for member in places.keys() & value.keys() for place in places[member]]
    return sorted(found, key=_RANK)


def _steps(path: str) -> tuple[str | int, ...]:
    steps = plain_steps(path)
    if steps is None:
        raise ValueError(f"{path} isn't a path of members and indexes")
    return steps


def _shown(value: Any, place: _Place, longest: int) -> str | None:
    for step in place.steps:
        if isinstance(step, str):
            if not isinstance(value, dict):
                return None
            value = value.get(step)
        elif not isinstance(value, list) or not -len(value) <= step < len(value):
            return None
        else:
            value = value[step]
        if value is None:
            return None
    if place.value.word is not None:
        return place.value.word
    text = _text(value)
    if not text:
        return None
    return visible(place.value.before + _cut(text.removeprefix(place.value.without), longest))


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        if len(value) <= _LONGEST:
            return value.strip()
        return value[: 2 * _LONGEST].strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) or (isinstance(value, int) and value.bit_length() < 128):
        return str(value)
    return None


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    return text[: longest - 1] + "…"
