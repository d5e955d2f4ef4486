"""Airtable: a base has changed. The secret is the webhook's MAC secret."""

from platforms.base import Accepted, Platform
from platforms.http import EMPTY, Response
from platforms.summary import Value
from platforms.verifiers import Hmac
from platforms.verifiers.public_keys import base64_key, problem_of


# https://airtable.com/developers/web/api/webhooks-overview#webhook-notification-delivery
class Airtable(Platform):
    name = "airtable"
    title = "Airtable"
    purpose = "records, fields and tables of a base changed"
    types = (Value("$.base", word="base changed"),)
    summary = ("$.base.id",)
    secret_label = "MAC secret"
    verifier = Hmac(header="X-Airtable-Content-MAC", prefix="hmac-sha256=", key_encoding="base64")

    def find_secret_problem(self, secret: str) -> str | None:
        return problem_of(base64_key, secret)

    def respond(self, accepted: Accepted) -> Response | None:
        """Airtable takes only an empty answer for a success."""
        return EMPTY


PLATFORM = Airtable()
