"""Which of a webhook's events are stored: those for which `only` holds, and that fit the `schema`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from config import json_schemas
from config.payload_keys import SchemaFile
from criteria.conditions import Conditions
from criteria.descriptions import describe_criterion
from store.hiding import hidden, shown_steps
from store.records import NewEvent, document_of

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


class Misfit(Exception):
    """A payload doesn't fit the schema; the text, for its sender, names the place and the rule, but no value."""

    def __init__(self, text: str, reason: str):
        """`reason`: the same for people, who don't see what is hidden."""
        super().__init__(text)
        self.reason = reason


class SchemaCheck:
    """The `schema` of one webhook."""

    def __init__(self, schema: SchemaFile, hide: Sequence[str] = ()):
        """`hide`: JSONPaths of values about which a reason must say nothing."""
        self._schema = schema.compiled
        self._keeps = schema.else_ == "keep"
        self._hide = hide

    def sort(self, events: Sequence[NewEvent]) -> tuple[list[NewEvent], list[str]]:
        """The events that fit, and why each of the others doesn't.

        Raises Misfit for the first that doesn't, unless the definition says `else: keep`.
        """
        fitting: list[NewEvent] = []
        reasons: list[str] = []
        for number, event in enumerate(events, 1):
            # Without a schema nothing fits: a definition's rule that can't be applied lets nothing through.
            misfit = (
                json_schemas.Misfit((), "its file can't be used")
                if self._schema is None
                else self._schema.misfit(json.loads(event.payload))
            )
            if misfit is None:
                fitting.append(event)
                continue
            begin = f"the payload{f' of event {number}' if len(events) > 1 else ''} doesn't fit the schema: "
            reason = begin + str(self._shown(misfit))
            if not self._keeps:
                raise Misfit(f"{begin}{misfit}", reason)
            reasons.append(reason)
        return fitting, reasons

    def _shown(self, misfit: json_schemas.Misfit) -> json_schemas.Misfit:
        place = shown_steps(self._hide, misfit.place)
        return misfit if place is None else json_schemas.Misfit(tuple(place), "a rule about what is hidden")
