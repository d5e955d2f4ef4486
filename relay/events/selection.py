"""Which of a webhook's events are stored: those for which `only` holds, and that fit the `schema`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from config import json_schemas
from config.webhooks import Webhook
from criteria.conditions import Conditions
from criteria.descriptions import describe_criterion
from relay.events.parser import FEW, SMALL
from relay.events.payload import PayloadTooLarge
from store.hiding import hidden, shown_steps
from store.records import NewEvent, document_of

LONGEST = 2.0
"""Seconds of CPU time after which no further event of a delivery is looked at."""
MOST_REASONS = 50
"""Reasons that are given for one delivery: no more of them are kept."""
_LONGEST_REASON = 300


class Misfit(Exception):
    """A payload doesn't fit the schema; the text, for its sender, names the place and the rule, but
    no value."""

    def __init__(self, text: str, reason: str):
        """`reason`: the same for people, who don't see what is hidden."""
        super().__init__(text)
        self.reason = reason


@dataclass
class LeftOut:
    """The events of a delivery that aren't stored."""

    number: int = 0
    reasons: list[str] = field(default_factory=list)
    """Why not, of the first `MOST_REASONS`."""

    def add(self, reason: Callable[[], str]) -> None:
        """Counts another one. `reason` says why; it isn't asked for all."""
        self.number += 1
        if len(self.reasons) < MOST_REASONS:
            self.reasons.append(reason())


class Selected(NamedTuple):
    """What is stored of a delivery, and what isn't."""

    events: list[NewEvent]
    filtered: LeftOut
    """For each event for which `only` doesn't hold, the reason is its first condition that
    doesn't."""
    misfits: LeftOut
    """For each that doesn't fit the `schema`, the place and the rule."""


class Selection:
    """Which of one webhook's events are stored. No reason says anything of what its `hide` names."""

    def __init__(self, webhook: Webhook):
        self._only = Conditions.parse(webhook.only) if webhook.only else None
        self._schema = webhook.payload_schema
        self._hide = webhook.hide

    def takes_long(self, events: Sequence[NewEvent]) -> bool:
        """Whether to evaluate these may keep others waiting."""
        is_needed = self._only is not None or self._schema is not None
        return is_needed and (
            len(events) > FEW or sum(len(event.payload) for event in events) > SMALL
        )

    def of(self, events: Sequence[NewEvent], known: Collection[str | None] = ()) -> Selected:
        """`known`: delivery ids of events that are stored already. They aren't evaluated again.

        Raises Misfit for the first event that doesn't fit the schema, unless the definition says
        `else: keep`, and PayloadTooLarge if it takes too long.
        """
        selected = Selected([], LeftOut(), LeftOut())
        until = time.thread_time() + LONGEST
        for number, event in enumerate(events, 1):
            if time.thread_time() > until:
                raise PayloadTooLarge(
                    f"{len(events)} events take too long to evaluate: send fewer at a time"
                )
            which = f" of event {number}" if len(events) > 1 else ""
            if event.delivery_id in known or self._is_wanted(event, which, selected):
                selected.events.append(event)
        return selected

    def _is_wanted(self, event: NewEvent, which: str, selected: Selected) -> bool:
        return self._holds(event, selected.filtered) and self._fits(event, which, selected.misfits)

    def _holds(self, event: NewEvent, filtered: LeftOut) -> bool:
        if self._only is None:
            return True
        only, document = self._only, document_of(event)
        if only.holds(document):
            return True
        filtered.add(lambda: self._why_not(only, document))
        return False

    def _why_not(self, only: Conditions, document: Mapping[str, Any]) -> str:
        explained = hidden(only.explain(document), document, self._hide)
        reason = next(
            describe_criterion(criterion) for criterion in explained if not criterion.holds
        )
        return reason if len(reason) <= _LONGEST_REASON else reason[:_LONGEST_REASON] + "…"

    def _fits(self, event: NewEvent, which: str, misfits: LeftOut) -> bool:
        schema = self._schema
        if schema is None:
            return True
        # A rule that can't be applied lets nothing through.
        misfit: json_schemas.Misfit | None = json_schemas.Misfit((), "its file can't be used")
        if schema.compiled is not None:
            misfit = schema.compiled.misfit(json.loads(event.payload))
        if misfit is None:
            return True
        place, shown = shown_steps(self._hide, misfit.place), misfit
        if place is not None:
            shown = json_schemas.Misfit(tuple(place), "a rule about what is hidden")
        begin = f"the payload{which} doesn't fit the schema: "
        if schema.else_ != "keep":
            raise Misfit(f"{begin}{misfit}", f"{begin}{shown}")
        misfits.add(lambda: f"{begin}{shown}")
        return False
