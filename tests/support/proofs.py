"""What proves each platform's deliveries in tests."""

from __future__ import annotations

import base64
from typing import Any

from tests.support.vendors import TELNYXS_KEY

SECRETS = {
    "sendgrid": "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw"
    "+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==",
    "discord": "5531371f0a84ab922bbee7ab94dbb8edc062557dd267358144b135f03b28f799",
    "standard-webhooks": "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode(),
    "microsoft-teams": base64.b64encode(b"0123456789abcdef0123456789abcdef").decode(),
    "airtable": base64.b64encode(b"0123456789abcdef0123456789abcdef").decode(),
    "adyen": "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056",
    "paypal": "9XL90610J3647323C",
    "plaid": "0123456789abcdef01234567:0123456789abcdef0123456789abcd",
    "telnyx": TELNYXS_KEY,
}
"""Secrets that their platform can use, where it can't use any text."""
_WHSEC = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
SECRETS |= dict.fromkeys(("clerk", "mcp-events", "openai", "replicate", "resend"), _WHSEC)
SECRETS |= {"supabase": f"v1,{_WHSEC}"}
INSTEAD: dict[str, dict[str, Any]] = {
    "salesforce": {"headers": {"X-Api-Key": "0123456789abcdef-key"}},
    "google-pubsub": {"audience": "a", "service_account": "push@example.com"},
    "google-chat": {"audience": "1234567890"},
    "aws-sns": {},
}
"""Settings instead of a secret, of vendors that have none."""
CANNOT = {*INSTEAD.keys() - {"salesforce"}, "discord", "paypal", "plaid", "sendgrid", "telnyx"}
"""Platforms that the bridge can't sign for: only they have the private key."""


def proof_of(name: str) -> dict[str, Any]:
    """The settings that prove the platform's deliveries."""
    return INSTEAD.get(name, {"secret": SECRETS.get(name, "0123456789abcdef-secret")})
