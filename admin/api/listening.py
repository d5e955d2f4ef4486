"""The JSON objects of what `webhook-bridge listen` asks for."""

from __future__ import annotations

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
    deliveries: list[RawDelivery]
