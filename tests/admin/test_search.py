"""Filters of the list: the same on page, command line and in the API, and none says what is
hidden."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from admin import search as searching
from admin.bridge import Bridge
from admin.errors import NotFound
from admin.events.filters import parts_of, search_of
from admin.events.replay import choose
from admin.page.app import create_app
from admin.search import BadFilter, split_condition
from store.open import open_store
from store.records import NewEvent, new_event_id
from store.sql import event_search
from store.sql.event_search import EventFilter, EventPage
from tests.admin.conftest import Cli
from tests.support.sample import Sample, settings_for


def add(sample: Sample, payload: Any, webhook: str = "orders", **more: Any) -> str:
    """An event with this payload, which arrives now."""
    at, event_id = sample.store.now(), new_event_id()
    text = payload if isinstance(payload, str) else json.dumps(payload)
    sample.store.deliveries.append([NewEvent(event_id, webhook, at, text, {}, {}, at, **more)])
    return event_id


def found(bridge: Bridge, **parts: str) -> list[str]:
    return [event.id for event in bridge.events(search_of(bridge, parts))]


def test_the_form_keeps_conditions_apart(sample: Sample) -> None:
    client = create_app(sample.settings).test_client()
    page = client.get("/events", query_string=[("where", "$.ref=a b"), ("where", "$.x='\"")]).text
    fields = re.findall(r'name="where" (?:value="([^"]*)")?', page)
    assert [html.unescape(field) for field in fields] == ["$.ref=a b", "$.x='\"", ""]


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("$.order.id=4711", True),
        ("$.order.id = 4711", True),
        ("$.order.id=471", False),
        ("$.order.total=49.9", True),
        ("$.order.total=49.90", True),
        ("$.order.big=1000", True),
        ("$.order.paid=true", True),
        ("$.order.paid=1", False),
        ("$.order.name=M\u00fcller & S\u00f6hne", True),
        ("$.order.name=m\u00fcller & s\u00f6hne", False),
        ("$.order.items[*].sku=a=b", True),
        ("$..sku=anvil", True),
        ("$.order.note=null", False),
        ("$.order.text=4711", True),
        ("$._webhook.name=github", False),
        ("$.missing=4711", False),
    ],
)
def test_a_condition_finds_a_value_at_its_path(sample: Sample, condition: str, holds: bool) -> None:
    payload = (
        '{"order": {"id": 4711, "total": 49.9, "big": 1e3, "paid": true, "note": null, "text": "4711",'
        ' "name": "M\\u00fcller & S\\u00f6hne", "items": [{"sku": "anvil"}, {"sku": "a=b"}]}}'
    )
    event_id = add(sample, payload)
    add(sample, {"order": {"id": 4712}, "other": 4711})
    assert found(sample.bridge(), where=condition) == [event_id] * holds


@pytest.mark.parametrize("text", ["order.id=4711", "$.order.id", "$[=1", "", "=", "$.a[?(@.b=1"])
def test_what_is_no_condition_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(BadFilter, match="is not a condition"):
        split_condition(text)


def test_a_condition_is_compared_from_its_first_equals_sign_that_follows_a_path() -> None:
    assert split_condition("$.items[?(@.sku == 'a')].n=1") == ("$.items[?(@.sku == 'a')].n", "1")
    assert split_condition("$.a==b") == ("$.a", "=b")


def test_parts_are_combined(sample: Sample) -> None:
    bridge = sample.bridge()
    paid = add(sample, {"n": 1, "who": "Robin"}, type="invoice.paid")
    void = add(sample, {"n": 2, "who": "ROBIN"}, type="invoice.void")
    other = add(sample, {"n": 1, "who": "robin"}, webhook="slack", type="message")
    assert found(bridge, text="robin") == [other, void, paid]
    assert found(bridge, text="robin", type="invoice.*") == [void, paid]
    assert found(bridge, text="robin", type="invoice.*", where="$.n=1") == [paid]
    assert found(bridge, text="robin", where="$.n=1\n$.who=robin") == [other]
    assert found(bridge, text="robin", since="1m", webhook="orders") == [void, paid]
    assert found(bridge, text="robin", until="1m") == []
    assert found(bridge, text="robin", webhook="orders", status="pending", until="2000-01-01") == []


def test_text_is_found_whatever_its_case_and_however_json_writes_it(sample: Sample) -> None:
    escaped = add(sample, '{"name": "M\\u00dcLLER"}')
    plain = add(sample, '{"name": "m\u00fcller"}')
    japanese = add(sample, {"name": "\u65e5\u672c"})
    bridge = sample.bridge()
    assert found(bridge, text="M\u00fcller") == [plain, escaped]
    assert found(bridge, text="\u65e5\u672c") == [japanese]


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ({"status": "resolve"}, "there is no status resolve: did you mean resolved"),
        ({"since": "soon"}, "'soon' is not a time"),
        ({"until": "2026-02-30"}, "'2026-02-30' is not a time"),
        ({"since": "1h", "until": "2h"}, "since must be before until"),
        ({"where": "n=1"}, "n=1 is not a condition"),
        ({"where": "\n".join(["$.a=1"] * 11)}, "at most 10 conditions"),
    ],
)
def test_a_wrong_filter_is_refused_alike_everywhere(
    sample: Sample, client: FlaskClient, cli: Cli, parts: dict[str, str], problem: str
) -> None:
    with pytest.raises(BadFilter, match=problem.replace("'", ".")):
        search_of(sample.bridge(), parts)
    answer = client.get("/api/events", query_string=parts)
    assert answer.status_code == 400
    assert problem in answer.get_json()["message"]
    shown = client.get("/events", query_string=parts)
    assert shown.status_code == 400
    assert problem.replace("'", "&#39;") in shown.text
    options = [
        word
        for name, value in parts.items()
        for one in value.splitlines()
        for word in (f"--{name}", one)
    ]
    assert client.get("/replay", query_string=parts).status_code == 400
    cli("events", *options, code=2)


def test_a_webhook_that_never_was_is_unknown_everywhere(
    sample: Sample, client: FlaskClient, cli: Cli
) -> None:
    text = "no webhook order: did you mean orders"
    with pytest.raises(NotFound, match=text):
        search_of(sample.bridge(), {"webhook": "order"})
    for path in ("/api/events", "/api/rejections", "/api/failures"):
        answer = client.get(f"{path}?webhook=order")
        assert answer.status_code == 404
        assert text in answer.get_json()["message"]
    assert text in client.get("/events?webhook=order").text
    assert text in cli("events", "--webhook", "order", code=1).stderr


def test_links_carry_the_filter(sample: Sample, client: FlaskClient) -> None:
    for number in range(60):
        add(sample, {"n": number, "kind": "x"}, type="made")
    answer = client.get("/api/events?type=ma*&where=$.kind=x&since=1h&limit=50")
    assert len(answer.get_json()) == 50
    older = answer.headers["Link"].partition(">")[0].removeprefix("<")
    rest = client.get(older)
    assert len(rest.get_json()) == 10
    assert "Link" not in rest.headers
    shown = client.get("/events?type=ma*&where=$.kind=x&since=1h").text
    older = shown.partition('href="/events?type=')[2].partition('"')[0].replace("&amp;", "&")
    assert client.get("/events?type=" + older).text.count("/events/0") == 10


def test_a_search_that_ends_before_the_oldest_event_says_so(
    sample: Sample, client: FlaskClient, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_search, "SEARCHED", 3)
    old = add(sample, {"a": "needle"}, type="rare")
    for _ in range(5):
        add(sample, {"a": "hay"}, type="common")
    answer = client.get("/api/events?type=rare")
    assert answer.get_json() == []
    assert answer.headers["Searched-Since"].endswith("Z")
    older = answer.headers["Link"].partition(">")[0].removeprefix("<")
    assert [event["eventId"] for event in client.get(older).get_json()] == [old]
    shown = client.get("/events?text=needle").text
    assert "Searched back to" in shown
    assert "Older" in shown
    assert "searched back to" in cli("events", "--where", "$.a=needle").stderr
    assert "Searched-Since" not in client.get("/api/events").headers


@pytest.mark.parametrize("guess", ["4111", "4112", "secret.kind", "nothing"])
@pytest.mark.parametrize("part", ["text", "type", "where"])
def test_whatever_is_looked_for_as_many_events_with_hidden_values_are_read(
    guess: str, part: str, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sample.folder / "webhooks.yaml").write_text(
        "webhooks:\n  - name: pay\n    verifier: none\n    hide: [$.card, $.kind]\n    receivers: {flow: any}\n"
        "  - name: orders\n    verifier: none\n    receivers: {flow: any}\n"
    )
    bridge = sample.bridge()
    for number in range(30):
        add(sample, {"card": f"41{number}11", "kind": "x"}, webhook="pay", type="secret.kind")
        add(sample, {"kind": f"41{number}11"})
    query = search_of(bridge, {part: f"$.card={guess}" if part == "where" else guess})
    looked: list[int] = []
    page = sample.store.queries.page

    def counting(query: EventFilter) -> EventPage:
        found = page(query)
        looked.append(sum(event.webhook == "pay" for event in found.events))
        return found

    monkeypatch.setattr(sample.store.queries, "page", counting)
    assert "pay" not in {event.webhook for event in bridge.page(query).events}
    assert looked == [30]


@pytest.mark.parametrize("module", [searching, event_search])
def test_a_search_that_takes_too_long_says_how_far_it_went_and_goes_on(
    module: Any, sample: Sample, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", -1.0)
    monkeypatch.setattr(event_search, "_SLICE", 1)
    ids = {add(sample, {"n": number, "deep": {"kind": "x"}}) for number in range(3)}
    address, found = "/api/events?where=$..kind=x&webhook=orders", set[str]()
    for _ in range(20):
        answer = client.get(address)
        found |= {event["eventId"] for event in answer.get_json()}
        if "Link" not in answer.headers:
            break
        assert "Searched-Since" in answer.headers
        address = answer.headers["Link"].partition(">")[0].removeprefix("<")
    assert found == ids
    assert "Searched back to" in client.get("/events?where=$..kind=x").text


def test_the_command_line_takes_all_that_match_however_long_that_takes(
    sample: Sample, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [add(sample, {"deep": {"kind": "x"}}) for _ in range(3)]
    monkeypatch.setattr(searching, "PATIENCE", -1.0)
    bridge = sample.bridge()
    query = search_of(bridge, {"where": "$..kind=x"})
    assert [event.id for event in choose(bridge, query)] == ids
    assert [event.id for event in choose(bridge, query, most=10)] == ids[-1:], "what the page shows"
    found = json.loads(
        cli("events", "replay", "--where", "$..kind=x", "--dry-run", "--json").stdout
    )
    assert found["chosen"] == 3


@pytest.mark.parametrize(
    "condition",
    [
        "$.a=" + "[" * 20_000,
        "$.a=" + "9" * 5000,
        "$.a=NaN",
        "$.a=1e999",
        "$.a=\u0663",
        "$" + "=" * 20_000,
    ],
)
def test_an_odd_condition_is_no_bug(condition: str, client: FlaskClient) -> None:
    assert client.get("/events", query_string={"where": condition}).status_code in (200, 400)


def test_a_filter_says_nothing_about_what_is_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "webhooks.yaml").write_text(
        "webhooks:\n  - name: pay\n    verifier: none\n    hide: [$.card, $.kind]\n    receivers: {flow: any}\n"
    )
    app = create_app(settings_for(tmp_path))
    client = app.test_client()
    store = open_store(f"sqlite:///{tmp_path / 'bridge.db'}")
    event_id = new_event_id()
    payload = {"kind": "secret.kind", "card": "4111-1111", "seen": "Robin"}
    summary = {"$.kind": "secret.kind", "$.card": "4111-1111", "$.seen": "Robin"}
    store.deliveries.append(
        [
            NewEvent(
                event_id,
                "pay",
                store.now(),
                json.dumps(payload),
                {},
                {},
                10**14,
                "d-4111",
                None,
                "secret.kind",
            )
        ]
    )
    told = NewEvent(
        new_event_id(), "pay", store.now(), "{}", {}, {}, 10**14, None, None, "secret.kind", summary
    )
    store.deliveries.append([told])

    def ids(query: str) -> list[str]:
        return [event["eventId"] for event in client.get(f"/api/events?{query}").get_json()]

    assert ids("text=robin") == ids("where=$.seen=Robin") == ids(f"text={event_id}") == [event_id]
    for query in (
        "text=4111-1",
        "text=secret.kind",
        "text=d-4111",
        "where=$.card=4111-1111",
        "type=secret.kind",
    ):
        assert ids(query) == [], query
    listed = client.get("/api/events").text + client.get("/events").text
    assert "4111-1111" not in listed
    assert "d-4111" not in listed
    assert "secret.kind" not in listed
    assert "Robin" in listed


def test_a_list_says_what_happened(sample: Sample, client: FlaskClient, cli: Cli) -> None:
    event_id = add(sample, {}, type="push", summary_parts={"$.a": "push", "$.b": "acme/shop <b>"})
    [listed] = client.get("/api/events?limit=1").get_json()
    assert (listed["type"], listed["summary"]) == ("push", "push acme/shop <b>")
    assert f'/events/{event_id}">push acme/shop &lt;b&gt;</a>' in client.get("/events").text
    assert "push acme/shop <b>" in cli("events").stdout


def test_the_parts_of_a_filter_are_those_that_say_something() -> None:
    assert parts_of({"webhook": " ", "text": " a ", "where": ("$.a=1", "$.b=2"), "other": "x"}) == {
        "text": "a",
        "where": "$.a=1\n$.b=2",
    }
