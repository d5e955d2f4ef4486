"""`only`: what is answered, counted and not stored; and `respond`, the answer of one's own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from config.webhooks import Webhook
from relay import metrics
from relay.events.selection import MOST_REASONS, Selection
from store.records import NewEvent
from tests.support.relay import MakeRelay, Relay

TICKETS = {
    "name": "t",
    "verifier": "none",
    "only": {"$.type": {"$in": ["made", "changed"]}, "$.n": {"$gt": 0}},
}


def filtered(relay: Relay, name: str = "t") -> list[str]:
    """The reasons of what was filtered, the newest first."""
    relay.rejections()
    return [one.reason for one in relay.store.without_events.rejections(name, filtered=True)]


def counts(relay: Relay, name: str = "t") -> dict[str, int]:
    relay.rejections()
    return relay.store.queries.delivery_counts(0).get(name, {})


def test_what_does_not_hold_is_answered_counted_and_not_stored(make_relay: MakeRelay) -> None:
    relay = make_relay(TICKETS)
    kept = relay.post("t", json.dumps({"type": "made", "n": 1}))
    assert kept.json.keys() == {"eventId"}
    for body in ({"type": "closed", "n": 1}, {"type": "made"}):
        answer = relay.post("t", json.dumps(body))
        assert (answer.status_code, answer.json) == (200, {"filtered": True})
    assert [event.id for event in relay.events()] == [kept.json["eventId"]]
    assert filtered(relay) == [
        "nothing at $.n, expected is $gt 0",
        '$.type is "closed", expected is $in ["made", "changed"]',
    ]
    assert counts(relay) == {"accepted": 1, "filtered": 2}
    assert relay.rejections() == []
    exposed = metrics.exposition().decode()
    assert 'bridge_deliveries_total{code="200",outcome="filtered",webhook="t"}' in exposed


def test_only_sees_headers_and_query(make_relay: MakeRelay) -> None:
    relay = make_relay(
        {
            "name": "t",
            "verifier": "none",
            "only": {"$._webhook.headers['x-event']": {"$regex": "^push$"}, "$.tenant": "a"},
        }
    )
    assert "eventId" in relay.post("t", "{}", {"X-Event": "push"}, query_string="tenant=a").json
    assert relay.post("t", "{}", {"X-Event": "ping"}, query_string="tenant=a").json == {
        "filtered": True
    }
    assert relay.post("t", "{}", {"X-Event": "push"}, query_string="tenant=b").json == {
        "filtered": True
    }


def test_what_is_refused_is_not_filtered_and_what_is_filtered_is_proven(
    make_relay: MakeRelay,
) -> None:
    secret = "0123456789abcdef"
    relay = make_relay({"name": "t", "headers": {"X-Key": secret}, "only": TICKETS["only"]})
    assert relay.post("t", '{"type": "closed"}').status_code == 401
    assert relay.verified() == set()
    assert relay.post("t", '{"type": "closed"}', {"X-Key": secret}).json == {"filtered": True}
    assert relay.verified() == {"t"}


def test_a_reason_has_nothing_of_what_is_hidden(make_relay: MakeRelay) -> None:
    relay = make_relay(
        {"name": "t", "verifier": "none", "only": {"$.card.name": "x"}, "hide": ["$.card"]}
    )
    relay.post("t", json.dumps({"card": {"name": "Ann"}}))
    assert filtered(relay) == ["$.card.name is hidden, and doesn't hold"]


BATCH = {"name": "t", "verifier": "none", "split": True, "dedup": {"path": "$.id"}}


def test_nothing_that_is_known_of_a_batch_is_evaluated_again(make_relay: MakeRelay) -> None:
    relay = make_relay(BATCH | {"only": {"$._webhook.headers['x-kind']": "wanted"}})
    elements = [{"id": str(number)} for number in range(30)]
    stored = relay.post("t", json.dumps(elements), {"X-Kind": "wanted"}).json["eventIds"]
    again = relay.post("t", json.dumps([*elements, {"id": "new"}])).json
    assert again == {"eventIds": stored, "duplicate": True}
    assert relay.post("t", json.dumps(elements)).json == again
    assert counts(relay) == {"accepted": 30, "duplicate": 60, "filtered": 1}


def test_of_a_batch_all_that_is_filtered_is_counted_and_the_reasons_are_few(
    make_relay: MakeRelay,
) -> None:
    relay = make_relay(BATCH | {"only": {"$.n": 1}})
    assert relay.post("t", json.dumps([{}] * 3 * MOST_REASONS)).json == {"filtered": True}
    assert counts(relay) == {"filtered": 3 * MOST_REASONS}
    assert filtered(relay) == ["nothing at $.n, expected is 1"] * MOST_REASONS
    selection = Selection(
        Webhook.model_validate({"name": "t", "receivers": {"w": "any"}, "only": {"$.n": 1}})
    )
    selected = selection.of(
        [NewEvent(str(number), "t", 0, "{}", {}, {}, 0) for number in range(3 * MOST_REASONS)]
    )
    assert (selected.filtered.number, len(selected.filtered.reasons)) == (
        3 * MOST_REASONS,
        MOST_REASONS,
    )


def test_a_batch_that_takes_too_long_is_refused(
    make_relay: MakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.events.selection.LONGEST", 0.0)
    relay = make_relay(BATCH | {"only": {"$.n": 1}})
    refused = relay.post("t", json.dumps([{"n": 1}] * 30))
    assert (refused.status_code, refused.json["error"]) == (413, "body_too_large")
    assert "30 events take too long" in refused.json["message"]
    assert relay.events() == []


# --- respond ---


@pytest.mark.parametrize(
    ("respond", "status", "body", "content_type"),
    [
        (
            {"status": 202, "body": "thanks ✓"},
            202,
            "thanks ✓".encode(),
            "text/plain; charset=utf-8",
        ),
        ({"body": "<ok/>", "content_type": "text/xml"}, 200, b"<ok/>", "text/xml"),
        ({"body": {"text": "hi"}}, 200, b'{"text": "hi"}', "application/json"),
        ({"body": [1]}, 200, b"[1]", "application/json"),
        ({"status": 204}, 204, b"", None),
        ({}, 200, b"", None),
    ],
)
def test_the_answer_of_ones_own(
    respond: dict[str, Any],
    status: int,
    body: bytes,
    content_type: str | None,
    make_relay: MakeRelay,
) -> None:
    relay = make_relay(TICKETS | {"respond": respond, "dedup": {"path": "$.n"}})
    accepted = relay.post("t", '{"type": "made", "n": 1}')
    duplicate = relay.post("t", '{"type": "made", "n": 1}')
    dropped = relay.post("t", '{"type": "other", "n": 2}')
    for answer in (accepted, duplicate, dropped):
        assert (answer.status_code, answer.data) == (status, body)
        if content_type is not None:
            assert answer.headers["Content-Type"] == content_type
    assert len(relay.events()) == 1
    assert counts(relay) == {"accepted": 1, "duplicate": 1, "filtered": 1}


def test_challenges_and_errors_stay_as_they_are(make_relay: MakeRelay) -> None:
    relay = make_relay(
        {
            "name": "t",
            "verifier": "none",
            "challenge": "token",
            "respond": {"status": 202, "body": "thanks"},
        }
    )
    assert relay.post("t", query_string="token=x").data == b"x"
    assert relay.post("t", "{").status_code == 400
    assert relay.client.put("/webhook/t").status_code == 405


def test_respond_stands_for_a_platforms_answer(make_relay: MakeRelay) -> None:
    relay = make_relay(
        {"name": "t", "platform": "twilio", "verifier": "none", "respond": {"body": "ok"}}
    )
    assert (
        relay.post("t", "a=1", {"Content-Type": "application/x-www-form-urlencoded"}).data == b"ok"
    )
