"""Failed events in groups, by webhook and reason."""

from __future__ import annotations

import json

import pytest
from flask.testing import FlaskClient

from admin.events import failures as grouping
from admin.events.acknowledge import note
from admin.events.failures import failures
from admin.wording.statuses import UNKNOWN, reason_of
from store.records import Decision, NewEvent, NewTarget, Result, Term, new_event_id
from tests.admin.conftest import Cli
from tests.support.deciding import decide
from tests.support.sample import Sample


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            "404: no workflow 0193a7c2-6f3a-7000-8000-000000000000 (version 3)",
            "404: no workflow … (version 3)",
        ),
        (
            "No such workflow defined. name=deploy, version=12",
            "No such workflow defined. name=deploy, version=12",
        ),
        ("task t-123456 timed out after 3.5 s at 12:00:01", "task … timed out after … s at …"),
        ("no such\n  workflow", "no such workflow"),
        ("workflow order_flow_v2 is gone", "workflow order_flow_v2 is gone"),
        ("workflow deploy is gone", "workflow deploy is gone"),
        (None, UNKNOWN),
        ("  ", UNKNOWN),
    ],
)
def test_reasons_are_told_without_what_is_different_each_time(
    error: str | None, reason: str
) -> None:
    assert reason_of(error) == reason


def test_a_long_reason_is_cut() -> None:
    assert len(reason_of("word " * 10_000)) == 200


def fail(sample: Sample, error: str, webhook: str = "orders") -> str:
    store, event_id = sample.store, new_event_id()
    now = store.now()
    store.deliveries.append([NewEvent(event_id, webhook, now, "{}", {}, {}, now)])
    target = NewTarget("start", "flow", correlation_id=event_id)
    term = Term("sample")
    [made] = decide(store, term, [Decision(event_id, "pending", "no", (target,))], now, 9)
    store.claims.record_results("sample", [Result(made, "failed", error)], now)
    return event_id


def test_failures_are_grouped_counted_and_linked_to_their_events(
    sample: Sample, client: FlaskClient, cli: Cli
) -> None:
    refused = [fail(sample, f"422: order {number} is closed") for number in range(4711, 4714)]
    missing = fail(sample, "404: no workflow flow")
    elsewhere = fail(sample, "404: no workflow flow", webhook="slack")
    note(sample.bridge(), fail(sample, "404: no workflow flow"), "acknowledged", "a test")
    found = client.get("/api/failures").get_json()
    groups = {
        (one["webhook"], one["reason"]): (one["number"], one["lastEvent"])
        for one in found["groups"]
    }
    assert groups[("orders", "422: order … is closed")] == (3, refused[-1])
    assert groups[("orders", "404: no workflow flow")] == (1, missing)
    assert groups[("slack", "404: no workflow flow")] == (1, elsewhere)
    assert found["groups"][0]["number"] == 3, "the most frequent first"
    assert found["searchedTo"] is None
    assert [
        one["webhook"] for one in client.get("/api/failures?webhook=slack").get_json()["groups"]
    ] == ["slack"]
    shown = client.get("/failures?webhook=orders").text
    link = (
        shown.partition('data-label="Reason"><a href="')[2].partition('"')[0].replace("&amp;", "&")
    )
    listed = client.get(link).text
    assert all(event_id in listed for event_id in refused)
    assert missing not in listed
    options = [
        "--status",
        "unresolved",
        "--webhook",
        "orders",
        "--failure",
        "404: no workflow flow",
    ]
    assert [one["eventId"] for one in json.loads(cli("events", *options, "--json").stdout)] == [
        missing
    ]
    assert "422: order … is closed" in cli("events", "--failures", "--webhook", "orders").stdout
    assert len(json.loads(cli("events", "--failures", "--json").stdout)["groups"]) == len(
        found["groups"]
    )
    cli("events", "--failures", "--text", "x", code=2)


def test_only_the_newest_failures_are_counted(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouping, "_PAGE", 2)
    monkeypatch.setattr(grouping, "_EXAMINED", 4)
    for number in range(6):
        fail(sample, f"task {number + 100} failed")
    found = failures(sample.bridge(), "orders")
    assert [(group.reason, group.number) for group in found.groups] == [("task … failed", 4)]
    assert (found.events, found.searched_to is not None) == (4, True)


def test_where_nothing_failed_the_page_says_so(sample: Sample, client: FlaskClient) -> None:
    assert "No failed event is unresolved" in client.get("/failures?webhook=slack").text
