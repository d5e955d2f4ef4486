"""Senders without a row of their own, by the names that people search for: another platform's
scheme verifies them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Sender:
    """A sender that the scheme of a platform verifies."""

    title: str
    """Its name as people write it."""
    platform: str
    """The platform that its definition names."""
    documentation: str
    """The URL of its own documentation."""
    settings: str = ""
    """What the definition of a custom sender says of its proof, as YAML."""

    @property
    def name(self) -> str:
        """The name on the command line, as a platform's."""
        return self.title.lower().replace(" ", "-").replace(".", "-")

    @property
    def proof(self) -> str:
        """The kind of proof that a custom sender's settings are about; empty without settings."""
        return self.settings.partition(":")[0]


_TIMED = 'format: "t={timestamp},v1={signature}", signed: "{timestamp}.{body}"'
_STANDARD = "standard-webhooks"

_ALL = (
    Sender("AssemblyAI", "custom", "https://www.assemblyai.com/docs/concepts/webhooks"),
    Sender("Brex", _STANDARD, "https://developer.brex.com/docs/webhooks/"),
    Sender(
        "CloudWatch",
        "aws-sns",
        "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html",
    ),
    Sender("Codeberg", "forgejo", "https://forgejo.org/docs/latest/user/webhooks/"),
    Sender("Deepgram", "custom", "https://developers.deepgram.com/docs/callback"),
    Sender(
        "Feishu",
        "lark",
        "https://open.feishu.cn/document/ukTMukTMukTM/uYDNxYjL2QTM24iN0EjN/event-subscription-configure-/encrypt-key-encryption-configuration-case",
    ),
    Sender(
        "Firecrawl",
        "custom",
        "https://docs.firecrawl.dev/webhooks/security",
        'signature: {header: X-Firecrawl-Signature, prefix: "sha256="}',
    ),
    Sender(
        "Gmail",
        "google-pubsub",
        "https://developers.google.com/workspace/gmail/api/guides/push",
    ),
    Sender("Goody", _STANDARD, "https://developer.ongoody.com/webhooks/webhook-security"),
    Sender(
        "Hookdeck",
        "custom",
        "https://hookdeck.com/docs/authentication",
        "signature: {header: X-Hookdeck-Signature, encoding: base64}",
    ),
    Sender(
        "Instagram",
        "facebook",
        "https://developers.facebook.com/docs/instagram-platform/webhooks",
    ),
    Sender(
        "Langfuse",
        "custom",
        "https://langfuse.com/docs/prompt-management/features/webhooks-slack-integrations",
        f"signature: {{header: X-Langfuse-Signature, {_TIMED}}}",
    ),
    Sender("Lithic", _STANDARD, "https://docs.lithic.com/docs/events-api"),
    Sender("Loops", _STANDARD, "https://loops.so/docs/webhooks"),
    Sender(
        "Mailchimp Transactional",
        "mandrill",
        "https://mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks/",
    ),
    Sender(
        "Messenger",
        "facebook",
        "https://developers.facebook.com/docs/messenger-platform/webhooks",
    ),
    Sender(
        "Microsoft Outlook",
        "microsoft-graph",
        "https://learn.microsoft.com/en-us/graph/outlook-change-notifications-overview",
    ),
    Sender(
        "Mux",
        "custom",
        "https://www.mux.com/docs/core/verify-webhook-signatures",
        f"signature: {{header: Mux-Signature, {_TIMED}}}",
    ),
    Sender(
        "PlanetScale",
        "custom",
        "https://planetscale.com/docs/concepts/webhooks",
        "signature: {header: X-PlanetScale-Signature}",
    ),
    Sender("Postmark", "custom", "https://postmarkapp.com/developer/webhooks/webhooks-overview"),
    Sender(
        "Recall.ai",
        _STANDARD,
        "https://docs.recall.ai/docs/authenticating-requests-from-recallai",
    ),
    Sender("Render", _STANDARD, "https://render.com/docs/webhooks"),
    Sender(
        "Retell",
        "custom",
        "https://docs.retellai.com/features/secure-webhook",
        'signature: {header: X-Retell-Signature, format: "v={timestamp},d={signature}", signed:'
        ' "{body}{timestamp}"}',
    ),
    Sender(
        "SharePoint",
        "microsoft-graph",
        "https://learn.microsoft.com/en-us/graph/change-notifications-overview",
    ),
    Sender(
        "SignatureAPI",
        _STANDARD,
        "https://signatureapi.com/docs/api/guides/how-to/verify-webhooks",
    ),
    Sender("Svix", _STANDARD, "https://docs.svix.com/receiving/verifying-payloads/how"),
    Sender(
        "Tailscale",
        "custom",
        "https://tailscale.com/kb/1213/webhooks",
        f"signature: {{header: Tailscale-Webhook-Signature, {_TIMED}}}",
    ),
    Sender(
        "Terraform Enterprise",
        "terraform-cloud",
        "https://developer.hashicorp.com/terraform/cloud-docs/api-docs/notification-configurations",
    ),
)
SENDERS: Mapping[str, Sender] = MappingProxyType({sender.name: sender for sender in _ALL})
"""Name → sender, in alphabetical order."""
