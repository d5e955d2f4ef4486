"""What `hide` names is blank wherever people look, and there for Conductor."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.webhooks import load_definitions
from store.hiding import BLANK, masked, masked_target, may_be_hidden
from store.records import Event
from tests.support.sample import Sample

PAYLOAD = {
    "card": {"number": "4111-1111", "name": "Robin"},
    "items": [{"pin": 1}, {"pin": 2}],
    "kept": "x",
}


def event(payload: Any = None) -> Event:
    return Event(
        seq=1,
        id="e",
        webhook="w",
        received_at=0,
        payload=json.dumps(payload or PAYLOAD),
        headers={"x-user": "robin"},
        query={"q": "robin"},
        status="pending",
        hold_until=0,
        decided_at=None,
        hold="no",
        settled_at=None,
    )


@pytest.mark.parametrize(
    ("path", "gone", "stays"),
    [
        ("$.card.number", "4111-1111", "Robin"),
        ("$['card']['number']", "4111-1111", "Robin"),
        ("$.card", "Robin", "kept"),
        ("$.items[*].pin", '"pin": 1', "kept"),
        ("$..pin", '"pin": 2', "kept"),
        ("$", "Robin", "hidden"),
        ("$.missing", "no such text", "Robin"),
        ("$.card.number.last", "4111-1111", "Robin"),
    ],
)
def test_what_a_path_selects_is_blank(path: str, gone: str, stays: str) -> None:
    shown = masked(event(), [path]).payload
    assert gone not in shown
    assert stays in shown


def test_headers_and_query_can_be_hidden() -> None:
    shown = masked(event(), ["$._webhook.headers['x-user']", "$._webhook.query"])
    assert shown.headers == {"x-user": BLANK}
    assert shown.query == {"q": BLANK}
    assert json.loads(shown.payload) == PAYLOAD
    assert masked(event(), []) == event()


def test_what_encloses_an_event_can_be_hidden() -> None:
    inside = replace(event(), enclosing={"page": {"owner": "robin", "id": 1}})
    assert masked(inside, ["$._webhook.enclosing.page.owner"]).enclosing == {
        "page": {"owner": BLANK, "id": 1}
    }
    assert masked(inside, ["$._webhook"]).enclosing == {"page": BLANK}
    assert masked(inside, None).enclosing == {"page": BLANK}


def test_claims_can_be_hidden() -> None:
    proven = replace(event(), claims={"email": "robin@example.com", "scope": "orders"})
    assert masked(proven, ["$._webhook.claims.email"]).claims == {"email": BLANK, "scope": "orders"}
    assert masked(proven, ["$._webhook.claims"]).claims == dict.fromkeys(("email", "scope"), BLANK)
    assert masked(proven, None).claims == dict.fromkeys(("email", "scope"), BLANK)


def test_a_messages_key_and_what_surrounds_an_element_are_hidden_too(sample: Sample) -> None:
    event = sample.bridge().event(sample.events["delivered"])
    target = sample.store.queries.targets_of([event.id])[0]
    message = replace(target, kind="message", correlation_id="4111-1111")
    assert masked_target(message, ("$.card",)).correlation_id == BLANK
    assert masked_target(message, ()).correlation_id == "4111-1111"
    element = replace(event, enclosing={"card": "4111-1111", "batch": 7})
    assert masked(element, ("$.card",)).enclosing == {"card": BLANK, "batch": 7}


def test_a_hidden_value_that_came_in_the_query_is_hidden_there_too(sample: Sample) -> None:
    event = sample.bridge().event(sample.events["delivered"])
    merged = replace(
        event, payload='{"card": "4111-1111", "n": "7"}', query={"card": "4111-1111", "n": "7"}
    )
    shown = masked(merged, ("$.card",))
    assert json.loads(shown.payload) == {"card": BLANK, "n": "7"}
    assert shown.query == {"card": BLANK, "n": "7"}


def test_hide_is_checked_like_every_path(tmp_path: Path) -> None:
    file = tmp_path / "webhooks.yaml"
    file.write_text("webhooks:\n  - {name: a, verifier: none, receivers: {b: any}, hide: ['$[']}\n")
    with pytest.raises(Exception, match="hide"):
        load_definitions(file)


@pytest.mark.parametrize(
    ("path", "hide", "may"),
    [
        ("$.items[0].id", "$.items[*].pin", False),
        ("$.items[0].pin", "$.items[*].pin", True),
        ("$.items[*].pin.last", "$.items[*].pin", True),
        ("$.items", "$.items[*].pin", True),
        ("$.kept", "$.items[*].pin", False),
        ("$.items[*].id", "$.items[0]", True),
        ("$['items[*]'].pin", "$.items[*].pin", False),
        ("$.kept", "$..pin", True),
        ("$.kept", "$.items[?(@.open)].pin", True),
        ("$..kept", "$.card", True),
    ],
)
def test_a_path_may_select_what_is_hidden_unless_it_surely_leads_elsewhere(
    path: str, hide: str, may: bool
) -> None:
    assert may_be_hidden(path, (hide,)) is may
