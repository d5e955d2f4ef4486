"""Google Cloud Pub/Sub push subscriptions with authentication."""

from types import MappingProxyType
from typing import Any

from platforms.base import Platform, at, within
from platforms.http import Request
from platforms.summary import Value
from platforms.verifiers.google import ServiceAccountToken


# https://docs.cloud.google.com/pubsub/docs/authenticate-push-subscriptions#validate_tokens
class GooglePubSub(Platform):
    name = "google-pubsub"
    title = "Google Cloud Pub/Sub"
    purpose = "messages of a topic, by push subscription"
    decode = MappingProxyType({"$.message.data": "base64-json"})
    types = (
        "$.message.attributes.eventType",
        "$.message.attributes.type",
        Value("$.message", word="message"),
    )
    summary = (
        Value("$.message.messageId"),
        Value("$.subscription", before="of "),
        "$.message.attributes.objectId",
    )
    made_by = "nobody"
    verifier = ServiceAccountToken("publish a message to the topic instead")
    required = frozenset({"audience", "service_account"})
    vendor_keys = True

    # https://docs.cloud.google.com/pubsub/docs/reference/rest/v1/PubsubMessage
    def delivery_id(self, request: Request, value: Any) -> str | None:
        """Ids are unique within their topic."""
        return within(at(value, "subscription"), at(value, "message", "messageId"))


PLATFORM = GooglePubSub()
