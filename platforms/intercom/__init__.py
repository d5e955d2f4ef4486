"""Intercom. The secret is the app's client secret."""

from platforms.base import Platform
from platforms.verifiers import Hmac


# https://developers.intercom.com/docs/webhooks/webhook-notifications#signed-notifications
class Intercom(Platform):
    name = "intercom"
    title = "Intercom"
    purpose = "conversations and users"
    types = ("$.topic",)
    summary = ("$.data.item.type", "$.data.item.id", "$.data.item.state")
    secret_label = "Client secret"
    # https://developers.intercom.com/docs/webhooks/setting-up-webhooks
    challenge_methods = frozenset({"HEAD"})
    verifier = Hmac(header="X-Hub-Signature", algorithm="sha1", prefix="sha1=")
    id_at = ("id",)


PLATFORM = Intercom()
