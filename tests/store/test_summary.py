"""An event's summary in a list: short, visible, never secret, never what `hide` names."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.logs import visible
from platforms import PLATFORMS
from platforms.base import Platform
from platforms.bodies import read_body
from platforms.guide import samples
from platforms.http import Request
from platforms.summary import Value
from store.hiding import masked, masked_in_list
from store.records import Event
from store.summary import Summarizer
from tests.support.examples import at_most, examples

SENDERS_DECIDE = {"custom", "cloudevents", "standard-webhooks"}


class Shop(Platform):
    name, title, purpose = "shop", "Shop", "orders"
    types = ("$.kind", Value("$.refund", word="refund"))
    summary = (
        Value("$.ref", without="refs/heads/"),
        Value("$.number", before="#"),
        "$.customer.name",
        "$['odd name']",
    )


def told(value: Any, hide: tuple[str, ...] | None = (), platform: Platform | None = None) -> str:
    kind, parts = Summarizer(platform or Shop(), hide).summarize(value)
    assert kind is None or next(iter(parts.values())) == kind
    return " ".join(parts.values())


@pytest.mark.parametrize("name", PLATFORMS)
def test_every_platform_says_what_its_sample_events_are(name: str) -> None:
    for sample in samples(name).values():
        headers = {"content-type": sample.content_type} | {
            key.lower(): value for key, value in sample.headers.items()
        }
        body = PLATFORMS[name].read(
            Request("POST", "", "", headers, sample.body, None, 0.0), signed=False
        )
        kind, parts = Summarizer(PLATFORMS[name], ()).summarize(body.value)
        assert kind is not None or name in SENDERS_DECIDE, sample.name
        assert len(parts) >= 2, "a type alone says nothing that the next event doesn't"


@pytest.mark.parametrize(
    ("name", "sample", "line"),
    [
        ("github", "push", "push acme/shop main"),
        ("github", "pull_request", "pull_request opened acme/shop #128 Round prices to cents"),
        ("slack", "message", "message in C05ORDERS by U07ROBIN"),
        ("stripe", "checkout", "checkout.session.completed cs_test_sample4711 complete"),
        ("hubspot", "contact", "contact.propertyChange object 501 its lifecyclestage"),
        (
            "standard-webhooks",
            "event",
            "invoice.paid data.id=inv_4711 data.customer=cus_88 data.amount=4990",
        ),
        ("custom", "event", "order.approved id=sample-4711 order.id=4711 order.total=49.9"),
    ],
)
def test_a_line_reads_as_people_would_say_it(name: str, sample: str, line: str) -> None:
    found = samples(name)[sample]
    assert told(read_body(found.body, found.content_type).value, platform=PLATFORMS[name]) == line


def test_the_declared_values_are_told_in_their_order() -> None:
    assert told(
        {"number": 7, "ref": "refs/heads/main", "kind": "push", "customer": {"name": "Robin"}}
    ) == ("push main #7 Robin")
    assert told({"refund": {"id": 1}, "odd name": "x"}) == "refund x"
    assert (
        told({"kind": None, "refund": None, "ref": " ", "number": {"a": 1}, "customer": []})
        == "number.a=1"
    )


def test_where_nothing_is_declared_the_first_fields_are_shown() -> None:
    event = {
        "api_key": "k",
        "id": 5,
        "empty": "",
        "none": None,
        "order": {"total": 1.5, "token": "t"},
        "at": 1,
    }
    assert told(event, platform=Platform()) == "id=5 at=1 order.total=1.5"
    assert told({"event": "order.paid", "id": 5}, platform=Platform()) == "order.paid id=5"
    assert told("just text", platform=Platform()) == "request=just text"
    assert (
        told([], platform=Platform())
        == told(None, platform=Platform())
        == told({}, platform=Platform())
        == ""
    )


@pytest.mark.parametrize(
    "name",
    [
        "secret",
        "client_secret",
        "accessToken",
        "password",
        "x-signature",
        "apiKey",
        "Authorization",
        "cvv",
    ],
)
def test_a_field_that_sounds_secret_is_not_told(name: str) -> None:
    assert told({name: "s3cr3t", "nested": {name: "s3cr3t"}}, platform=Platform()) == ""


def test_an_array_tells_of_its_first_element_and_how_many_there_are() -> None:
    assert told([{"kind": "push", "number": 1}, {"kind": "pull"}, {}]) == "push #1 and 2 more"
    assert told([{"kind": "push", "number": 1}], hide=("$.request[*].number",)) == "push"
    assert told([{"kind": "push", "number": 1}, {}], hide=("$.request",)) == ""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("$.number", "push main Robin"),
        ("$.customer", "push main #7"),
        ("$.customer.name", "push main #7"),
        ("$['customer']['name']", "push main #7"),
        ("$.customer.*", "push main #7"),
        ("$..name", "push main #7"),
        ("$..customer", "push main #7"),
        ("$.customer.email", "push main #7 Robin"),
        ("$..email", "push main #7 Robin"),
        ("$.*.name", "push main #7"),
        ("$.kind", "main #7 Robin"),
        ("$", ""),
        ("$.*", ""),
        ("$..*", ""),
        ("$.items[?(@.secret == 1)]", ""),
        ("$['number','ref']", ""),
        ("$._webhook.headers", "push main #7 Robin"),
    ],
)
def test_what_hide_names_is_not_told_and_nothing_where_that_is_unknown(
    path: str, line: str
) -> None:
    event = {"number": 7, "ref": "refs/heads/main", "kind": "push", "customer": {"name": "Robin"}}
    assert told(event, (path,)) == line
    kind, parts = Summarizer(Shop(), ()).summarize(event)
    stored = Event(
        seq=1,
        id="e",
        webhook="w",
        received_at=0,
        delivery_id=None,
        payload=json.dumps(event),
        headers={},
        query={},
        status="pending",
        hold_until=0,
        decided_at=0,
        hold="no",
        settled_at=None,
        replay_of=None,
        type=kind,
        summary_parts=parts,
    )
    for shown in (masked_in_list(stored, (path,)), masked(stored, (path,))):
        assert " ".join((shown.summary_parts or {}).values()) == line, (
            "hide was added after it arrived"
        )
        assert shown.type == ("push" if line.startswith("push") else None)
    assert masked_in_list(stored, None).summary_parts == {}
    assert masked_in_list(stored, None).type is None
    assert masked_in_list(replace(stored, summary_parts=None), (path,)).summary_parts is None
    assert told(event, None) == ""


def test_a_hidden_field_is_not_told_among_the_first_either() -> None:
    event = {"type": "paid", "name": "Robin", "card": 1, "id": 2}
    assert told(event, ("$.name", "$.type"), Platform()) == "id=2"


def test_what_cannot_be_seen_is_made_visible_and_what_is_long_is_cut() -> None:
    assert told({"kind": "a\x1b[31m\u202eb", "ref": "\ud800"}) == "a\\x1b[31m\\u202eb \\ud800"
    assert told({"ref": "x" * 10**6}) == "x" * 79 + "…"
    many = {f"m{number}": "y" * 10**5 for number in range(1000)}
    assert len(told(many, platform=Platform())) < 300
    assert told({"number": 10**5000}) == ""


NAMES = st.text() | st.sampled_from(["kind", "ref", "type"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
)


@examples
@settings(max_examples=at_most(300))
@given(JSON)
def test_whatever_arrives_is_told_within_bounds_or_not_at_all(value: Any) -> None:
    for platform in (Shop(), Platform(), PLATFORMS["github"], PLATFORMS["slack"]):
        kind, parts = Summarizer(platform, ("$.a",)).summarize(value)
        assert len(json.dumps([kind, parts])) < 20_000
        assert all(visible(text) == text for text in (*parts.values(), kind or ""))
