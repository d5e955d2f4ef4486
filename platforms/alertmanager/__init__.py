"""Prometheus Alertmanager."""

from typing import Any

from platforms.base import Platform
from platforms.verifiers import Bearer


# https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
class Alertmanager(Platform):
    name = "alertmanager"
    title = "Prometheus Alertmanager"
    purpose = "alerts firing and resolved"
    types = ("$.status",)
    summary = (
        "$.commonLabels.alertname",
        "$.groupLabels.alertname",
        "$.commonLabels.severity",
        "$.commonAnnotations.summary",
    )
    made_by = "us"
    secret_label = "Bearer token"
    verifier = Bearer()

    def may_come_again(self, value: Any) -> bool:
        """A notification does while its alert fires."""
        return True


PLATFORM = Alertmanager()
