"""Checkout.com. The secret is the workflow action's signature key."""

from platforms.base import Platform
from platforms.verifiers import Hmac


# https://www.checkout.com/docs/workflows/set-up-your-webhook-receiver
class CheckoutCom(Platform):
    name = "checkout-com"
    title = "Checkout.com"
    purpose = "payments approved, captured, refunded or disputed"
    types = ("$.type",)
    summary = ("$.data.reference", "$.data.amount", "$.data.currency", "$.data.id")
    made_by = "us"
    secret_label = "Signature key"
    verifier = Hmac(header="Cko-Signature")
    id_at = ("id",)


PLATFORM = CheckoutCom()
