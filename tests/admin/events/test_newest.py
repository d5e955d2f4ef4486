"""What a list of all deliveries shows, and what is news in it."""

from __future__ import annotations

import json

import pytest

from admin.events.filters import search_of
from admin.events.follow import Follower, newest
from admin.search import Search
from store.delivery_records import WithoutEvent
from store.records import Decision, NewEvent, NewTarget, Result, Term, new_event_id
from store.sql.event_search import EventFilter, EventPage
from tests.admin.conftest import Cli
from tests.support.deciding import decide
from tests.support.sample import DEFINITIONS, Sample


def arrive(sample: Sample, webhook: str = "slack") -> str:
    now = sample.store.now()
    event = NewEvent(new_event_id(), webhook, now, "{}", {}, {}, now)
    sample.store.deliveries.append([event])
    return event.id


def refuse(sample: Sample, reason: str, status: int = 401, webhook: str = "orders") -> None:
    rejection = WithoutEvent(
        webhook,
        sample.store.now(),
        status,
        reason,
        "203.0.113.9",
        kind="filtered" if status < 400 else "rejected",
    )
    sample.store.without_events.record([rejection], {(webhook, "rejected"): 1})


def repeat(sample: Sample, event_id: str) -> None:
    sample.store.without_events.record(
        [WithoutEvent("slack", sample.store.now(), 200, "", event_id=event_id, kind="duplicate")],
        {},
    )


def expire(sample: Sample, event_id: str) -> None:
    decision = Decision(event_id, "expired", "no")
    decide(sample.store, Term("sample"), [decision], sample.store.now(), 0)


def fail(sample: Sample, event_id: str, error: str) -> None:
    now = sample.store.now()
    target = NewTarget("start", "on_message", correlation_id=event_id)
    decide(sample.store, Term("sample"), [Decision(event_id, "pending", "no", (target,))], now, 10)
    (claimed,) = sample.store.queries.targets_of([event_id])
    sample.store.claims.record_results("sample", [Result(claimed, "failed", error=error)], now)


def test_the_list_has_deliveries_of_every_kind_newest_first(sample: Sample) -> None:
    event_id = arrive(sample)
    refuse(sample, "wrong header")
    refuse(sample, "not wanted", 200)
    repeat(sample, event_id)
    found = newest(sample.bridge())
    assert [one.at for one in found] == sorted((one.at for one in found), reverse=True)
    assert event_id in {one.event.id for one in found if one.event is not None}
    kinds = {one.other.kind: one.other for one in reversed(found) if one.other is not None}
    assert kinds.keys() == {"rejected", "filtered", "duplicate"}
    assert (kinds["duplicate"].event_id, kinds["filtered"].reason) == (event_id, "not wanted")
    of_orders = newest(sample.bridge(), "orders")
    assert {
        one.event.webhook if one.event else one.other and one.other.webhook for one in of_orders
    } == {"orders"}
    assert len(newest(sample.bridge(), limit=3)) == 3


def test_the_command_line_follows_deliveries_without_an_event_too(sample: Sample) -> None:
    event_id = arrive(sample)
    refuse(sample, "before")
    follower, of_slack = (
        Follower(sample.bridge(), Search()),
        Follower(sample.bridge(), Search("slack")),
    )
    searching = Follower(sample.bridge(), Search(text="a"))
    refuse(sample, "wrong header")
    repeat(sample, event_id)
    assert [(one.kind, one.reason, one.event_id) for one in follower.look_at_others()] == [
        ("rejected", "wrong header", None),
        ("duplicate", "", event_id),
    ]
    assert follower.look_at_others() == []
    assert [one.kind for one in of_slack.look_at_others()] == ["duplicate"]
    assert searching.look_at_others() == []


def test_a_condition_is_about_events_and_looks_at_each_once(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = Follower(sample.bridge(), search_of(sample.bridge(), {"where": "$.wanted=yes"}))
    refuse(sample, "wrong header")
    for _ in range(5):
        arrive(sample)
    assert follower.look() == follower.look_at_others() == []
    looked: list[list[str]] = []
    page = sample.store.queries.page

    def counting(query: EventFilter) -> EventPage:
        found = page(query)
        looked.append([event.id for event in found.events])
        return found

    monkeypatch.setattr(sample.store.queries, "page", counting)
    assert follower.look() == []
    assert looked == [], "nothing has come since"
    arrive(sample)
    assert follower.look() == []
    assert looked == [[]], "what has come doesn't fit, and nothing before it is looked at"


@pytest.mark.parametrize("option", ["--status=failed", "--failure=x"])
def test_what_becomes_of_events_is_no_filter(cli: Cli, option: str) -> None:
    assert "leave out --status and --failure" in cli("events", "--follow", option, code=2).stderr


def test_a_line_says_why_or_of_which_event(sample: Sample) -> None:
    from admin.api.objects import WithoutEvent
    from admin.api_object import as_json
    from admin.cli.events import line_of_other

    event_id = arrive(sample)
    follower = Follower(sample.bridge(), Search())
    refuse(sample, "wrong \x1b[31m header")
    repeat(sample, event_id)
    rejected, duplicate = follower.look_at_others()
    assert "orders  rejected  wrong" in line_of_other(rejected)
    assert "\x1b" not in line_of_other(rejected)
    assert line_of_other(rejected).endswith("(from 203.0.113.9)")
    assert line_of_other(duplicate).endswith(f"slack  duplicate  of {event_id}")
    shown = json.loads(json.dumps(as_json(WithoutEvent.of(duplicate))))
    assert (shown["kind"], shown["eventId"]) == ("duplicate", event_id)


@pytest.mark.parametrize("webhook", ["github-deploys", None])
def test_a_hidden_delivery_id_is_in_no_list(sample: Sample, webhook: str | None) -> None:
    text = DEFINITIONS.replace("platform: github\n", "platform: github\n    hide: [$.a]\n")
    sample.settings.bridge_webhooks.write_text(text, encoding="utf-8")
    assert "redelivered-4" not in repr(newest(sample.bridge(), webhook))
