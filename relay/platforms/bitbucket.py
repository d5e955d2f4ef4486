"""Bitbucket Cloud."""

from relay.platform import Platform, in_header
from relay.verifiers import Hmac

# https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/#Secure-webhooks
PLATFORM = Platform(
    name="bitbucket",
    verifier=Hmac(header="X-Hub-Signature", prefix="sha256="),
    delivery_id=in_header("X-Request-UUID"),
)
