"""Which of a webhook's events are stored, and the answer that the definition's `respond` sets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from config.target_keys import Respond
from criteria.conditions import Conditions
from criteria.descriptions import describe_criterion
from platforms.http import Response
from store.documents import document_of
from store.hiding import hidden
from store.records import NewEvent

_LONGEST_REASON = 300


class Filter:
    """The conditions of `only`."""

    def __init__(self, conditions: Mapping[str, Any], hide: Sequence[str] = ()):
        """`hide`: JSONPaths of values that must not appear in a reason."""
        self._conditions = Conditions.parse(conditions)
        self._hide = hide

    def sort(self, events: Sequence[NewEvent]) -> tuple[list[NewEvent], list[str]]:
        """The events for which all conditions hold, and for each of the others the first condition that doesn't, in
        words."""
        kept: list[NewEvent] = []
        reasons: list[str] = []
        for event in events:
            document = document_of(event)
            if self._conditions.holds(document):
                kept.append(event)
            else:
                explained = hidden(self._conditions.explain(document), document, self._hide)
                reason = next(describe_criterion(criterion) for criterion in explained if not criterion.holds)
                reasons.append(reason if len(reason) <= _LONGEST_REASON else reason[:_LONGEST_REASON] + "…")
        return kept, reasons


def configured_response(respond: Respond) -> Response:
    """The answer that `respond` gives to every accepted or filtered delivery."""
    is_text = isinstance(respond.body, str)
    body = respond.body if is_text else json.dumps(respond.body)
    content_type = respond.content_type or ("text/plain; charset=utf-8" if is_text else "application/json")
    if not body:
        return Response(respond.status, b"", respond.content_type)
    return Response(
        respond.status, body.encode("utf-8", "replace"), content_type, (("X-Content-Type-Options", "nosniff"),)
    )
