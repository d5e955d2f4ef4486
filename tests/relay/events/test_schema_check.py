"""What doesn't fit the webhook's schema is refused, or only noted, and never an event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config.webhooks import Webhook
from relay.events.selection import Misfit, Selection
from store.records import NewEvent
from tests.support.relay import Relay

SCHEMA = {
    "required": ["id"],
    "properties": {"id": {"type": "integer"}, "mail": {"type": "string", "maxLength": 5}},
}


def relay_with(
    folder: Path, schema: Any = "order.json", document: Any = SCHEMA, **keys: Any
) -> Relay:
    (folder / "order.json").write_text(json.dumps(document))
    return Relay(folder, [{"name": "a", "verifier": "none", "schema": schema, **keys}])


def post(relay: Relay, value: Any) -> tuple[int, Any]:
    answer = relay.post("a", json.dumps(value))
    return answer.status_code, answer.get_json()


def test_what_fits_is_an_event_and_what_does_not_is_answered_with_place_and_rule(
    tmp_path: Path,
) -> None:
    relay = relay_with(tmp_path)
    assert post(relay, {"id": 1})[0] == 200
    reason = "the payload doesn't fit the schema: $.id: type integer"
    assert post(relay, {"id": "secret"}) == (422, {"error": "schema_mismatch", "message": reason})
    assert relay.payloads() == [{"id": 1}]
    [rejection] = relay.rejections()
    assert (rejection.status, rejection.reason, rejection.kind) == (422, reason, "rejected")


def test_no_value_is_in_the_answer_or_in_what_is_noted(tmp_path: Path) -> None:
    relay = relay_with(tmp_path)
    told = json.dumps(post(relay, {"id": 1, "mail": "robin@example.com", "other": "secret"}))
    told += relay.rejections()[0].reason
    assert "$.mail: maxLength 5" in told
    assert "robin" not in told and "secret" not in told and "other" not in told


@pytest.mark.parametrize(
    ("hide", "shown"),
    [
        ("$.by", "$.by: a rule about what is hidden"),
        ("$.*", "$.by: a rule about what is hidden"),
        ("$.by.*.age", '$.by["robin@example.com"].age: a rule about what is hidden'),
        ("$..age", '$.by["robin@example.com"].age: a rule about what is hidden'),
        ("$.by[?(@.age > 3)]", "$: a rule about what is hidden"),
        ("$.by.other", '$.by["robin@example.com"].age: minimum 18'),
    ],
)
def test_people_learn_nothing_of_hidden_values_or_of_names_among_them(
    hide: str, shown: str, tmp_path: Path
) -> None:
    document = {
        "properties": {"by": {"additionalProperties": {"properties": {"age": {"minimum": 18}}}}}
    }
    relay = relay_with(tmp_path, document=document, hide=[hide])
    _, answer = post(relay, {"by": {"robin@example.com": {"age": 3}}})
    assert answer["message"].endswith('$.by["robin@example.com"].age: minimum 18'), (
        "the sender knows it"
    )
    assert relay.rejections()[0].reason == f"the payload doesn't fit the schema: {shown}"


def test_with_keep_it_is_answered_like_what_is_filtered_and_noted(tmp_path: Path) -> None:
    relay = relay_with(tmp_path, {"file": "order.json", "else": "keep"})
    assert post(relay, {"id": "x"}) == (200, {"filtered": True})
    assert relay.events() == []
    [rejection] = relay.rejections()
    assert (rejection.status, rejection.kind) == (422, "rejected")
    assert rejection.reason.endswith("type integer (its sender wasn't told: else: keep)")


def test_only_what_counts_must_fit(tmp_path: Path) -> None:
    relay = relay_with(tmp_path, only={"$.type": "order"})
    assert post(relay, {"type": "ping"}) == (200, {"filtered": True})
    assert post(relay, {"type": "order"})[0] == 422


def test_an_element_that_does_not_fit_refuses_the_delivery_as_a_whole(tmp_path: Path) -> None:
    relay = relay_with(tmp_path, split="$.items")
    status, answer = post(relay, {"items": [{"id": 1}, {"id": "x"}]})
    assert (status, relay.events()) == (422, [])
    assert "of event 2 doesn't fit the schema: $.id" in answer["message"]


def test_with_keep_the_elements_that_fit_are_events(tmp_path: Path) -> None:
    relay = relay_with(tmp_path, {"file": "order.json", "else": "keep"}, split="$.items")
    status, answer = post(relay, {"items": [{"id": 1}, {"id": "x"}, {"id": 3}]})
    assert (status, len(answer["eventIds"])) == (200, 2)
    assert relay.payloads() == [{"id": 1}, {"id": 3}]
    assert ["event 2" in rejection.reason for rejection in relay.rejections()] == [True]


def test_the_payload_is_what_was_decoded(tmp_path: Path) -> None:
    relay = relay_with(
        tmp_path,
        document={"properties": {"p": {"type": "object", "required": ["n"]}}},
        decode={"$.p": "json"},
    )
    assert post(relay, {"p": '{"n": 1}'})[0] == 200
    assert post(relay, {"p": '{"m": 1}'})[0] == 422
    assert post(relay, {"p": "not JSON"})[0] == 422, "what can't be decoded stays text"


def test_a_schema_that_could_not_be_read_lets_nothing_through() -> None:
    webhook = Webhook.model_validate(
        {"name": "a", "receivers": {"w": "any"}, "schema": "order.json"}
    )
    with pytest.raises(Misfit, match="can't be used"):
        Selection(webhook).of([NewEvent("e", "w", 0, "{}", {}, {}, 0)])
