"""An HMAC of the body, maybe with the URL, in a header. The secret is the key."""

from platforms.base import MB, Platform, always, at, has_any, member
from platforms.http import EMPTY, NOTHING, json_response
from platforms.summary import Value
from platforms.verifiers import Hmac
from platforms.verifiers.public_keys import base64_key


# https://docs.gitea.com/usage/webhooks
def _gitea(name: str, title: str) -> Platform:
    """Gitea, and its fork Forgejo, which sends the same under its own name."""
    return Platform(
        name=name,
        title=title,
        purpose="pushes, pull requests, issues and releases",
        types=(
            Value("$.pusher", word="push"),
            Value("$.page", word="wiki"),
            Value("$.review", word="review"),
            Value("$.comment", word="comment"),
            Value("$.pull_request", word="pull_request"),
            Value("$.issue", word="issue"),
            Value("$.release", word="release"),
            Value("$.ref_type", word="branch or tag"),
        ),
        summary=(
            "$.action",
            "$.repository.full_name",
            Value("$.ref", without="refs/heads/"),
            Value("$.pull_request.number", before="#"),
            "$.pull_request.title",
            Value("$.issue.number", before="#"),
            "$.issue.title",
            "$.release.tag_name",
            "$.page",
        ),
        made_by="us",
        verifier=Hmac(header=f"X-{title}-Signature"),
        id_headers=(f"x-{name}-delivery",),
        # Pushes, wiki pages, and branches and tags created and deleted have no time of their own.
        comes_again=has_any("commits", "page", "ref_type"),
    )


ROWS: tuple[Platform, ...] = (
    # https://airtable.com/developers/web/api/webhooks-overview#webhook-notification-delivery
    Platform(
        name="airtable",
        title="Airtable",
        purpose="records, fields and tables of a base changed",
        types=(Value("$.base", word="base changed"),),
        summary=("$.base.id",),
        secret_label="MAC secret",
        verifier=Hmac(
            header="X-Airtable-Content-MAC", prefix="hmac-sha256=", key_encoding="base64"
        ),
        read_key=base64_key,
        # Anything else than an empty answer is a failure to it.
        answer=EMPTY,
    ),
    # https://docs.attio.com/rest-api/guides/webhooks
    Platform(
        name="attio",
        title="Attio",
        purpose="records, list entries, notes and tasks changed",
        types=("$.events[0].event_type",),
        summary=("$.events[0].id.record_id", Value("$.events[0].actor.type", before="by ")),
        secret_label="Webhook secret",
        verifier=Hmac(header="Attio-Signature", further=("X-Attio-Signature",)),
        id_headers=("idempotency-key",),
        # An event says what has changed, but neither when nor how.
        comes_again=always,
    ),
    # https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/#Secure-webhooks
    Platform(
        name="bitbucket",
        title="Bitbucket",
        purpose="pushes, pull requests and pipelines of a repository",
        # The event's key is in a header, which isn't signed.
        types=(
            Value("$.push", word="push"),
            Value("$.comment", word="comment"),
            Value("$.pullrequest", word="pullrequest"),
            Value("$.commit_status", word="commit_status"),
            Value("$.issue", word="issue"),
            Value("$.fork", word="fork"),
        ),
        summary=(
            "$.repository.full_name",
            "$.push.changes[0].new.name",
            Value("$.pullrequest.id", before="#"),
            "$.pullrequest.title",
            "$.commit_status.state",
            Value("$.issue.id", before="#"),
            "$.issue.title",
        ),
        made_by="us",
        verifier=Hmac(header="X-Hub-Signature", prefix="sha256="),
        id_headers=("x-request-uuid",),
        # A push may, once the branch has been reset. All other events have their own time.
        comes_again=has_any("push"),
    ),
    # https://cal.com/docs/developing/guides/automation/webhooks
    Platform(
        name="cal-com",
        title="Cal.com",
        purpose="bookings made, moved or cancelled, and meetings",
        types=("$.triggerEvent",),
        summary=("$.payload.type", Value("$.payload.startTime", before="at "), "$.payload.uid"),
        made_by="us",
        verifier=Hmac(header="X-Cal-Signature-256"),
    ),
    # https://www.checkout.com/docs/workflows/set-up-your-webhook-receiver
    Platform(
        name="checkout-com",
        title="Checkout.com",
        purpose="payments approved, captured, refunded or disputed",
        types=("$.type",),
        summary=("$.data.reference", "$.data.amount", "$.data.currency", "$.data.id"),
        made_by="us",
        secret_label="Signature key",
        verifier=Hmac(header="Cko-Signature"),
        id_at=("id",),
    ),
    # https://circleci.com/docs/outbound-webhooks/#validate-webhooks
    Platform(
        name="circleci",
        title="CircleCI",
        purpose="workflows and jobs completed",
        types=("$.type",),
        summary=(
            "$.project.slug",
            Value("$.pipeline.number", before="#"),
            "$.workflow.name",
            "$.workflow.status",
            "$.job.name",
            "$.job.status",
        ),
        made_by="us",
        secret_label="Secret token",
        answer_within=10,
        verifier=Hmac(header="circleci-signature", prefix="v1=", separator=","),
        id_at=("id",),
    ),
    # https://developer.clickup.com/docs/webhooksignature
    Platform(
        name="clickup",
        title="ClickUp",
        purpose="tasks, lists and goals changed",
        types=("$.event",),
        summary=(
            Value("$.task_id", before="task "),
            Value("$.list_id", before="list "),
            "$.history_items[0].field",
            Value("$.history_items[0].user.username", before="by "),
        ),
        verifier=Hmac(header="X-Signature"),
        # What has no history says only what has changed, such as a goal, and not when.
        comes_again=lambda value: (
            at(value, "event") is not None and not member(value, "history_items")
        ),
    ),
    # https://cursor.com/docs/cloud-agent/api/webhooks
    Platform(
        name="cursor",
        title="Cursor",
        purpose="cloud agents finished or failed",
        types=("$.status", "$.event"),
        summary=("$.source.repository", "$.target.branchName", "$.id"),
        made_by="us",
        verifier=Hmac(header="X-Webhook-Signature", prefix="sha256="),
    ),
    # https://developers.docusign.com/platform/webhooks/connect/validate
    Platform(
        name="docusign",
        title="DocuSign",
        purpose="envelopes sent, signed, completed or voided",
        types=("$.event",),
        summary=("$.data.envelopeSummary.emailSubject", "$.data.envelopeId"),
        secret_label="Connect key",
        verifier=Hmac(
            header="X-DocuSign-Signature-1",
            encoding="base64",
            further=tuple(f"X-DocuSign-Signature-{number}" for number in range(2, 101)),
        ),
        # Documents of 25 MB, in Base64:
        # https://developers.docusign.com/docs/esign-soap-api/esign101/api-info/file-limitations
        max_body=35 * MB,
        time_at=("generatedDateTime",),
        varying=frozenset({"retryCount"}),
    ),
    # https://forgejo.org/docs/latest/user/webhooks/
    _gitea("forgejo", "Forgejo"),
    _gitea("gitea", "Gitea"),
    # https://developer.gocardless.com/getting-started/staying-up-to-date-with-webhooks#staying_up-to-date_with_webhooks
    Platform(
        name="gocardless",
        title="GoCardless",
        purpose="direct debits, mandates and payouts",
        types=("$.events[0].resource_type",),
        summary=(
            "$.events[0].action",
            "$.events[0].details.cause",
            "$.events[0].links.payment",
            "$.events[0].links.mandate",
        ),
        made_by="us",
        verifier=Hmac(header="Webhook-Signature"),
        events_at=("events",),
        element_id_at=("id",),
    ),
    # https://developers.intercom.com/docs/webhooks/webhook-notifications#signed-notifications
    Platform(
        name="intercom",
        title="Intercom",
        purpose="conversations and users",
        types=("$.topic",),
        summary=("$.data.item.type", "$.data.item.id", "$.data.item.state"),
        secret_label="Client secret",
        # https://developers.intercom.com/docs/webhooks/setting-up-webhooks
        challenge_methods=frozenset({"HEAD"}),
        verifier=Hmac(header="X-Hub-Signature", algorithm="sha1", prefix="sha1="),
        id_at=("id",),
    ),
    # https://developer.atlassian.com/cloud/jira/platform/webhooks/#secure-admin-webhooks
    Platform(
        name="jira",
        title="Jira",
        purpose="issues created, updated or moved",
        types=("$.webhookEvent",),
        summary=(
            "$.issue.key",
            "$.issue.fields.summary",
            "$.changelog.items[0].field",
            Value("$.changelog.items[0].toString", before="to "),
            "$.sprint.name",
            "$.version.name",
        ),
        made_by="us",
        verifier=Hmac(header="X-Hub-Signature", prefix="sha256="),
        id_headers=("x-atlassian-webhook-identifier",),
    ),
    # https://developers.line.biz/en/docs/messaging-api/verify-webhook-signature/
    Platform(
        name="line",
        title="LINE",
        purpose="messages to a LINE Official Account",
        types=("$.events[0].type",),
        summary=(
            "$.events[0].message.type",
            Value("$.events[0].source.type", before="from "),
            "$.events[0].postback.data",
        ),
        secret_label="Channel secret",
        verifier=Hmac(header="x-line-signature", encoding="base64"),
        events_at=("events",),
        element_id_at=("webhookEventId",),
        # https://developers.line.biz/en/docs/messaging-api/receiving-messages/#webhook-event-in-one-on-one-talk-or-group-chat
        # The button *Verify* sends a delivery without events.
        no_events=json_response({}),
    ),
    # https://developer.pagerduty.com/docs/verifying-webhook-signatures
    Platform(
        name="pagerduty",
        title="PagerDuty",
        purpose="incidents triggered, acknowledged or resolved",
        types=("$.event.event_type",),
        summary=(
            Value("$.event.data.number", before="#"),
            "$.event.data.title",
            Value("$.event.data.service.summary", before="of "),
        ),
        secret_label="Signing secret",
        # https://developer.pagerduty.com/docs/webhooks-overview
        answer_within=5,
        verifier=Hmac(header="X-PagerDuty-Signature", prefix="v1=", separator=","),
        id_at=("event", "id"),
        id_headers=("x-webhook-id",),
    ),
    # https://developer.intuit.com/app/developer/qbo/docs/develop/webhooks#validating-the-notification
    Platform(
        name="quickbooks",
        title="QuickBooks Online",
        purpose="customers, invoices and payments changed",
        types=("$.type", "$.eventNotifications[0].dataChangeEvent.entities[0].operation"),
        summary=(
            "$.intuitentityid",
            Value("$.intuitaccountid", before="of company "),
            "$.eventNotifications[0].dataChangeEvent.entities[0].name",
            "$.eventNotifications[0].dataChangeEvent.entities[0].id",
        ),
        secret_label="Verifier token",
        verifier=Hmac(header="intuit-signature", encoding="base64"),
        # https://blogs.a.intuit.com/2025/11/12/upcoming-change-to-webhooks-payload-structure
        # A list of CloudEvents, each of which becomes an event; before 2026 it was one object.
        batches=True,
        element_id_at=("id",),
    ),
    # https://razorpay.com/docs/webhooks/validate-test/
    Platform(
        name="razorpay",
        title="Razorpay",
        purpose="payments, refunds and subscriptions",
        types=("$.event",),
        summary=(
            "$.payload.payment.entity.id",
            "$.payload.payment.entity.status",
            "$.payload.subscription.entity.id",
        ),
        made_by="us",
        verifier=Hmac(header="X-Razorpay-Signature"),
        id_headers=("x-razorpay-event-id",),
    ),
    # https://docs.sentry.io/organization/integrations/integration-platform/webhooks/#verifying-the-signature
    Platform(
        name="sentry",
        title="Sentry",
        purpose="issues, errors and alerts",
        types=("$.action",),
        summary=(
            "$.data.issue.shortId",
            "$.data.issue.title",
            "$.data.event.title",
            "$.data.error.title",
        ),
        secret_label="Client secret",
        answer_within=1,
        # https://github.com/getsentry/integration-platform-example: what comes of UI components has
        # the other header.
        verifier=Hmac(header="Sentry-Hook-Signature", further=("Sentry-App-Signature",)),
        id_headers=("request-id",),
        # https://docs.sentry.io/organization/integrations/integration-platform/webhooks/issues/
        # An issue may be assigned or resolved again.
        comes_again=lambda value: (
            at(value, "data", "issue", "id") is not None and at(value, "action") != "created"
        ),
    ),
    # https://developer.squareup.com/docs/webhooks/step3validate
    Platform(
        name="square",
        title="Square",
        purpose="payments, orders and refunds",
        types=("$.type",),
        summary=("$.data.id", "$.data.object.payment.status", "$.data.object.refund.status"),
        secret_label="Signature key",
        verifier=Hmac(
            header="x-square-hmacsha256-signature", encoding="base64", signed="{url}{body}"
        ),
        id_at=("event_id",),
    ),
    # https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks/#webhook-signatures
    Platform(
        name="trello",
        title="Trello",
        purpose="cards, lists and boards changed",
        types=("$.action.type",),
        summary=(
            "$.action.data.card.name",
            Value("$.action.data.listAfter.name", before="to "),
            Value("$.action.data.board.name", before="on "),
        ),
        secret_label="OAuth 1.0 secret",
        verifier=Hmac(
            header="X-Trello-Webhook", algorithm="sha1", encoding="base64", signed="{body}{url}"
        ),
        # https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks/#creating-a-webhook
        challenge_methods=frozenset({"HEAD"}),
        id_at=("action", "id"),
    ),
    # https://www.typeform.com/developers/webhooks/secure-your-webhooks/
    Platform(
        name="typeform",
        title="Typeform",
        purpose="answers to a form",
        types=("$.event_type",),
        summary=(
            Value("$.form_response.form_id", before="of "),
            "$.form_response.definition.title",
            "$.event_id",
        ),
        made_by="us",
        verifier=Hmac(header="Typeform-Signature", encoding="base64", prefix="sha256="),
        id_at=("event_id",),
    ),
    # https://docs.vapi.ai/server-url/server-authentication
    Platform(
        name="vapi",
        title="Vapi",
        purpose="calls of voice agents, their transcripts and tools",
        types=("$.message.type",),
        summary=(
            "$.message.status",
            "$.message.endedReason",
            Value("$.message.call.id", before="of "),
        ),
        made_by="us",
        secret_label="Secret Key",
        # The header's name is the customer's choice: this is the one that its page here says.
        verifier=Hmac(header="X-Vapi-Signature"),
    ),
    # https://vercel.com/docs/webhooks/webhooks-api#securing-webhooks
    Platform(
        name="vercel",
        title="Vercel",
        purpose="deployments created, ready or failed",
        types=("$.type",),
        summary=("$.payload.deployment.name", Value("$.payload.target", before="to ")),
        verifier=Hmac(header="x-vercel-signature", algorithm="sha1"),
        id_at=("id",),
    ),
    # https://developer.webex.com/docs/receive-and-verify-webhooks
    Platform(
        name="webex",
        title="Webex",
        purpose="messages, rooms and meetings",
        types=("$.resource",),
        summary=("$.event", Value("$.data.personEmail", before="by ")),
        made_by="us",
        verifier=Hmac(header="X-Spark-Signature", algorithm="sha1"),
        # What is updated may be updated back, and once more; nothing says when.
        comes_again=lambda value: at(value, "event") == "updated",
    ),
    # https://developer.xero.com/documentation/guides/webhooks/configuring-your-server/
    Platform(
        name="xero",
        title="Xero",
        purpose="contacts and invoices changed",
        types=("$.events[0].eventType",),
        summary=("$.events[0].eventCategory", "$.events[0].resourceId"),
        secret_label="Webhooks key",
        verifier=Hmac(header="x-xero-signature", encoding="base64"),
        empty_refusals=True,
        events_at=("events",),
        # https://developer.xero.com/documentation/guides/webhooks/configuring-your-server/#intent-to-receive
        # Deliveries without events, some with a wrong signature, which must get an empty 401.
        no_events=NOTHING,
        # Xero takes only an empty answer.
        answer=NOTHING,
    ),
)
