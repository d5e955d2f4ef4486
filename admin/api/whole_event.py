"""An event by itself in the API: with all of its targets, its payload, and what its status means."""

from __future__ import annotations

import json

from admin.api.objects import WholeEvent
from admin.bridge import Bridge
from admin.events.targets import EventTargets
from admin.explain.explainer import Explainer
from store.hiding import masked_target
from store.records import Event

_TASKS_READ = 50
"""Tasks that it is compared with, to say what its status means."""


def whole_event(bridge: Bridge, event: Event) -> WholeEvent:
    """The event as people may see it. Raises StoreUnavailable."""
    hide = bridge.hide(event.webhook)
    targets = [masked_target(one, hide) for one in bridge.store.queries.targets_of([event.id])]
    explained = Explainer(bridge).event(event, _TASKS_READ, EventTargets(targets))
    shown = bridge.shown(event)
    try:
        payload = json.loads(shown.payload)
    except ValueError:  # `explained` says that it can't be read
        payload = {}
    held_until = shown.hold_until if shown.hold != "no" else None
    only = str(shown.only) if shown.only is not None else None
    given = {"targets": targets, "held_until": held_until, "payload": payload, "only_target": only}
    return WholeEvent.of(shown, explained, **given)
