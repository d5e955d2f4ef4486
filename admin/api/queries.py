"""The queries that the API understands; without Flask, as the assistants' tools use them too."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from admin.api_object import ApiObject
from admin.events.filters import OfWebhook, Parts
from admin.explain.trials import Kind


def limited(default: int) -> Any:
    """The field for how many are wanted."""
    return Field(default, ge=1, le=1000, description="how many at most")


class OfEvents(Parts):
    before: str | None = Field(
        None, description="only those that arrived before the event with this id (for paging)"
    )
    limit: int = limited(50)


class OfTasks(ApiObject):
    workflow: str | None = Field(None, description="only of this workflow")
    after: str = Field("", description="only those after this task id (for paging)")
    broken: bool = Field(
        False, description="only those that no event can take, since their matches can't be used"
    )
    limit: int = limited(200)


class Most(ApiObject):
    limit: int = limited(200)


class MostEvents(ApiObject):
    limit: int = limited(20)


class OfRejections(OfWebhook):
    filtered: bool = Field(False, description="true: those that `only` filtered out")
    limit: int = limited(50)


class OfDeliveries(ApiObject):
    after: int | None = Field(
        None,
        ge=0,
        lt=10**18,
        description="those after the number that an earlier answer gave as next",
    )
    start: str | None = Field(
        None,
        alias="from",
        description="begin with: last, the id of an event, or how long ago, such as 2h",
    )


class ToFind(ApiObject):
    id: str = Field(description="whole; of a UUID the first eight or more characters are enough")


class ToTry(ApiObject):
    kind: Kind = Field("matches", description="what is being written")
    criteria: list[str] = Field(description="$.path=value; of once a path alone; may be repeated")

    @field_validator("criteria", mode="before")
    @classmethod
    def _several(cls, given: Any) -> Any:
        return [given] if isinstance(given, str) else given


class Reason(ApiObject):
    """Why an event is acknowledged, or reopened."""

    reason: str = ""


class ToNote(Reason, Parts):
    """Which events to acknowledge, or to reopen: by their ids, or those that match."""

    event_ids: list[str] = Field([], description="instead of a filter")
    dry_run: bool = Field(False, description="only say what would happen")
