"""Auth0 log streams to a custom webhook. The secret is the whole value of the Authorization header."""

from platforms.base import Platform
from platforms.verifiers import HeaderEquals


# https://auth0.com/docs/customize/log-streams/custom-log-streams
class Auth0(Platform):
    name = "auth0"
    title = "Auth0"
    purpose = "sign-ins, sign-ups and other logs, by log stream"
    types = ("$.data.type",)
    summary = ("$.data.description", "$.data.client_name", "$.data.connection")
    made_by = "us"
    secret_label = "Authorization token"
    verifier = HeaderEquals("Authorization")
    batches = True
    """The logs, each of which becomes an event."""
    id_at = element_id_at = ("log_id",)


PLATFORM = Auth0()
