"""Slack: the Events API, interactivity and slash commands."""

from platforms.base import Accepted, Handshake, Platform, at
from platforms.http import EMPTY, Response
from platforms.summary import Value
from platforms.verifiers import Hmac, Timestamp


# https://docs.slack.dev/authentication/verifying-requests-from-slack
class Slack(Platform):
    name = "slack"
    title = "Slack"
    purpose = "messages, mentions, buttons and slash commands"
    types = ("$.event.type", "$.command", "$.type")
    summary = (
        "$.event.subtype",
        Value("$.event.channel", before="in "),
        Value("$.event.item.channel", before="in "),
        Value("$.channel.name", before="in #"),
        Value("$.channel_name", before="in #"),
        Value("$.event.user", before="by "),
        "$.event.reaction",
        "$.actions[0].action_id",
        "$.callback_id",
        "$.view.callback_id",
    )
    secret_label = "Signing secret"
    # https://docs.slack.dev/apis/events-api/#responding
    answer_within = 3
    verifier = Hmac(
        header="X-Slack-Signature",
        prefix="v0=",
        signed="v0:{timestamp}:{body}",
        timestamp=Timestamp("X-Slack-Request-Timestamp"),
    )
    mistaken_key = (r"xox[a-z]-|xapp-", "a token, not the app's signing secret")
    tolerance = 300
    challenge_only = True
    # https://docs.slack.dev/reference/events/url_verification
    handshake = Handshake(("type",), "url_verification")
    bodies = "json or form"
    id_at = ("event_id",)

    # https://docs.slack.dev/interactivity/handling-user-interaction#acknowledgment_response
    # https://docs.slack.dev/interactivity/implementing-slash-commands#responding_basic_receipt
    def respond(self, accepted: Accepted) -> Response | None:
        """Slack shows its user any answer to a command, and an error if a dialog is answered with
        anything at all."""
        is_command = at(accepted.value, "command") is not None
        if is_command or at(accepted.value, "type") not in (None, "event_callback"):
            return EMPTY
        return None


PLATFORM = Slack()
