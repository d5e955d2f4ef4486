"""The JSON objects of rejected deliveries, and of those that were kept."""

from __future__ import annotations

from typing import Any

from pydantic import AliasChoices, Field

from admin.api.base import ApiObject, Time
from admin.events.kept_rejections import Shown


class Rejection(ApiObject):
    """A delivery that was rejected, or that `only` filtered out."""

    webhook: str
    at: Time
    status: int
    reason: str
    remote: str | None
    method: str
    kept_id: str | None = Field(None, description="under which it can be verified again; only if it was kept")


class KeptRejection(ApiObject):
    """A rejected delivery that can be verified again."""

    kept_id: str = Field(validation_alias=AliasChoices("kept_id", "id"))
    webhook: str
    at: Time
    status: int
    reason: str = Field(description="why it was rejected when it arrived")
    still_rejected: str | None = Field(description="why it would be rejected now; null if it would be accepted")
    event_id: str | None = Field(description="the event that it has become")
    remote: str | None
    method: str
    size: int
    headers: dict[str, Any] = Field(description="without its signature")
    query: dict[str, Any]
    payload: dict[str, Any] | None = Field(description="null if the body can't be read, or must not be shown")


def kept_rejection(shown: Shown) -> KeptRejection:
    return KeptRejection.of(shown, shown.delivery)


class AcceptedRejection(ApiObject):
    """A rejected delivery that was accepted."""

    kept_id: str
    event_id: str
    duplicate: bool = Field(description="whether the event was there already")


class RetryOfMany(ApiObject):
    """A retry of rejected deliveries."""

    accepted: dict[str, int] = Field(description="webhook → deliveries that were, or would be, accepted")
    left_out: dict[str, int] = Field(description="reason → deliveries that weren't")
    event_ids: list[str] = Field(description="the first event of each delivery that was accepted")
