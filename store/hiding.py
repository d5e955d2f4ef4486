"""Blanks the values that a webhook's `hide` names wherever people see them, but never for
Conductor.

`hide` is a list of JSONPaths, or None if it is no longer known what to hide: then nothing of a
payload is shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any

from criteria.document import Document, Payload
from criteria.jsonpath import blank, plain_steps
from criteria.matches import Criterion
from store.records import Event, Target

BLANK = "***"
Hidden = Sequence[str] | None
"""JSONPaths of values that are never shown; None hides everything."""


def masked(event: Event, hide: Hidden) -> Event:
    """The event with each value at these JSONPaths blanked in payload, headers, query and claims,
    and left out of its summary. The delivery id is blanked too: it may be such a value, or a digest
    against which guesses can be tested.
    """
    event = _without_hidden_parts(event, hide)
    if hide is None:
        return replace(
            event,
            payload=json.dumps({"hidden": BLANK}),
            headers=dict.fromkeys(event.headers, BLANK),
            query=dict.fromkeys(event.query, BLANK),
            claims=None if event.claims is None else dict.fromkeys(event.claims, BLANK),
            enclosing=None if event.enclosing is None else dict.fromkeys(event.enclosing, BLANK),
            delivery_id=BLANK if event.delivery_id is not None else None,
        )
    if not hide:
        return event
    try:
        document = event.document()
    except ValueError:  # nobody can say where in it the hidden values are
        return masked(event, None)
    shown = _masked(document, hide)
    about = shown.pop("_webhook", None)
    about = (
        about
        if isinstance(about, dict)
        else {"headers": BLANK, "query": BLANK, "claims": BLANK, "enclosing": BLANK}
    )
    return replace(
        event,
        payload=json.dumps(shown, ensure_ascii=False),
        headers=_of(event.headers, about.get("headers")),
        query=_of(event.query, about.get("query")),
        claims=None if event.claims is None else _of(event.claims, about.get("claims")),
        enclosing=None if event.enclosing is None else _of(event.enclosing, about.get("enclosing")),
        delivery_id=BLANK if event.delivery_id is not None else None,
    )


def masked_target(target: Target, hide: Hidden) -> Target:
    """The target without its correlation id, if that is a message's key: a value of the payload."""
    return (
        target if hide == () or target.kind != "message" else replace(target, correlation_id=BLANK)
    )


def masked_in_list(event: Event, hide: Hidden) -> Event:
    """The same for an event that was read without its payload, or whose payload isn't shown."""
    event = _without_hidden_parts(event, hide)
    if hide == () or event.delivery_id is None:
        return event
    return replace(event, delivery_id=BLANK)


def _without_hidden_parts(event: Event, hide: Hidden) -> Event:
    """The event without hidden values in its summary: `hide` may have changed since it arrived."""
    if hide == ():
        return event
    if not event.summary_parts:
        return event if event.type is None else replace(event, type=None)
    shown = {
        path: text
        for path, text in event.summary_parts.items()
        if hide is not None
        and (steps := plain_steps(path)) is not None
        and not may_hide(hide, steps)
    }
    type_is_from = next(iter(event.summary_parts))
    return replace(event, summary_parts=shown, type=event.type if type_is_from in shown else None)


def may_hide(hide: Sequence[str], steps: Sequence[str | int]) -> bool:
    """Whether one of these paths may select the text or number at these steps, an object or array
    around it, or, if the text is JSON that wasn't decoded, something in it."""
    return any(_may_select(_parts(path), steps) for path in hide)


def shown_steps(hide: Hidden, steps: Sequence[str | int]) -> Sequence[str | int] | None:
    """The steps that may be shown of a place, up to what is hidden; None if nothing on the way to
    it is."""
    for length in range(len(steps) + 1):
        if hide is None or any(_may_select(_parts(path), steps[:length], False) for path in hide):
            return steps[:length]
    return None


_PART = re.compile(
    r"""(?P<deep>\.\.)?(?:
        \.?(?P<name>[^\W\d][\w-]*) | \[\s*'(?P<single>[^'\\]*)'\s*\] | \[\s*"(?P<double>[^"\\]*)"\s*\]
        | \.?\* | \[\s*(?:\*|-?\d+)\s*\] )""",
    re.VERBOSE,
)
"""A step of a path: a member, every member (``*``), or an index, which stands for all of them.
``..``: at any depth."""


@lru_cache(maxsize=1024)
def _parts(path: str) -> tuple[tuple[bool, str | None], ...] | None:
    """(at any depth, member or None for all) of each step; None for a path that has others, such as
    filters."""
    text, position = path.strip(), 1
    found: list[tuple[bool, str | None]] = []
    while position < len(text):
        part = _PART.match(text, position)
        if part is None:
            return None
        position = part.end()
        names = [name for name in part.group("name", "single", "double") if name is not None]
        found.append((part["deep"] is not None, names[0] if names else None))
    return tuple(found) if text.startswith("$") else None


def _may_select(
    parts: Sequence[tuple[bool, str | None]] | None,
    steps: Sequence[str | int],
    in_text: bool = True,
) -> bool:
    """`in_text`: whether there may be a text at these steps, which holds what the path leads to."""
    if parts is None or not parts:
        return True
    (deep, name), rest = parts[0], parts[1:]
    for place, step in enumerate(steps if deep else steps[:1]):
        if name is None or name == step:
            left = steps[place + 1 :]
            if not rest or (
                _may_select(rest, left, in_text)
                if left
                else in_text and name is not None and not rest[0][0]
            ):
                return True
    return False


def hidden(criteria: Iterable[Criterion], payload: Payload, hide: Hidden) -> tuple[Criterion, ...]:
    """The criteria, with found and expected values blanked where something is hidden."""
    return Veiled(Document.of(payload), hide).criteria(criteria)


class Veiled:
    """A payload as people may see it: what is hidden at a path is found out once."""

    def __init__(self, document: Document, hide: Hidden):
        self.document = document
        self.hide = hide
        self._hides: dict[str, bool] = {}

    @cached_property
    def shown(self) -> Document:
        """The document with each value at these JSONPaths blanked; the same if nothing is hidden."""
        if self.hide is None:
            return Document({}, self.document.steps)
        if not self.hide:
            return self.document
        copy = json.loads(json.dumps(self.document.value))
        return Document(_masked(copy, self.hide), self.document.steps)

    def criteria(self, criteria: Iterable[Criterion]) -> tuple[Criterion, ...]:
        """The criteria, with found and expected values blanked where something is hidden. Raises
        TooCostly if the document's steps don't suffice."""
        return tuple(map(self._criterion, criteria))

    def _criterion(self, criterion: Criterion) -> Criterion:
        path = criterion.path
        if path not in self._hides:
            self._hides[path] = self._touches(path)
        if not self._hides[path]:
            return criterion
        return replace(criterion, found=[BLANK] * len(criterion.found), expected=BLANK, hidden=True)

    def _touches(self, path: str) -> bool:
        """Whether the path is about something hidden, whether or not the document has it."""
        if not self.hide:
            return self.hide is None
        found = self.document.found(path)
        if self.shown.found(path) != found:
            return True
        # A missing value can't tell, so the paths themselves are compared.
        return not found and any(_may_meet(path, other) for other in self.hide)


def may_be_hidden(path: str, hide: Hidden) -> bool:
    """Whether the path may select something hidden, or something that contains it, in any
    document."""
    return hide is None or any(_may_meet(path, other) for other in hide)


def _may_meet(path: str, other: str) -> bool:
    """Whether two paths may select the same value, or one a value inside the other's."""
    one, two = _steps(path.strip()), _steps(other.strip())
    if one is None or two is None:
        return True
    # An index may count from the end.
    return all(
        a == b or a is None or b is None or (isinstance(a, int) and isinstance(b, int))
        for a, b in zip(one, two, strict=False)
    )


def _steps(path: str) -> tuple[str | int | None, ...] | None:
    """The members and indexes of a path, None for each ``[*]``; None if it has anything else."""
    if (steps := plain_steps(path)) is not None:
        return steps
    first, *others = path.split("[*]")
    parts = [plain_steps(first), *(plain_steps(f"${part}") for part in others)]
    found: list[str | int | None] = []
    for part in parts:
        if part is None:
            return None
        found += [*part, None]
    return tuple(found[:-1])


def _masked(document: Any, hide: Sequence[str]) -> dict[str, Any]:
    """Blanks in the payload, in the query, which may be merged into it, and, if it is an element of
    a split one, in what surrounds it."""
    for path in hide:
        try:
            about = document.get("_webhook")
            for part in ("query", "enclosing"):
                if isinstance(about, dict) and part in about:
                    about[part] = blank(about[part], path, BLANK)
            document = blank(document, path, BLANK)
        except Exception:  # if it can't be blanked exactly, nothing is shown
            document = {"hidden": BLANK}
    return document if isinstance(document, dict) else {"hidden": BLANK}


def _of(values: Mapping[str, Any], shown: Any) -> dict[str, Any]:
    return dict(shown) if isinstance(shown, dict) else dict.fromkeys(values, BLANK)
