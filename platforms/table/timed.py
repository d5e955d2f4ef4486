"""A signature over a time and the body, in a header."""

from platforms.base import MB, Handshake, Platform
from platforms.summary import Value
from platforms.verifiers import EcdsaP256, Ed25519, Hmac, TimedHmac, TimeInBody, Timestamp
from platforms.verifiers.asymmetric import ed25519_base64_key, p256_key

ROWS: tuple[Platform, ...] = (
    # https://www.airwallex.com/docs/developer-tools/webhooks/listen-for-webhook-events
    Platform(
        name="airwallex",
        title="Airwallex",
        purpose="payments, transfers, refunds and disputes",
        types=("$.name",),
        summary=("$.data.object.id", "$.data.object.status", Value("$.account_id", before="of ")),
        verifier=Hmac(
            header="x-signature",
            signed="{timestamp}{body}",
            timestamp=Timestamp("x-timestamp", "ms"),
        ),
        # https://www.airwallex.com/docs/developer-tools/webhooks/webhooks-overview
        # It retries for about three days, maybe with the first time.
        tolerance=4 * 86400,
        id_at=("id",),
    ),
    # https://developer.box.com/guides/webhooks/v2/signatures-v2
    Platform(
        name="box",
        title="Box",
        purpose="files and folders changed, comments and tasks",
        types=("$.trigger",),
        summary=("$.source.name", "$.source.id"),
        secret_label="Primary key",
        verifier=Hmac(
            header="Box-Signature-Primary",
            further=("Box-Signature-Secondary",),
            encoding="base64",
            signed="{body}{timestamp}",
            timestamp=Timestamp("Box-Delivery-Timestamp", "rfc3339"),
        ),
        tolerance=600,
        id_at=("id",),
    ),
    # https://buildkite.com/docs/apis/webhooks/pipelines#webhook-signature
    Platform(
        name="buildkite",
        title="Buildkite",
        purpose="builds and jobs started or finished",
        types=("$.event",),
        summary=(
            "$.pipeline.slug",
            Value("$.build.number", before="#"),
            "$.build.state",
            "$.build.branch",
            "$.job.name",
        ),
        secret_label="Token",
        verifier=TimedHmac(header="X-Buildkite-Signature", scheme="signature", time="timestamp"),
        tolerance=300,
        time_at=("build", "created_at"),
    ),
    # https://developer.calendly.com/api-docs/ZG9jOjM2MzE2MDM4-webhook-signatures
    Platform(
        name="calendly",
        title="Calendly",
        purpose="appointments booked or cancelled",
        types=("$.event",),
        summary=(
            "$.payload.scheduled_event.name",
            Value("$.payload.scheduled_event.start_time", before="at "),
        ),
        made_by="us",
        secret_label="Signing key",
        # https://developer.calendly.com/api-docs/overview/webhooks/webhook-timeouts
        answer_within=15,
        verifier=TimedHmac(header="Calendly-Webhook-Signature"),
        # https://developer.calendly.com/api-docs/overview/webhooks/webhook-errors
        # It retries for 24 hours, maybe with the first time.
        tolerance=25 * 3600,
        time_at=("created_at",),
    ),
    # https://docs.customer.io/journeys/webhooks/
    Platform(
        name="customer-io",
        title="Customer.io",
        purpose="messages sent, delivered, opened or clicked",
        types=("$.metric",),
        summary=(Value("$.object_type", before="of "), "$.data.campaign_id", "$.data.delivery_id"),
        secret_label="Signing key",
        # https://docs.customer.io/api/webhooks
        answer_within=4,
        verifier=Hmac(
            header="X-CIO-Signature",
            signed="v0:{timestamp}:{body}",
            timestamp=Timestamp("X-CIO-Timestamp"),
        ),
        # It retries for seven days, maybe with the first time.
        tolerance=8 * 86400,
        id_at=("event_id",),
    ),
    # https://elevenlabs.io/docs/eleven-api/resources/webhooks
    Platform(
        name="elevenlabs",
        title="ElevenLabs",
        purpose="calls of voice agents, their transcripts and recordings",
        types=("$.type",),
        summary=("$.data.status", "$.data.agent_name", "$.data.conversation_id"),
        verifier=TimedHmac(header="ElevenLabs-Signature", scheme="v0"),
        # As its libraries allow.
        tolerance=1800,
        # A recording is in the body, in base64; a limit isn't documented.
        max_body=10 * MB,
        time_at=("event_timestamp",),
    ),
    # https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/#hmac-signature
    Platform(
        name="grafana",
        title="Grafana",
        purpose="alerts firing and resolved",
        types=("$.status",),
        summary=("$.title",),
        made_by="us",
        verifier=Hmac(
            header="X-Grafana-Alerting-Signature",
            signed="{timestamp}:{body}",
            timestamp=Timestamp("X-Grafana-Alerting-Timestamp"),
        ),
        tolerance=300,
    ),
    # https://developers.klaviyo.com/en/docs/working_with_system_webhooks
    Platform(
        name="klaviyo",
        title="Klaviyo",
        purpose="mail and text messages sent, opened or clicked",
        types=(Value("$.data[0].topic", without="event:klaviyo."),),
        summary=("$.data[0].external_id",),
        made_by="us",
        secret_label="Secret key",
        verifier=Hmac(
            header="Klaviyo-Signature",
            signed="{body}{timestamp}",
            timestamp=Timestamp("Klaviyo-Timestamp", "http"),
            # The header's time runs five hours ahead.
            time_in_body=TimeInBody(("meta", "timestamp"), "rfc3339"),
        ),
        # https://developers.klaviyo.com/en/docs/understanding_webhook_status_codes
        # It retries for 24 hours, maybe with the first time.
        tolerance=25 * 3600,
        # Up to a thousand events; a limit of bytes isn't documented.
        max_body=10 * MB,
        events_at=("data",),
        element_id_at=("external_id",),
        element_scope_at=("topic",),
    ),
    # https://linear.app/developers/webhooks#securing-webhooks
    Platform(
        name="linear",
        title="Linear",
        purpose="issues, comments and projects",
        types=("$.type",),
        summary=(
            "$.action",
            "$.data.identifier",
            "$.data.title",
            "$.data.name",
            "$.data.issue.identifier",
        ),
        secret_label="Signing secret",
        # https://linear.app/developers/webhooks
        answer_within=5,
        verifier=Hmac(
            header="Linear-Signature", time_in_body=TimeInBody(("webhookTimestamp",), "ms")
        ),
        # The last retry comes seven hours after the first attempt, maybe with its time.
        tolerance=8 * 3600,
        id_headers=("linear-delivery",),
        time_at=("createdAt",),
        varying=frozenset({"webhookTimestamp"}),
    ),
    # https://developer.paddle.com/webhooks/signature-verification
    Platform(
        name="paddle",
        title="Paddle",
        purpose="transactions, subscriptions and customers",
        types=("$.event_type",),
        summary=("$.data.id", "$.data.status"),
        secret_label="Secret key",
        # https://developer.paddle.com/webhooks/respond-to-webhooks
        answer_within=5,
        verifier=TimedHmac(
            header="Paddle-Signature", scheme="h1", time="ts", separator=";", joint=":"
        ),
        mistaken_key=(r"pdl_(?!ntfset_)", "an API key, not the destination's secret key"),
        # Paddle's libraries allow five seconds, which is less than clocks differ and deliveries
        # wait.
        tolerance=60,
        id_at=("event_id",),
    ),
    # https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
    Platform(
        name="sendgrid",
        title="SendGrid",
        purpose="mail delivered, bounced, opened or clicked",
        types=("$.event",),
        summary=("$.reason", "$.category[0]", "$.sg_message_id"),
        secret_label="Verification key",
        verifier=EcdsaP256(
            header="X-Twilio-Email-Event-Webhook-Signature",
            timestamp=Timestamp("X-Twilio-Email-Event-Webhook-Timestamp"),
        ),
        element_id_at=("sg_event_id",),
        read_key=p256_key,
    ),
    # https://docs.stripe.com/webhooks#verify-manually
    Platform(
        name="stripe",
        title="Stripe",
        purpose="payments, checkouts, invoices and subscriptions",
        command="stripe webhook_endpoints create --url {url} -d 'enabled_events[]=*'",  # it prints the signing secret
        types=("$.type",),
        summary=(
            "$.data.object.id",
            "$.data.object.status",
            Value("$.account", before="of "),
        ),
        secret_label="Signing secret",
        verifier=TimedHmac(header="Stripe-Signature"),
        tolerance=300,
        mistaken_key=(
            r"(?:sk|pk|rk)_(?:test|live)_",
            "an API key, not the endpoint's signing secret (whsec_…)",
        ),
        id_at=("id",),
    ),
    # https://developers.telnyx.com/development/api-fundamentals/webhooks/receiving-webhooks
    Platform(
        name="telnyx",
        title="Telnyx",
        purpose="messages, calls and faxes",
        types=("$.data.event_type",),
        summary=("$.data.payload.direction", "$.data.payload.id", "$.data.payload.call_session_id"),
        secret_label="Public key",
        # https://developers.telnyx.com/docs/messaging/messages/receiving-webhooks
        answer_within=2,
        verifier=Ed25519(
            header="telnyx-signature-ed25519",
            timestamp=Timestamp("telnyx-timestamp"),
            signed="{timestamp}|{body}",
        ),
        read_key=ed25519_base64_key,
        tolerance=300,
        id_at=("data", "id"),
    ),
    # https://dev.twitch.tv/docs/eventsub/handling-webhook-events/#verifying-the-event-message
    Platform(
        name="twitch",
        title="Twitch",
        purpose="streams, followers and subscriptions, by EventSub",
        types=("$.subscription.type",),
        summary=("$.event.broadcaster_user_login", Value("$.event.user_login", before="by ")),
        made_by="us",
        verifier=Hmac(
            header="Twitch-Eventsub-Message-Signature",
            prefix="sha256=",
            signed="{id}{timestamp}{body}",
            timestamp=Timestamp("Twitch-Eventsub-Message-Timestamp", "rfc3339"),
            identifier="Twitch-Eventsub-Message-Id",
        ),
        tolerance=600,
        id_headers=("twitch-eventsub-message-id",),
        # https://dev.twitch.tv/docs/eventsub/handling-webhook-events/#responding-to-a-challenge-request
        handshake=Handshake(
            ("subscription", "status"), "webhook_callback_verification_pending", as_text=True
        ),
    ),
    # https://workos.com/docs/events/data-syncing/webhooks
    Platform(
        name="workos",
        title="WorkOS",
        purpose="users, directories and single sign-on",
        types=("$.event",),
        summary=("$.data.id", "$.data.state", "$.data.organization_id"),
        verifier=TimedHmac(header="WorkOS-Signature", separator=", ", unit="ms"),
        # The last retry comes three days after the first attempt, maybe with its time.
        tolerance=4 * 86400,
        id_at=("id",),
    ),
)
