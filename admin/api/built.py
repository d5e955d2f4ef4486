"""The objects that are made from what the store holds: events, alone and in lists, failures, webhooks."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pydantic import Field

from admin.api.base import ApiObject, Time
from admin.api.objects import Event, Webhook, WholeEvent
from admin.bridge import DAY, Bridge
from admin.events.descriptions import StatusContext, describe_effects, describe_status
from admin.events.targets import EventTargets
from admin.explain.explainer import Explainer
from admin.urls import url_of
from store import records
from store.hiding import masked_target


class ListedEvent(Event):
    """An event in a list, with what happened in words."""

    type: str | None = Field(description="in the sender's words")
    summary: str = Field(description="what happened, beginning with the type; empty if nothing is known")
    status_in_words: str = Field(description="such as held until 12:31 UTC, or retrying (3 tries, next 12:02 UTC)")
    effects: str = Field(description="such as completed 2 tasks; empty if there are none")


def event_in_list(event: records.Event, targets: Sequence[records.Target], context: StatusContext) -> ListedEvent:
    """The event as people may see it in a list."""
    words = describe_status(event, targets, context)
    return ListedEvent.of(event, targets=list(targets), status_in_words=words, effects=describe_effects(targets))


class Failure(ApiObject):
    """Failed events of one webhook that have one reason."""

    webhook: str
    reason: str = Field(description="with … for ids and numbers; `failure` of GET /api/events takes it")
    number: int
    first_at: Time
    last_at: Time
    last_event: str


class Failures(ApiObject):
    """Failed events that are neither acknowledged nor resolved, by webhook and reason."""

    groups: list[Failure] = Field(description="the most frequent first")
    events: int = Field(description="failed events that were looked at")
    searched_to: Time | None = Field(description="when the oldest of these arrived, if there are more")


_TASKS_READ = 50
"""Tasks that it is compared with, to say what its status means."""


def whole_event(bridge: Bridge, event: records.Event) -> WholeEvent:
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


def webhooks_of(bridge: Bridge) -> list[Webhook]:
    """The webhooks in the order of their definitions. Raises StoreUnavailable."""
    verified, paused = bridge.verified_at(), bridge.store.pauses.paused()
    counts = bridge.store.queries.delivery_counts(bridge.store.now() - DAY)
    return [
        Webhook.of(
            webhook,
            url=url_of(webhook, bridge.settings),
            verified_at=verified.get(name),
            paused_at=paused.get(name),
            deliveries_last_day=counts.get(name, {}),
        )
        for name, webhook in bridge.definitions.by_name.items()
    ]
