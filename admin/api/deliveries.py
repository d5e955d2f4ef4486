"""The JSON objects of deliveries as such: those that admins listen to, and those that left no event."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from admin.api.base import ApiObject, Time


class RawDelivery(ApiObject):
    """An accepted delivery as it came, without headers that are secrets."""

    id: int = Field(description="later deliveries of the webhook have a greater one")
    event_id: str = Field(description="the first event that it left")
    received_at: Time
    method: str
    query: str = Field(description="raw, as in the URL")
    headers: dict[str, str]
    body: str = Field(description="in base64")


class RawDeliveries(ApiObject):
    """The webhook's next deliveries, in order of arrival."""

    webhook: str
    next: int = Field(description="what to give as `after` for those that come next")
    missed: bool = Field(
        description="whether deliveries between the place that was asked for and the first of these are no longer kept"
    )
    deliveries: list[RawDelivery]


class WithoutEvent(ApiObject):
    """A line of ``events --follow --json`` for a delivery that left no event."""

    kind: Literal["rejected", "filtered", "duplicate"]
    webhook: str
    at: Time
    reason: str
    event_id: str | None = Field(description="the event that a duplicate repeats")
    remote: str | None
    method: str
