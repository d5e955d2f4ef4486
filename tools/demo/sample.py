"""The Slack example: a workflow that waits for a message, its webhook, and Slack's two requests."""

from __future__ import annotations

import json
import uuid

from tools.servers.client import Conductor, wait_for_webhook

WORKFLOW = "sample_webhook_for_slack"
"""The workflow that waits for a Slack message."""
TASK = "wait_for_message"
"""The reference name of its WAIT_FOR_WEBHOOK task."""
SECRET_NAME = "SLACK_SIGNING_SECRET"
"""The variable with the webhook's signing secret."""
WEBHOOK = "slack"
"""The webhook that Slack would call."""

DEFINITIONS = f"""\
webhooks:
  - name: {WEBHOOK}
    platform: slack
    secret: ${{{SECRET_NAME}}}
    receivers:
      {WORKFLOW}: any
"""


def register(conductor: Conductor) -> None:
    """Registers the workflow."""
    conductor.register(
        WORKFLOW,
        [wait_for_webhook(TASK, {"$['event']['type']": "message"})],
        description="Waits for a Slack message",
        outputParameters={
            "text": f"${{{TASK}.output.event.text}}",
            "user": f"${{{TASK}.output.event.user}}",
        },
    )


def challenge(text: str) -> bytes:
    """The body of Slack's request that verifies a URL."""
    return json.dumps({"token": "unused", "challenge": text, "type": "url_verification"}).encode()


def message(text: str) -> bytes:
    """The body of Slack's request for a message in a channel."""
    return json.dumps(
        {
            "token": "unused",
            "team_id": "T0DEMO",
            "api_app_id": "A0DEMO",
            "event": {
                "type": "message",
                "channel": "C0DEMO",
                "user": "U0DEMO",
                "text": text,
                "ts": "1700000000.000100",
            },
            "type": "event_callback",
            "event_id": f"Ev{uuid.uuid4().hex[:10].upper()}",
            "event_time": 1700000000,
        }
    ).encode()
