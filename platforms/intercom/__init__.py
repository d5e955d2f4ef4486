"""Intercom. The secret is the app's client secret."""

from platforms.declaration import Platform, in_body
from platforms.verifiers import Hmac

# https://developers.intercom.com/docs/webhooks/webhook-notifications#signed-notifications
PLATFORM = Platform(
    name="intercom",
    title="Intercom",
    purpose="conversations and users",
    secret_label="Client secret",
    verifier=Hmac(header="X-Hub-Signature", algorithm="sha1", prefix="sha1="),
    delivery_id=in_body("id"),
)
