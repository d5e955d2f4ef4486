"""The JSON objects about acknowledging events, and reopening them."""

from __future__ import annotations

from pydantic import Field, RootModel

from admin.api.base import ApiObject
from admin.api.queries import Parts


class Reason(ApiObject):
    """Why an event is acknowledged, or reopened."""

    reason: str = ""


class ToNote(Reason, Parts):
    """Which events to acknowledge, or to reopen: by their ids, or those that match."""

    event_ids: list[str] = Field([], description="instead of a filter")
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
