"""Which of a webhook's events are stored: those for which `only` holds, and that fit the `schema`."""

from __future__ import annotations

import json
from typing import NamedTuple

from config import json_schemas
from config.payload_keys import SchemaFile
from config.webhooks import Webhook
from criteria.conditions import Conditions
from criteria.descriptions import describe_criterion
from store.hiding import hidden, shown_steps
from store.records import NewEvent, document_of

_LONGEST_REASON = 300


class Misfit(Exception):
    """A payload doesn't fit the schema; the text, for its sender, names the place and the rule, but no value."""

    def __init__(self, text: str, reason: str):
        """`reason`: the same for people, who don't see what is hidden."""
        super().__init__(text)
        self.reason = reason


class Selected(NamedTuple):
    """What is stored of a delivery, and in words why the rest isn't."""

    events: list[NewEvent]
    filtered: list[str]
    """For each event for which `only` doesn't hold, its first condition that doesn't."""
    misfits: list[str]
    """For each that doesn't fit the `schema`, the place and the rule."""


class Selection:
    """Which of one webhook's events are stored. No reason says anything of what its `hide` names."""

    def __init__(self, webhook: Webhook):
        self._only = Conditions.parse(webhook.only) if webhook.only else None
        self._schema = webhook.payload_schema
        self._hide = webhook.hide

    def of(self, events: list[NewEvent]) -> Selected:
        """Raises Misfit for the first that doesn't fit the schema, unless the definition says `else: keep`."""
        filtered: list[str] = []
        misfits: list[str] = []
        if self._only is not None:
            events = [event for event in events if self._holds(self._only, event, filtered)]
        if self._schema is not None:
            several = len(events) > 1
            events = [
                event
                for number, event in enumerate(events, 1)
                if self._fits(self._schema, event, f" of event {number}" if several else "", misfits)
            ]
        return Selected(events, filtered, misfits)

    def _holds(self, only: Conditions, event: NewEvent, reasons: list[str]) -> bool:
        document = document_of(event)
        if only.holds(document):
            return True
        explained = hidden(only.explain(document), document, self._hide)
        reason = next(describe_criterion(criterion) for criterion in explained if not criterion.holds)
        reasons.append(reason if len(reason) <= _LONGEST_REASON else reason[:_LONGEST_REASON] + "…")
        return False

    def _fits(self, schema: SchemaFile, event: NewEvent, which: str, reasons: list[str]) -> bool:
        misfit: json_schemas.Misfit | None
        if schema.compiled is None:  # a rule that can't be applied lets nothing through
            misfit = json_schemas.Misfit((), "its file can't be used")
        elif (misfit := schema.compiled.misfit(json.loads(event.payload))) is None:
            return True
        place = shown_steps(self._hide, misfit.place)
        shown = misfit if place is None else json_schemas.Misfit(tuple(place), "a rule about what is hidden")
        begin = f"the payload{which} doesn't fit the schema: "
        if schema.else_ != "keep":
            raise Misfit(f"{begin}{misfit}", f"{begin}{shown}")
        reasons.append(f"{begin}{shown}")
        return False
