"""What a start with an `input` gives its workflow for an event, as people may see it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from admin.bridge import Bridge
from admin.events.event_or_sample import first_sample
from config.webhooks import Webhook
from criteria.inputs import InputTooLarge, filled, value_at
from criteria.jsonpath import plain_steps
from store.hiding import BLANK, Hidden, masked, may_be_hidden
from store.records import Event
from store.sql.event_search import EventFilter

_MOST = 200_000
"""Characters of an input that is shown."""

_LARGEST = 1_000_000
"""Characters of the payload of an event for which inputs are shown."""

Input = dict[str, Any] | str
"""The input, or why there is none to be shown."""


def input_shown(written: Mapping[str, Any], shown: Mapping[str, Any], hide: Hidden) -> Input:
    """The input for a document, given what may be shown of it: what `hide` names, or what depends on it, is blank."""

    def value_of(path: str) -> Any:
        if not may_be_hidden(path, hide):
            return value_at(path, shown)
        # A path through a hidden value finds nothing, and a filter may ask for it.
        found = value_at(path, shown) if hide is not None and plain_steps(path) is not None else None
        return BLANK if found is None else found

    try:
        found: dict[str, Any] = json.loads(filled(written, value_of, _MOST))
    except InputTooLarge:
        return "too large to be shown"
    return found


def in_lines(given: Input) -> str:
    """For people."""
    return given if isinstance(given, str) else json.dumps(given, indent=2, ensure_ascii=False)


@dataclass(frozen=True)
class StartInput:
    """What an entry of `starts` would give its workflow for an event."""

    workflow: str
    input: Input

    @property
    def text(self) -> str:
        """The input on several lines."""
        return in_lines(self.input)


def inputs_to_try(bridge: Bridge, webhook: Webhook) -> tuple[Event | None, list[StartInput]]:
    """What each entry of `starts` with an `input` would give its workflow, and for which event: the webhook's newest,
    or without one the first sample of its platform.

    None if no entry has an `input`, the event is too large or can't be read, or there is no sample either.
    """
    asked = [start for start in webhook.starts if start.input is not None]
    newest = bridge.events(EventFilter(webhook.name, limit=1)) if asked else []
    if newest:
        event = bridge.store.queries.events_up_to([newest[0].id], _LARGEST).get(newest[0].id)
        hide = bridge.hide(webhook.name)
    else:
        event, hide = first_sample(webhook) if asked else None, webhook.hide
    if event is None:
        return None, []
    shown = masked(event, hide)
    try:
        document = shown.document()
    except ValueError:
        return None, []
    return shown, [StartInput(one.workflow, input_shown(one.input or {}, document, hide)) for one in asked]
