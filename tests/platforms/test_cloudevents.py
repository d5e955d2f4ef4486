"""CloudEvents: every mode, judged by the `cloudevents` package, and the handshake of web hooks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from cloudevents.core.bindings import http as judge
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from platforms import PLATFORMS
from platforms.bodies import BadBody
from platforms.http import Request
from tests.support.relay import NOW, MakeRelay

ATTRIBUTES = {"id": "a1", "source": "/shop", "type": "order.made", "specversion": "1.0"}
STRUCTURED = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
BINARY = {f"ce-{name}": value for name, value in ATTRIBUTES.items()}
BATCH = {"Content-Type": "application/cloudevents-batch+json"}
OPEN = {"name": "ce", "platform": "cloudevents", "verifier": "none"}
SECRET = "0123456789abcdef-secret"


def made(data: Any = None, **attributes: Any) -> CloudEvent:
    return CloudEvent({**ATTRIBUTES, **attributes}, data)


def read(headers: Mapping[str, str], body: bytes) -> Any:
    """The payload, as the platform reads it."""
    ours = PLATFORMS["cloudevents"]
    lower = {name.lower(): value for name, value in headers.items()}
    return ours.read(
        Request("POST", "https://x/webhook/ce", "", lower, body, None, NOW), signed=False
    ).value


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
names = st.from_regex(r"[a-z0-9]{1,12}", fullmatch=True).filter(
    lambda name: (
        name not in ("data", "datacontenttype", "dataschema", "time", "subject", *ATTRIBUTES)
    )
)
json_data = st.dictionaries(
    texts, st.one_of(st.integers(), texts, st.none(), st.booleans()), max_size=4
)


@given(texts, texts, texts, st.dictionaries(names, texts, max_size=3), json_data)
def test_what_the_judge_writes_is_read_alike_in_either_mode(
    event_id: str, source: str, kind: str, more: dict[str, str], data: Any
) -> None:
    attributes = {
        "id": event_id,
        "source": source,
        "type": kind,
        "datacontenttype": "application/json",
        **more,
    }
    event = made(data, **attributes)
    structured, binary = judge.to_structured_event(event), judge.to_binary_event(event)
    expected = {"specversion": "1.0", **attributes, "data": data}
    for message in (structured, binary):
        found = read(
            {"content-type": "application/cloudevents+json"} | message.headers, message.body
        )
        del found["time"]  # which the judge adds
        assert found == expected


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("text/plain", "hello ✓", {"data": "hello ✓"}),
        ("application/xml", "<a/>", {"data": "<a/>"}),
        ("application/json", "[1, 2]", {"data": [1, 2]}),
        ("application/json", '"text"', {"data": "text"}),
        ("application/vnd.x+json", '{"a": 1}', {"data": {"a": 1}}),
        ("application/octet-stream", b"\x00\xff", {"data_base64": "AP8="}),
        ("application/x-www-form-urlencoded", "request=1", {"data": {"request": "1"}}),
        (None, '{"a": 1}', {"data": {"a": 1}}),
        (None, b"\xff", {"data_base64": "/w=="}),
        (None, "", {}),
    ],
)
def test_the_data_of_a_binary_event_is_what_its_content_type_says(
    content_type: str | None, body: bytes | str, expected: dict[str, Any]
) -> None:
    headers = {"content-type": content_type} if content_type else {}
    found = read(BINARY | headers, body if isinstance(body, bytes) else body.encode())
    assert found == ATTRIBUTES | expected | (
        {"datacontenttype": content_type} if content_type else {}
    )


def test_a_header_may_be_quoted_and_percent_encoded() -> None:
    found = read(BINARY | {"ce-subject": '"Euro %E2%82%AC \\" 😀"'.encode().decode("latin-1")}, b"")
    assert found["subject"] == 'Euro € " 😀'


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b"{}"),
        ({"content-type": "application/json"}, json.dumps(ATTRIBUTES).encode()),
        (STRUCTURED, b"[]"),
        (STRUCTURED, b"{"),
        (STRUCTURED, b"\xff"),
        (STRUCTURED, json.dumps(ATTRIBUTES | {"specversion": "0.3"}).encode()),
        (STRUCTURED, json.dumps(ATTRIBUTES | {"id": ""}).encode()),
        (STRUCTURED, json.dumps(ATTRIBUTES | {"source": 5}).encode()),
        (STRUCTURED, json.dumps({"specversion": "1.0", "id": "1", "source": "/"}).encode()),
        (BATCH, json.dumps(ATTRIBUTES).encode()),
        (BATCH, json.dumps([ATTRIBUTES, {}]).encode()),
        ({"ce-id": "1"}, b""),
        (BINARY | {"ce-x": "a%00b"}, b""),
        ({"content-type": "application/cloudevents+avro"}, b"x"),
        (BINARY | {"content-type": "application/json"}, b"{"),
    ],
)
def test_what_is_no_cloud_event_is_malformed(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(BadBody):
        read(headers, body)


# --- through the relay ---


def test_structured_and_binary_deliveries_of_one_event_are_one(make_relay: MakeRelay) -> None:
    relay = make_relay(OPEN)
    event = made({"n": 1}, datacontenttype="application/json")
    structured, binary = judge.to_structured_event(event), judge.to_binary_event(event)
    first = relay.post("ce", structured.body, STRUCTURED)
    again = relay.post("ce", binary.body, {"Content-Type": "application/json", **binary.headers})
    other = relay.post("ce", json.dumps(ATTRIBUTES | {"source": "/other"}).encode(), STRUCTURED)
    assert again.json == {"eventId": first.json["eventId"], "duplicate": True}
    assert other.json.keys() == {"eventId"}
    assert [stored.delivery_id for stored in relay.events()] == ["/shop a1", "/other a1"]


def test_every_event_of_a_batch_is_an_event_with_its_own_id(make_relay: MakeRelay) -> None:
    relay = make_relay(OPEN)
    batch = [ATTRIBUTES | {"id": str(number), "data": number} for number in range(3)]
    answer = relay.post("ce", json.dumps(batch), BATCH)
    assert answer.status_code == 200
    assert len(answer.json["eventIds"]) == 3
    assert [payload["data"] for payload in relay.payloads()] == [0, 1, 2]
    assert [stored.delivery_id for stored in relay.events()] == ["/shop 0", "/shop 1", "/shop 2"]
    mixed = relay.post("ce", json.dumps([*batch, ATTRIBUTES | {"id": "new"}]), BATCH)
    assert mixed.json["eventIds"][:3] == answer.json["eventIds"]
    assert len(relay.events()) == 4


def test_the_secret_is_a_bearer_token(make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "ce", "platform": "cloudevents", "secret": SECRET})
    body = json.dumps(ATTRIBUTES)
    assert (
        relay.post("ce", body, STRUCTURED | {"Authorization": f"Bearer {SECRET}"}).status_code
        == 200
    )
    for wrong in (
        f"Basic {SECRET}",
        "Bearer x",
        f"Bearer {SECRET}x",
        SECRET,
        "Bearer é".encode().decode("latin-1"),
    ):
        assert relay.post("ce", body, STRUCTURED | {"Authorization": wrong}).status_code == 401
    assert relay.post("ce", body, STRUCTURED).status_code == 401
    assert "authorization" not in relay.event().headers


# https://learn.microsoft.com/en-us/azure/event-grid/end-point-validation-cloud-events-schema
AZURE = {"WebHook-Request-Origin": "eventgrid.azure.net", "WebHook-Request-Rate": "120"}


def test_the_handshake_is_answered_and_verifies_only_a_webhook_without_a_secret(
    make_relay: MakeRelay,
) -> None:
    relay = make_relay(
        {"name": "ce", "platform": "cloudevents"},
        {"name": "closed", "platform": "cloudevents", "secret": SECRET},
    )
    for headers in ({}, {"WebHook-Request-Origin": ""}, {"WebHook-Request-Origin": "a\x80b"}):
        assert relay.post("ce", method="OPTIONS", headers=headers).status_code == 401
    assert relay.post("ce", json.dumps(ATTRIBUTES), STRUCTURED).status_code == 401
    answer = relay.post("ce", method="OPTIONS", headers=AZURE)
    assert answer.status_code == 200
    assert answer.headers["WebHook-Allowed-Origin"] == "eventgrid.azure.net"
    assert answer.headers["WebHook-Allowed-Rate"] == "*"
    assert "POST" in answer.headers["Allow"]
    assert answer.data == b""
    assert relay.post("ce", json.dumps(ATTRIBUTES), STRUCTURED).status_code == 200
    assert relay.post("closed", method="OPTIONS", headers=AZURE).status_code == 200
    assert relay.post("closed", json.dumps(ATTRIBUTES), STRUCTURED).status_code == 401
    assert relay.verified() == {"ce"}
