"""Razorpay."""

from typing import Any

from platforms.base import Platform, first_header
from platforms.http import Request
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

    def header_id(self, request: Request, value: Any) -> str | None:
        return first_header(request, "x-razorpay-event-id")


PLATFORM = Razorpay()
