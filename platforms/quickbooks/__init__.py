"""QuickBooks Online. The secret is the app's verifier token."""

from platforms.base import Platform
from platforms.verifiers import Hmac


# https://developer.intuit.com/app/developer/qbo/docs/develop/webhooks#validating-the-notification
class QuickBooks(Platform):
    name = "quickbooks"
    title = "QuickBooks Online"
    purpose = "customers, invoices and payments changed"
    types = ("$.eventNotifications[0].dataChangeEvent.entities[0].operation",)
    telling = (
        "$.eventNotifications[0].dataChangeEvent.entities[0].name",
        "$.eventNotifications[0].dataChangeEvent.entities[0].id",
    )
    secret_label = "Verifier token"
    verifier = Hmac(header="intuit-signature", encoding="base64")


PLATFORM = QuickBooks()
