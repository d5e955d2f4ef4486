"""Which events fit the webhook's `schema`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from config.shaping import SchemaFile
from store.records import NewEvent


class Misfit(Exception):
    """A payload doesn't fit the schema; the text names the place and the rule, but no value."""


class Fitting:
    """The `schema` of one webhook."""

    def __init__(self, schema: SchemaFile):
        self._schema = schema.compiled
        self._keeps = schema.else_ == "keep"

    def sort(self, events: Sequence[NewEvent]) -> tuple[list[NewEvent], list[str]]:
        """The events that fit, and why each of the others doesn't.

        Raises Misfit for the first that doesn't, unless the definition says `else: keep`.
        """
        fitting: list[NewEvent] = []
        reasons: list[str] = []
        for number, event in enumerate(events, 1):
            # Without a schema nothing fits: a definition's rule that can't be applied lets nothing through.
            misfit = (
                "its file can't be used" if self._schema is None else self._schema.misfit(json.loads(event.payload))
            )
            if misfit is None:
                fitting.append(event)
                continue
            of = f" of event {number}" if len(events) > 1 else ""
            reason = f"the payload{of} doesn't fit the schema: {misfit}"
            if not self._keeps:
                raise Misfit(reason)
            reasons.append(reason)
        return fitting, reasons
