"""Paddle Billing. The secret is that of the notification destination."""

from platforms.base import Platform
from platforms.verifiers import TimedHmac


# https://developer.paddle.com/webhooks/signature-verification
class Paddle(Platform):
    name = "paddle"
    title = "Paddle"
    purpose = "transactions, subscriptions and customers"
    types = ("$.event_type",)
    summary = ("$.data.id", "$.data.status")
    secret_label = "Secret key"
    # https://developer.paddle.com/webhooks/respond-to-webhooks
    answer_within = 5
    verifier = TimedHmac(header="Paddle-Signature", scheme="h1", time="ts", separator=";", joint=":")
    mistaken_key = (r"pdl_(?!ntfset_)", "an API key, not the destination's secret key")
    # Paddle's libraries allow five seconds, which is less than clocks differ and deliveries wait.
    tolerance = 60
    id_at = ("event_id",)


PLATFORM = Paddle()
