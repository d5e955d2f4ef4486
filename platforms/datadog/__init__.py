"""Datadog: the webhooks integration."""

from typing import Any

from platforms.base import Platform, at
from platforms.http import Request
from platforms.verifiers import Bearer


# https://docs.datadoghq.com/integrations/webhooks/
class Datadog(Platform):
    name = "datadog"
    title = "Datadog"
    purpose = "monitors and events"
    types = ("$.event_type",)
    summary = ("$.title",)
    made_by = "us"
    secret_label = "Bearer token"
    verifier = Bearer()

    def delivery_id(self, request: Request, value: Any) -> str | None:
        return at(value, "id")


PLATFORM = Datadog()
