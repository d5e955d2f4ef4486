"""Each element of an array is an event, wherever the array is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from platforms.bodies import Body
from relay.events.splitting import parts_of
from tests.support.relay import MakeRelay, Relay

META: dict[str, Any] = {
    "object": "page",
    "entry": [
        {"id": "1", "messaging": [{"mid": "a"}, {"mid": "b"}]},
        {"id": "2", "messaging": []},
        {"id": "3", "changes": 1},
        {"id": "4", "messaging": [{"mid": "c"}]},
    ],
}


def parts(value: Any, split: bool | str, batch: bool = False) -> list[tuple[Any, Any]]:
    found = parts_of(Body(value, batch=batch), split, 100)
    return [(part.body.value, part.enclosing) for part in found]


@pytest.mark.parametrize(
    ("value", "split", "found"),
    [
        ({"a": [1]}, False, [({"a": [1]}, None)]),
        ([1, {"b": 2}], True, [(1, None), ({"b": 2}, None)]),
        ([1], False, [([1], None)]),
        ({"a": [1]}, True, [({"a": [1]}, None)]),
        ({"a": [1, [2]], "b": 3}, "$.a", [(1, {"b": 3}), ([2], {"b": 3})]),
        ({"a": {"x": 1, "y": [5]}, "b": 3}, "$.a.y", [(5, {"b": 3, "a": {"x": 1}})]),
        ({"a": [[5], [6]]}, "$.a[-1]", [(6, {"a": None})]),
        ({"a": []}, "$.a", []),
        ({"a": {"b": 1}}, "$.a", [({"a": {"b": 1}}, None)]),
        ({"b": 1}, "$.a", [({"b": 1}, None)]),
        ("text", "$.a", [("text", None)]),
        ([1, 2], "$.request", [(1, {}), (2, {})]),
        ({"a": [1], "b": "x" * 10_000}, "$.a", [(1, None)]),
        (
            META,
            "$.entry[*].messaging",
            [
                ({"mid": "a"}, {"object": "page", "entry": {"id": "1"}}),
                ({"mid": "b"}, {"object": "page", "entry": {"id": "1"}}),
                ({"mid": "c"}, {"object": "page", "entry": {"id": "4"}}),
            ],
        ),
    ],
)
def test_each_element_is_a_part_and_what_is_around_it_is_known(
    value: Any, split: bool | str, found: Any
) -> None:
    before = json.dumps(value)
    assert parts(value, split) == found
    assert json.dumps(value) == before


def test_each_event_of_a_batch_is_split_by_the_path() -> None:
    batch = [{"n": 1, "items": ["a", "b"]}, {"n": 2}]
    assert parts(batch, False, batch=True) == [(batch[0], None), (batch[1], None)]
    assert parts(batch, "$.items", batch=True) == [
        ("a", {"n": 1}),
        ("b", {"n": 1}),
        (batch[1], None),
    ]


@pytest.fixture
def relay(make_relay: MakeRelay) -> Relay:
    return make_relay(
        {"name": "a", "verifier": "none", "split": "$.items", "dedup": {"path": "$.id"}}
    )


def post(relay: Relay, value: Any) -> Any:
    return relay.post("a", json.dumps(value)).get_json()


def test_an_element_is_the_payload_and_the_metadata_has_what_is_around(relay: Relay) -> None:
    assert len(post(relay, {"shop": 7, "items": [{"id": 1}, {"id": 2}]})["eventIds"]) == 2
    documents = [event.document() for event in relay.events()]
    assert [document.pop("_webhook")["enclosing"] for document in documents] == [{"shop": 7}] * 2
    assert documents == [{"id": 1}, {"id": 2}]


def test_without_an_array_there_the_whole_delivery_is_one_event(relay: Relay) -> None:
    post(relay, {"items": "none"})
    assert relay.event().document(metadata=False) == {"items": "none"}
    assert "enclosing" not in relay.event().document()["_webhook"]


@pytest.mark.parametrize("around", [{}, {"more": "x" * 9000}])
def test_a_long_head_is_not_stored_thousands_of_times(around: dict[str, Any], relay: Relay) -> None:
    head = {f"X-{number}": "x" * 6000 for number in range(0 if around else 4)}
    answer = relay.post("a", json.dumps(around | {"items": [{}] * 9000}), head)
    assert (answer.status_code, relay.events()) == (413, [])
    assert "send fewer elements at a time" in answer.get_json()["message"]
    assert relay.post("a", json.dumps(around | {"items": [{}] * 90}), head).status_code == 200


def test_no_event_of_many_goes_without_what_is_around_it() -> None:
    head, entries = {"kind": "x" * 1000}, [{"items": [number]} for number in range(9000)]
    found = parts_of(Body(head | {"entry": entries}), "$.entry[*].items", 10_000)
    assert [part.enclosing for part in found] == [head | {"entry": {}}] * 9000


def test_no_more_parts_are_made_than_asked_for() -> None:
    assert len(parts_of(Body({"a": [0] * 1000}), "$.a", 10)) == 10


def test_conditions_are_about_elements_and_may_ask_what_is_around(make_relay: MakeRelay) -> None:
    only = {"$.n": {"$gte": 2}, "$._webhook.enclosing.kind": "new"}
    relay = make_relay({"name": "a", "verifier": "none", "split": "$.items", "only": only})
    post(relay, {"kind": "new", "items": [{"n": 1}, {"n": 2}]})
    post(relay, {"kind": "old", "items": [{"n": 2}]})
    assert relay.payloads() == [{"n": 2}]


def test_what_was_decoded_is_split(make_relay: MakeRelay) -> None:
    relay = make_relay(
        {"name": "a", "verifier": "none", "decode": {"$.body": "json"}, "split": "$.body.items"}
    )
    post(relay, {"body": '{"items": [{"n": 1}, {"n": 2}], "x": 3}'})
    assert relay.payloads() == [{"n": 1}, {"n": 2}]
    assert relay.events()[0].enclosing == {"body": {"x": 3}}


def test_no_secret_of_the_platform_is_left_in_an_element(make_relay: MakeRelay) -> None:
    secret = "a-client-state-of-its-own"
    relay = make_relay(
        {"name": "a", "platform": "microsoft-graph", "secret": secret, "split": "$.value"}
    )
    answer = relay.post(
        "a", json.dumps({"value": [{"clientState": secret, "id": n} for n in (1, 2)], "x": 3})
    )
    assert answer.status_code in (200, 202)
    assert relay.payloads() == [{"id": 1}, {"id": 2}]
    assert all(secret not in json.dumps(event.document()) for event in relay.events())


def test_what_is_around_many_arrays_is_not_read_for_each() -> None:
    """Here for hours, if it were."""
    large = {
        "rows": [list(range(100)) for _ in range(5_000)],
        "entry": [{"m": []} for _ in range(10_000)],
    }
    assert parts(large, "$.entry[*].m") == []
    large["entry"] = [{"m": [number]} for number in range(50)]
    assert parts(large, "$.entry[*].m") == [(number, None) for number in range(50)]


def test_a_delivery_in_which_the_path_takes_too_long_is_refused_not_stored_whole(
    make_relay: MakeRelay,
) -> None:
    relay = make_relay({"name": "a", "verifier": "none", "split": "$..items"})
    body = json.dumps({"x": [0] * 200_000, "items": [1]})
    assert (relay.post("a", body).status_code, relay.events()) == (400, [])
