"""The JSON objects about acknowledging events, and reopening them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, RootModel

from admin.api.base import ApiObject
from store.records import EventStatus


class Reason(ApiObject):
    """Why an event is acknowledged, or reopened."""

    reason: str = ""


class ToNote(Reason):
    """Which events to acknowledge, or to reopen: by their ids, or those that match."""

    event_ids: list[str] = Field(default_factory=list)
    webhook: str = ""
    status: EventStatus | Literal["unresolved", "resolved"] | None = None
    type: str = Field("", description="only of this type; with a final *, of the types that begin like it")
    text: str = Field("", description="only with this text in their id, delivery id or payload")
    where: str = Field("", description="only where $.path=value holds; one condition per line")
    failure: str = Field("", description="only failed events with this reason")
    since: str = Field("", description="only those of this time or later: 2h, or ISO 8601")
    until: str = Field("", description="only those before this time")
    dry_run: bool = Field(False, description="only say what would happen")


class Notes(ApiObject):
    """Events that were acknowledged or reopened."""

    chosen: int = Field(description="events that match")
    webhooks: dict[str, int] = Field(description="webhook → events that were acknowledged, or reopened")
    changed: int
    left_out: dict[str, int] = Field(description="reason → events that weren't")


class NotePlan(ApiObject):
    """What would be acknowledged or reopened."""

    chosen: int = Field(description="events that match")
    by_webhook: dict[str, dict[str, int]] = Field(description="webhook → status → events that would be")
    left_out: dict[str, int] = Field(description="reason → events that wouldn't be")
    to_confirm: list[str] = Field(description="why it needs --yes; empty if it doesn't")


class NotesOrPlan(RootModel[Notes | NotePlan]):
    """What was done; with `dryRun` what would be."""
