"""Grafana Alerting: the contact point *Webhook*, with an HMAC signature."""

from platforms.base import Platform
from platforms.verifiers import Hmac, Timestamp


# https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/#hmac-signature
class Grafana(Platform):
    name = "grafana"
    title = "Grafana"
    purpose = "alerts firing and resolved"
    types = ("$.status",)
    summary = ("$.title",)
    made_by = "us"
    verifier = Hmac(
        header="X-Grafana-Alerting-Signature",
        signed="{timestamp}:{body}",
        timestamp=Timestamp("X-Grafana-Alerting-Timestamp"),
    )
    tolerance = 300


PLATFORM = Grafana()
