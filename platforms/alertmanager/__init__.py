"""Prometheus Alertmanager."""

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
    # A notification that is repeated while an alert fires is the same to the byte as the first.
    alike = True


PLATFORM = Alertmanager()
