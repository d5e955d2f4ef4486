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
from typing import Any, NamedTuple

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
    if _hides_nothing(hide):
        return event
    shown: dict[str, Any] = {"hidden": BLANK}
    if hide is not None:
        try:
            shown = _masked(event.document(), hide)
        except ValueError:  # nobody can say where in it the hidden values are
            hide = None
    about = shown.pop("_webhook", None)
    if not isinstance(about, dict):
        about = {}
    event = replace(
        masked_in_list(event, hide),
        payload=json.dumps(shown, ensure_ascii=False),
        headers=_blanked(event.headers, about.get("headers")),
        query=_blanked(event.query, about.get("query")),
    )
    if event.claims is not None:
        event = replace(event, claims=_blanked(event.claims, about.get("claims")))
    if event.enclosing is not None:
        event = replace(event, enclosing=_blanked(event.enclosing, about.get("enclosing")))
    return event


def masked_target(target: Target, hide: Hidden) -> Target:
    """The target without its correlation id, if that is a message's key: a value of the payload."""
    if target.kind != "message" or _hides_nothing(hide):
        return target
    return replace(target, correlation_id=BLANK)


def masked_in_list(event: Event, hide: Hidden) -> Event:
    """The same for an event that was read without its payload, or whose payload isn't shown."""
    if _hides_nothing(hide):
        return event
    parts = event.summary_parts or {}
    # `hide` may have changed since it arrived.
    shown = {path: text for path, text in parts.items() if not _is_hidden(path, hide)}
    type_is_shown = next(iter(parts), None) in shown
    return replace(
        event,
        summary_parts=shown if parts else event.summary_parts,
        type=event.type if type_is_shown else None,
        delivery_id=None if event.delivery_id is None else BLANK,
    )


def _hides_nothing(hide: Hidden) -> bool:
    return hide is not None and not hide


def _is_hidden(path: str, hide: Hidden) -> bool:
    """Whether the value at this path of a summary may be hidden."""
    if hide is None:
        return True
    steps = plain_steps(path)
    return steps is None or may_hide(hide, steps)


def may_hide(hide: Sequence[str], steps: Sequence[str | int]) -> bool:
    """Whether one of these paths may select the text or number at these steps, an object or array
    around it, or, if the text is JSON that wasn't decoded, something in it."""
    return any(_may_select(_parts(path), steps) for path in hide)


def shown_steps(hide: Hidden, steps: Sequence[str | int]) -> Sequence[str | int] | None:
    """The steps that may be shown of a place, up to what is hidden; None if nothing on the way to
    it is."""
    if hide is None:
        return ()
    paths = list(map(_parts, hide))
    for length in range(len(steps) + 1):
        if any(_may_select(parts, steps[:length], in_text=False) for parts in paths):
            return steps[:length]
    return None


class _Part(NamedTuple):
    """One step of a path."""

    is_deep: bool
    """At any depth, instead of right here."""
    name: str | None
    """The member; None for any."""


_PART = re.compile(
    r"""(?P<deep>\.\.)?(?:
        \.?(?P<name>[^\W\d][\w-]*) | \[\s*'(?P<single>[^'\\]*)'\s*\] | \[\s*"(?P<double>[^"\\]*)"\s*\]
        | \.?\* | \[\s*(?:\*|-?\d+)\s*\] )""",
    re.VERBOSE,
)
"""A step of a path: a member, every member (``*``), or an index, which stands for all of them.
``..``: at any depth."""


@lru_cache(maxsize=1024)
def _parts(path: str) -> tuple[_Part, ...] | None:
    """The steps of a path; None for a path that has others, such as filters."""
    text = path.strip()
    if not text.startswith("$"):
        return None
    position = 1
    found: list[_Part] = []
    while position < len(text):
        part = _PART.match(text, position)
        if part is None:
            return None
        position = part.end()
        names = [name for name in part.group("name", "single", "double") if name is not None]
        found.append(_Part(part["deep"] is not None, names[0] if names else None))
    return tuple(found)


def _may_select(
    parts: Sequence[_Part] | None, steps: Sequence[str | int], in_text: bool = True
) -> bool:
    """Whether a path of these parts may select the value at these steps, or one around it.

    With `in_text` also whether it may select something in that value, which may be a text that
    holds JSON.
    """
    if not parts:  # it can't be told, or selects everything
        return True
    part, rest = parts[0], parts[1:]
    reached = steps if part.is_deep else steps[:1]
    for place, step in enumerate(reached, start=1):
        if part.name is not None and part.name != step:
            continue
        if not rest:
            return True
        left = steps[place:]
        if left:
            may = _may_select(rest, left, in_text)
        else:
            may = in_text and part.name is not None and not rest[0].is_deep
        if may:
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
        if self.hide is None:
            return True
        if not self.hide:
            return False
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
    steps = plain_steps(path)
    if steps is not None:
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
            return {"hidden": BLANK}
    if not isinstance(document, dict):
        return {"hidden": BLANK}
    return document


def _blanked(values: Mapping[str, Any], shown: Any) -> dict[str, Any]:
    """What is `shown` of the values; if nothing is known of that, only their names."""
    if isinstance(shown, dict):
        return dict(shown)
    return dict.fromkeys(values, BLANK)
