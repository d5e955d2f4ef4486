"""Standard Webhooks: a signature over an id, a time and the body."""

from functools import partial

from platforms.base import Handshake, Platform
from platforms.summary import Value
from platforms.verifiers import StandardWebhooks
from platforms.verifiers.standard_webhooks import signing_key

_platform = partial(
    Platform,
    secret_label="Signing secret",
    verifier=StandardWebhooks(),
    tolerance=300,
    id_headers=("webhook-id", "svix-id"),
    read_key=signing_key,
)
"""What all of them have, unless their row says otherwise."""

ROWS: tuple[Platform, ...] = (
    # https://clerk.com/docs/guides/development/webhooks/overview
    _platform(
        name="clerk",
        title="Clerk",
        purpose="users, organisations and sessions",
        types=("$.type",),
        summary=("$.data.id",),
        verifier=StandardWebhooks(prefixes=("svix", "webhook")),
    ),
    # https://github.com/modelcontextprotocol/modelcontextprotocol/pull/3415
    _platform(
        name="mcp-events",
        title="MCP Events",
        purpose="events of MCP servers, by webhook",
        types=("$.name", "$.type"),
        summary=("$.eventId",),
        made_by="us",
        made_as_whsec=True,
        verifier=StandardWebhooks(prefixes=("webhook",)),
        # The header's id is the message's: each message of an event may have its own.
        id_at=("eventId",),
        # An event has no `type`, but may have a challenge.
        handshake=Handshake(("type",), "verification"),
    ),
    # https://platform.openai.com/docs/guides/webhooks
    _platform(
        name="openai",
        title="OpenAI",
        purpose="responses, batches and fine-tuning jobs completed",
        types=("$.type",),
        summary=("$.data.id",),
    ),
    # https://replicate.com/docs/topics/webhooks/verify-webhook
    _platform(
        name="replicate",
        title="Replicate",
        purpose="predictions and trainings completed",
        types=("$.status",),
        summary=("$.id",),
        secret_label="Webhook signing key",
    ),
    # https://resend.com/docs/webhooks/verify-webhooks-requests
    _platform(
        name="resend",
        title="Resend",
        purpose="mail sent, delivered, bounced or received",
        types=("$.type",),
        summary=("$.data.subject",),
        verifier=StandardWebhooks(prefixes=("svix", "webhook")),
    ),
    # https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    _platform(
        name="standard-webhooks",
        title="Standard Webhooks",
        purpose="anyone who sends by this standard, such as users of Svix",
    ),
    # https://supabase.com/docs/guides/auth/auth-hooks#using-hooks
    _platform(
        name="supabase",
        title="Supabase",
        purpose="users and mail, by auth hook",
        types=(
            "$.email_data.email_action_type",
            Value("$.sms", word="text message"),
            Value("$.user", word="user"),
        ),
        summary=("$.user.id",),
        secret_label="Secret",
    ),
)
