"""A token that proves who sends, and nothing of what is sent."""

from types import MappingProxyType

from platforms.base import Platform, always
from platforms.summary import Value
from platforms.verifiers import Basic, Bearer, HeaderEquals
from platforms.verifiers.google import ServiceAccountToken

ROWS: tuple[Platform, ...] = (
    # https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
    Platform(
        name="alertmanager",
        title="Prometheus Alertmanager",
        purpose="alerts firing and resolved",
        types=("$.status",),
        summary=(
            "$.commonLabels.alertname",
            "$.groupLabels.alertname",
            "$.commonLabels.severity",
            "$.commonAnnotations.summary",
        ),
        made_by="us",
        secret_label="Bearer token",
        verifier=Bearer(),
        # A notification does while its alert fires.
        comes_again=always,
    ),
    # https://auth0.com/docs/customize/log-streams/custom-log-streams
    Platform(
        name="auth0",
        title="Auth0",
        purpose="sign-ins, sign-ups and other logs, by log stream",
        types=("$.data.type",),
        summary=("$.data.description", "$.data.client_name", "$.data.connection"),
        made_by="us",
        secret_label="Authorization token",
        verifier=HeaderEquals("Authorization"),
        # The logs, each of which becomes an event.
        batches=True,
        id_at=("log_id",),
        element_id_at=("log_id",),
    ),
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-target-connection-auth.html
    Platform(
        name="aws-eventbridge",
        title="Amazon EventBridge",
        purpose="events of an event bus, by API destination",
        types=("$['detail-type']",),
        summary=(Value("$.source", before="from "),),
        made_by="us",
        secret_label="API key",
        verifier=HeaderEquals("X-Api-Key"),
        id_at=("id",),
    ),
    # https://learn.microsoft.com/en-us/azure/devops/service-hooks/services/webhooks
    Platform(
        name="azure-devops",
        title="Azure DevOps",
        purpose="pushes, pull requests, builds and work items",
        types=("$.eventType",),
        summary=("$.message.text",),
        made_by="us",
        secret_label="Password",
        verifier=Basic(),
        # One event may be sent for several subscriptions.
        id_at=("id",),
        scope_at=("subscriptionId",),
    ),
    # https://www.chargebee.com/docs/billing/2.0/site-configuration/webhook_settings
    Platform(
        name="chargebee",
        title="Chargebee",
        purpose="subscriptions, invoices and payments",
        types=("$.event_type",),
        summary=(
            "$.content.subscription.id",
            "$.content.subscription.status",
            "$.content.invoice.id",
            "$.content.invoice.status",
        ),
        made_by="us",
        secret_label="Username and password",
        verifier=Basic(),
        id_at=("id",),
    ),
    # https://docs.datadoghq.com/integrations/webhooks/
    Platform(
        name="datadog",
        title="Datadog",
        purpose="monitors and events",
        types=("$.event_type",),
        summary=("$.title",),
        made_by="us",
        secret_label="Bearer token",
        verifier=Bearer(),
        id_at=("id",),
    ),
    # https://distribution.github.io/distribution/about/notifications/
    Platform(
        name="docker-registry",
        title="Docker registry",
        purpose="images pushed, pulled or deleted",
        types=("$.events[0].action",),
        summary=("$.events[0].target.repository", Value("$.events[0].target.tag", before=":")),
        made_by="us",
        secret_label="Bearer token",
        verifier=Bearer(),
        events_at=("events",),
        element_id_at=("id",),
    ),
    # https://docs.cloud.google.com/pubsub/docs/authenticate-push-subscriptions#validate_tokens
    Platform(
        name="google-pubsub",
        title="Google Cloud Pub/Sub",
        purpose="messages of a topic, by push subscription",
        decode=MappingProxyType({"$.message.data": "base64-json"}),
        types=(
            "$.message.attributes.eventType",
            "$.message.attributes.type",
            Value("$.message", word="message"),
        ),
        summary=(
            Value("$.message.messageId"),
            Value("$.subscription", before="of "),
            "$.message.attributes.objectId",
        ),
        made_by="nobody",
        verifier=ServiceAccountToken("publish a message to the topic instead"),
        required=frozenset({"audience", "service_account"}),
        vendor_keys=True,
        # https://docs.cloud.google.com/pubsub/docs/reference/rest/v1/PubsubMessage
        # Ids are unique within their topic.
        id_at=("message", "messageId"),
        scope_at=("subscription",),
    ),
    # https://core.telegram.org/bots/api#setwebhook
    Platform(
        name="telegram",
        title="Telegram",
        purpose="messages and button presses to a bot",
        types=(
            Value("$.message", word="message"),
            Value("$.edited_message", word="edited_message"),
            Value("$.callback_query", word="callback_query"),
            Value("$.channel_post", word="channel_post"),
            Value("$.inline_query", word="inline_query"),
            Value("$.my_chat_member", word="my_chat_member"),
        ),
        summary=(
            Value("$.message.chat.title", before="in "),
            Value("$.message.from.username", before="by "),
            "$.callback_query.data",
        ),
        made_by="us",
        secret_label="secret_token",
        verifier=HeaderEquals("X-Telegram-Bot-Api-Secret-Token"),
        id_at=("update_id",),
    ),
)
