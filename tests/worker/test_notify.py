"""When people are told, and of what: the rules, and the sending by a real Apprise to a real
server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import SettingsError
from store.delivery_records import WithoutEvent
from store.errors import StoreUnavailable
from store.records import Decision, NewEvent, NewTarget, Result, SetAside
from store.reports import Reports
from store.sqlite import SqliteStore, open_store
from store.story import Note
from tests.support.deciding import decide as decide_all
from tests.support.stand_in import Answer, StandIn
from worker import troubles as wrong
from worker.notify import QUIET, Apprise, Notices, Notifier
from worker.troubles import LASTING, OVER, Message

MINUTE = 60_000


def said(
    notices: Notices, now: int, reached: bool = True, **troubles: str
) -> list[tuple[str, bool]]:
    """What is sent, and whether it says that something is over; `troubles`: kind → what it is
    about."""
    current = [Message(kind, kind, kind, tuple(about.split())) for kind, about in troubles.items()]
    messages = notices.due(current, now)
    for message in messages:
        notices.sent(message, now, reached)
    return [(message.kind, not message.about) for message in messages]


def test_trouble_is_told_when_it_begins_and_when_it_is_over_and_not_between() -> None:
    notices = Notices()
    assert said(notices, 0) == []
    assert said(notices, 1, gone="a") == [("gone", False)]
    for now in range(2, 5 * QUIET, MINUTE):
        assert said(notices, now, gone="a") == []
    assert said(notices, 5 * QUIET) == [("gone", True)]
    assert said(notices, 5 * QUIET + 1) == []


def test_what_may_be_over_in_a_moment_must_last() -> None:
    notices = Notices()
    assert said(notices, 0, conductor="c", store="s") == []
    assert said(notices, 5000, conductor="c", store="s") == [("store", False)]
    assert said(notices, MINUTE - 1, conductor="c", store="s") == []
    assert said(notices, MINUTE, store="s") == []
    assert said(notices, MINUTE + 1, conductor="c", store="s") == [], "it began anew"
    assert said(notices, 2 * MINUTE + 1, conductor="c", store="s") == [("conductor", False)]


def test_what_comes_and_goes_is_told_once_in_ten_minutes() -> None:
    notices = Notices()
    assert said(notices, 0, definitions="relay") == [("definitions", False)]
    assert said(notices, 1) == [("definitions", True)]
    assert said(notices, 2, definitions="relay") == []
    assert said(notices, 3) == [], "no one was told that it had begun again"
    assert said(notices, QUIET - 1, definitions="relay") == []
    assert said(notices, QUIET, definitions="relay") == [("definitions", False)]


def test_something_new_is_told_while_the_trouble_lasts() -> None:
    notices = Notices()
    assert said(notices, 0, rejecting="a") == [("rejecting", False)]
    assert said(notices, MINUTE, rejecting="a b") == []
    assert said(notices, QUIET, rejecting="a b") == [("rejecting", False)]
    assert said(notices, 3 * QUIET, rejecting="b") == []
    assert said(notices, 3 * QUIET + 1) == [("rejecting", True)]


def test_a_message_that_could_not_be_sent_is_tried_again_in_a_minute() -> None:
    notices = Notices()
    assert said(notices, 0, reached=False, failed="a") == [("failed", False)]
    assert said(notices, MINUTE - 1, failed="a") == []
    assert said(notices, MINUTE, failed="a") == [("failed", False)]
    assert said(notices, 2 * MINUTE, reached=False) == [("failed", True)]
    assert said(notices, 3 * MINUTE - 1) == []
    assert said(notices, 3 * MINUTE) == [("failed", True)]


def test_a_clock_that_is_set_back_silences_nothing_for_longer_than_usual() -> None:
    hour = 60 * MINUTE
    notices = Notices()
    assert said(notices, hour, definitions="relay") == [("definitions", False)]
    assert said(notices, hour, reached=False, definitions="relay", gone="a") == [("gone", False)]
    assert said(notices, 0, definitions="relay", conductor="c") == []
    found = said(notices, QUIET, definitions="worker", conductor="c", gone="a")
    assert sorted(found) == [("conductor", False), ("definitions", False), ("gone", False)]


def test_of_what_is_unknown_nothing_is_said() -> None:
    notices = Notices()
    assert said(notices, 0, waiting="events") == [("waiting", False)]
    assert notices.due([], MINUTE, ["waiting"]) == []
    assert said(notices, MINUTE) == [("waiting", True)]


def test_the_next_worker_that_decides_says_nothing_twice() -> None:
    notices = Notices()
    assert said(notices, 0, definitions="relay") == [("definitions", False)]
    next_one = Notices(notices.memory())
    assert said(next_one, MINUTE, definitions="relay") == []
    assert said(next_one, 2 * MINUTE) == [("definitions", True)]
    for unreadable in (None, "", "{", "[]", '{"failed": 5}', '{"failed": {"x": 1}}'):
        assert said(Notices(unreadable), 0) == []


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, QUIET),
            st.dictionaries(st.sampled_from(sorted(OVER)), st.sampled_from(["a", "b", "a b"])),
        ),
        max_size=30,
    )
)
def test_no_kind_is_told_twice_in_ten_minutes_and_every_end_follows_a_beginning(
    steps: list[Any],
) -> None:
    notices = Notices()
    now = 0
    last: dict[str, int] = {}
    begun: set[str] = set()
    for after, troubles in steps:
        now += after
        for kind, is_over in said(notices, now, **troubles):
            if is_over:
                assert kind in begun
                begun.remove(kind)
            else:
                assert now - last.get(kind, -QUIET) >= QUIET
                last[kind] = now
                begun.add(kind)
        notices = Notices(notices.memory())


# --- what is wrong ---


def troubles(store: SqliteStore, admin_url: str | None = None) -> dict[str, Message]:
    return {trouble.kind: trouble for trouble in wrong.troubles(store, admin_url)}


def fail(store: SqliteStore, *ids: str) -> None:
    """Events of `orders` that fail now."""
    now = store.now()
    term = store.leadership.elect("me", 10**6)
    assert term is not None
    store.deliveries.append([NewEvent(id_, "orders", now, "{}", {}, {}, now) for id_ in ids])
    decisions = [
        Decision(id_, "pending", "no", (NewTarget("start", "flow", correlation_id=id_),))
        for id_ in ids
    ]
    targets = decide_all(store, term, decisions, now, len(ids))
    store.claims.record_results(
        "me", [Result(target, "failed", "no such workflow") for target in targets], now
    )


def test_failed_events_are_named_with_webhook_reason_and_link(store: SqliteStore) -> None:
    fail(store, "e1")
    found = troubles(store, "https://admin.example/")["failed"]
    assert (found.title, found.about) == ("1 event failed", ("orders",))
    assert found.body.startswith(
        "orders, event e1: no such workflow. See https://admin.example/events/e1\n"
    )
    assert "See: webhook-bridge events show e1\n" in troubles(store)["failed"].body
    fail(store, *(f"f{number}" for number in range(120)))
    many = troubles(store)["failed"]
    assert (many.title, many.body.count("orders, event"), "and 116 more" in many.body) == (
        "121 events failed",
        5,
        True,
    )


def test_events_that_were_acknowledged_or_failed_long_ago_are_no_trouble(
    store: SqliteStore,
) -> None:
    fail(store, "e1")
    later = time.time() + LASTING / 1000 + 1
    with mock.patch.object(time, "time", lambda: later):
        assert "failed" not in troubles(store)
    store.acknowledgements.record(["e1"], Note(store.now(), "ada", "acknowledged", "known"))
    assert "failed" not in troubles(store)


def test_a_webhook_that_rejects_everything_is_named_with_its_last_reason(
    store: SqliteStore,
) -> None:
    def count(**outcomes: int) -> dict[str, Any]:
        return {"a": outcomes, "": {"unknown": 90}}

    store.without_events.record([WithoutEvent("a", store.now(), 401, "bad signature")], {})
    for outcomes in ({"rejected": 2}, {"rejected": 9, "filtered": 1}):
        with mock.patch.object(store.queries, "delivery_counts", return_value=count(**outcomes)):
            assert "rejecting" not in troubles(store)
    with mock.patch.object(store.queries, "delivery_counts", return_value=count(rejected=3)):
        found = troubles(store)["rejecting"]
    assert found.title == "a rejects every delivery"
    assert (
        found.body
        == "a: the last one for: bad signature. See: webhook-bridge rejections --webhook a"
    )


def test_what_is_set_aside_is_named_with_its_reason_the_longest_first(store: SqliteStore) -> None:
    store.quarantine.set_aside(
        [
            SetAside("task", f"t{number}", "orders", "why", 100 - number, 1, number)
            for number in range(60)
        ]
    )
    found = troubles(store)["set aside"]
    assert found.title == "task t59, task t58, task t57, task t56, task t55 and 55 more fail"
    assert found.body.startswith("task t59 of orders: why.\ntask t58 of orders: why.\n")


def test_webhooks_that_have_gone_are_named(store: SqliteStore) -> None:
    store.reports.webhooks_gone({"orders"}, ())
    found = troubles(store)["gone"]
    assert found.title == "orders is gone from the definitions"
    assert "503 for a minute, then 404" in found.body


def test_a_conductor_that_knows_none_of_the_waiting_tasks_is_told_of(store: SqliteStore) -> None:
    store.reports.write(Reports(another_server="t1"))
    assert "The tasks are kept" in troubles(store)["another server"].body


# --- sending ---


@pytest.fixture
def inbox() -> Iterator[StandIn]:
    """A server that takes what Apprise posts."""
    server = StandIn()
    server.answers = [Answer()]
    yield server
    server.stop()


def url(inbox: StandIn) -> str:
    return inbox.url.replace("http://", "json://")


def received(inbox: StandIn) -> list[dict[str, Any]]:
    return [request.body for request in inbox.requests]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = open_store(f"sqlite:///{tmp_path / 'bridge.db'}")
    yield opened
    opened.close()


class Sender:
    """Keeps what it is to send; `reached` says for each URL whether that succeeds."""

    def __init__(self, *reached: bool) -> None:
        self.titles: list[str] = []
        self.bodies: list[str] = []
        self.reached = reached

    def send(self, title: str, body: str, resolved: bool) -> list[bool]:
        self.titles.append(title)
        self.bodies.append(body)
        return list(self.reached)


def test_apprise_sends_to_every_url(inbox: StandIn) -> None:
    apprise = Apprise(f"{url(inbox)} {url(inbox)}/second")
    assert apprise.send("a title", "a body", False) == [True, True]
    assert [(one["title"], one["message"], one["type"]) for one in received(inbox)] == [
        ("Webhook bridge: a title", "a body", "warning")
    ] * 2
    inbox.answers = [Answer(status=500)]
    assert apprise.send("a title", "a body", True) == [False, False]
    assert received(inbox)[-1]["type"] == "success"


@pytest.mark.parametrize("urls", ["nonsense", "json://ok.example bad", " "])
def test_a_url_that_is_none_is_an_error_that_does_not_tell_it(urls: str) -> None:
    with pytest.raises(SettingsError, match="BRIDGE_NOTIFY") as raised:
        Apprise(urls)
    assert "nonsense" not in str(raised.value)
    assert "; write one such as" in str(raised.value)


def test_only_the_worker_that_decides_speaks_and_the_next_one_goes_on(
    inbox: StandIn, store: SqliteStore
) -> None:
    leads = {1: True, 2: False}
    one = Notifier(store, Apprise(url(inbox)).send, lambda: leads[1])
    two = Notifier(store, Apprise(url(inbox)).send, lambda: leads[2])
    store.reports.write(Reports(relay_definitions_error="webhooks.yaml:3: secret-value"))
    for notifier in (one, two, one):
        notifier.step()
    assert [message["title"] for message in received(inbox)] == [
        "Webhook bridge: The webhook definitions have errors"
    ]
    assert "secret-value" not in json.dumps(received(inbox))
    leads |= {1: False, 2: True}
    store.reports.write(Reports(relay_definitions_error=""))
    for notifier in (one, two, one, two):
        notifier.step()
    assert [message["type"] for message in received(inbox)] == ["warning", "success"]


def test_one_url_that_fails_does_not_make_others_told_twice(store: SqliteStore) -> None:
    sender = Sender(True, False)
    notifier = Notifier(store, sender.send, lambda: True)
    store.reports.write(Reports(relay_definitions_error="x"))
    notifier.step()
    store.reports.write(Reports(relay_definitions_error=""))
    notifier.step()
    assert sender.titles == [
        "The webhook definitions have errors",
        "The webhook definitions are valid again",
    ]


def test_the_last_that_decided_says_that_the_store_is_away(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000_000
    monkeypatch.setattr(store, "now", lambda: now)

    def away(*_: object) -> None:
        raise StoreUnavailable("away")

    sender, leads = Sender(True), [True]
    notifier = Notifier(store, sender.send, lambda: bool(leads))
    other = Notifier(store, sender.send, lambda: False)
    notifier.step()
    leads.clear()
    monkeypatch.setattr(type(store.deliveries), "check_writable", away)
    for _ in range(3):
        notifier.step()
        other.step()
        now += 5000
    assert sender.titles == ["The store can't be used"]


def test_no_message_has_anything_of_a_payload(store: SqliteStore) -> None:
    """Whatever the observations are made from: they have names and numbers only."""
    now = store.now()
    store.deliveries.append(
        [NewEvent("e1", "orders", now - 120_000, '{"secret": "hunter2"}', {}, {}, now - 1, None)]
    )
    sender = Sender(True)
    Notifier(store, sender.send, lambda: True).step()
    assert sender.titles == ["Events are piling up"]
    assert "hunter2" not in sender.bodies[0]


def test_the_command_sends_a_test_message(
    inbox: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from click.testing import CliRunner

    from admin.cli import main

    def run(urls: str | None, *arguments: str) -> tuple[int, str]:
        monkeypatch.chdir(tmp_path)
        result = CliRunner().invoke(main, ["notify", *arguments], env={"BRIDGE_NOTIFY": urls})
        return result.exit_code, result.output

    assert run(url(inbox), "--test") == (0, "sent\n")
    assert received(inbox)[0]["title"] == "Webhook bridge: this is a test"
    assert run(None, "--test")[0] == 1
    assert run(url(inbox))[0] == 2
    code, output = run(f"{url(inbox)} json://127.0.0.1:1/x", "--test")
    assert code == 1
    assert "URL number 2 of" in output
    assert run("nonsense", "--test")[0] == 1
