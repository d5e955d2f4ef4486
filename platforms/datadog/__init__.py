"""Datadog: the webhooks integration."""

from platforms.base import Platform
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
    id_at = ("id",)


PLATFORM = Datadog()
