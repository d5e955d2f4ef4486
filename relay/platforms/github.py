"""GitHub."""

from relay.platform import MB, Platform, in_header
from relay.verifiers import Hmac

# https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
PLATFORM = Platform(
    name="github",
    verifier=Hmac(header="X-Hub-Signature-256", prefix="sha256="),
    delivery_id=in_header("X-GitHub-Delivery"),
    # https://docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap
    max_body=25 * MB,
)
