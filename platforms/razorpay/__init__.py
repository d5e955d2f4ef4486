"""Razorpay."""

from platforms.base import Platform
from platforms.verifiers import Hmac


# https://razorpay.com/docs/webhooks/validate-test/
class Razorpay(Platform):
    name = "razorpay"
    title = "Razorpay"
    purpose = "payments, refunds and subscriptions"
    types = ("$.event",)
    summary = ("$.payload.payment.entity.id", "$.payload.payment.entity.status", "$.payload.subscription.entity.id")
    made_by = "us"
    verifier = Hmac(header="X-Razorpay-Signature")
    id_headers = ("x-razorpay-event-id",)


PLATFORM = Razorpay()
