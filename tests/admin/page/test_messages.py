"""Messages on the pages of a webhook and an event, by the API and by the command line."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from admin.cli import main
from store.records import Decision, NewEvent, NewTarget, Term
from store.rules.keys import lane_of
from tests.admin.page.test_app import page
from tests.support.deciding import decide
from tests.support.sample import DEFINITIONS, Sample

CHAT = """\
  - name: chat
    platform: slack
    hide: [$.user]
    messages: [{workflow: agent, key: $.thread, else: hold}, {workflow: profile, key: $.user}]
"""


@pytest.fixture
def event_id(sample: Sample) -> str:
    """An event with a message that another one goes before."""
    (sample.folder / "webhooks.yaml").write_text(DEFINITIONS + CHAT, encoding="utf-8")
    now = sample.store.now()
    message = NewTarget(
        "message", "agent", correlation_id="t-1", lane=lane_of("agent", "t-1"), otherwise="hold"
    )
    for id_ in ("m1", "m2"):
        text = '{"thread": "t-1", "user": "ada"}'
        sample.store.deliveries.append([NewEvent(id_, "chat", now, text, {}, {}, now + 600_000)])
        decision = Decision(id_, "pending", "no", (message,))
        sample.store.leadership.elect("sample", 10**9)
        decide(sample.store, Term("sample"), [decision], now, 0)
    return "m2"


def test_a_webhooks_page_shows_its_messages(client: FlaskClient, event_id: str) -> None:
    assert "to agent by $.thread, else hold" in page(client, "/webhooks/chat")


def test_an_events_page_and_the_api_show_its_messages_and_no_hidden_key(
    client: FlaskClient, event_id: str
) -> None:
    text = page(client, f"/events/{event_id}")
    for part in (
        "gives a message to",
        "Sends message to agent",
        "waiting for earlier messages",
        "(t-1)",
    ):
        assert part in text
    assert "ada" not in text
    why = client.get(f"/api/events/{event_id}/why").json
    assert why is not None
    assert [(one["workflow"], one["holds"]) for one in why["messages"]] == [
        ("agent", True),
        ("profile", True),
    ]
    assert "ada" not in str(why)


def test_the_command_line_explains_messages(sample: Sample, event_id: str) -> None:
    answer = CliRunner().invoke(
        main, ["events", "explain", event_id], env=sample.environment, catch_exceptions=False
    )
    assert "SENDS MESSAGE  to agent" in answer.output
    assert "ada" not in answer.output
