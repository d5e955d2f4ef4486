"""QuickBooks Online. The secret is the app's verifier token."""

from platforms.base import Platform
from platforms.summary import Value
from platforms.verifiers import Hmac


# https://developer.intuit.com/app/developer/qbo/docs/develop/webhooks#validating-the-notification
class QuickBooks(Platform):
    name = "quickbooks"
    title = "QuickBooks Online"
    purpose = "customers, invoices and payments changed"
    types = ("$.type", "$.eventNotifications[0].dataChangeEvent.entities[0].operation")
    summary = (
        "$.intuitentityid",
        Value("$.intuitaccountid", before="of company "),
        "$.eventNotifications[0].dataChangeEvent.entities[0].name",
        "$.eventNotifications[0].dataChangeEvent.entities[0].id",
    )
    secret_label = "Verifier token"
    verifier = Hmac(header="intuit-signature", encoding="base64")
    # https://blogs.a.intuit.com/2025/11/12/upcoming-change-to-webhooks-payload-structure
    batches = True
    """A list of CloudEvents, each of which becomes an event; before 2026 it was one object."""
    element_id_at = ("id",)


PLATFORM = QuickBooks()
