"""Slack: the challenge verifies the webhook, then its events resume workflows."""

from __future__ import annotations

from testkit import sample
from testkit.client import Conductor, outputs, wait_for_webhook
from tests.acceptance.bridge import Bridge, accepted, unique

STORES = ("sqlite", "postgres")
RELAY = False
WEBHOOKS = f"""
webhooks:
  - name: signed
    platform: slack
    secret: ${{SLACK_SECRET}}
    receivers:
      {unique("slack_signed")}: any
  - name: unsigned
    platform: slack
    receivers:
      {unique("slack_unsigned")}: any
"""

MESSAGE = {
    "type": "event_callback",
    "event_id": "Ev0000000001",
    "event": {"type": "message", "text": "Hello", "channel": "C1"},
}


def waiting(conductor: Conductor, name: str) -> str:
    """The id of a workflow that waits for a message."""
    conductor.register(unique(name), [wait_for_webhook("wait", {"$['event']['type']": "message"})])
    workflow_id = conductor.start(unique(name))
    conductor.wait_for_task(workflow_id, "wait")
    return workflow_id


def status(bridge: Bridge, webhook: str) -> str:
    """Unverified or Verified."""
    [row] = [row for row in bridge.cli_json("webhooks") if row["name"] == webhook]
    return str(row["status"])


def test_a_signed_challenge_verifies_and_a_signed_message_resumes(bridge: Bridge, conductor: Conductor) -> None:
    workflow_id = waiting(conductor, "slack_signed")
    assert status(bridge, "signed") == "Unverified"

    challenge = {"type": "url_verification", "challenge": "3eZbrw1aBm2rZgRNFdxV", "token": "x"}
    assert bridge.slack("signed", challenge, secret="another").status == 401
    assert status(bridge, "signed") == "Unverified"
    answer = bridge.slack("signed", challenge)
    assert (answer.status, answer.json) == (200, {"challenge": "3eZbrw1aBm2rZgRNFdxV"})
    assert status(bridge, "signed") == "Verified"
    assert bridge.events("signed") == []

    assert bridge.slack("signed", MESSAGE, secret="another").status == 401
    accepted(bridge.slack("signed", MESSAGE))
    [output] = outputs(conductor.wait_for_status(workflow_id), "wait")
    assert output["event"] == MESSAGE["event"]


def test_without_a_secret_only_the_challenge_opens_the_webhook(bridge: Bridge, conductor: Conductor) -> None:
    workflow_id = waiting(conductor, "slack_unsigned")

    assert bridge.post("unsigned", MESSAGE).status == 401
    assert status(bridge, "unsigned") == "Unverified"
    answer = bridge.post("unsigned", sample.challenge("abc"), {"Content-Type": "application/json"})
    assert (answer.status, answer.json) == (200, {"challenge": "abc"})
    assert status(bridge, "unsigned") == "Verified"

    accepted(bridge.post("unsigned", MESSAGE))
    conductor.wait_for_status(workflow_id)
