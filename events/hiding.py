"""Blanks what a webhook's `hide` names, wherever people look: never for Conductor."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from config.jsonpath import blank, compile_path
from events.matches import Criterion
from events.records import Event

BLANK = "***"


def masked(event: Event, hide: Sequence[str]) -> Event:
    """The event with each value at these JSONPaths blanked: in payload, headers and query."""
    if not hide:
        return event
    shown = _masked(event.document(), hide)
    about = shown.pop("_webhook", None)
    about = about if isinstance(about, dict) else {"headers": BLANK, "query": BLANK}
    return replace(
        event,
        payload=json.dumps(shown, ensure_ascii=False),
        headers=_of(event.headers, about.get("headers")),
        query=_of(event.query, about.get("query")),
    )


def hidden(criteria: Iterable[Criterion], document: Mapping[str, Any], hide: Sequence[str]) -> tuple[Criterion, ...]:
    """The criteria, without the values that were found where something is hidden."""
    if not hide:
        return tuple(criteria)
    shown = _masked(json.loads(json.dumps(document)), hide)
    return tuple(
        criterion
        if compile_path(criterion.path)(shown) == criterion.found
        else replace(criterion, found=[BLANK] * len(criterion.found))
        for criterion in criteria
    )


def _masked(document: Any, hide: Sequence[str]) -> dict[str, Any]:
    for path in hide:
        try:
            document = blank(document, path, BLANK)
        except Exception:  # what can't be blanked exactly is not shown at all
            document = BLANK
    return document if isinstance(document, dict) else {"hidden": BLANK}


def _of(values: Mapping[str, Any], shown: Any) -> dict[str, Any]:
    return dict(shown) if isinstance(shown, dict) else dict.fromkeys(values, BLANK)
