"""The JSON objects of the list of events, and of failures in groups."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from admin.api.base import ApiObject, Time
from admin.api.objects import Event
from admin.events.descriptions import StatusContext, describe_effects, describe_status
from store import records


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
