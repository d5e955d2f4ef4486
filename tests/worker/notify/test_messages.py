"""When people are told, and of what: the rules, and the sending by a real Apprise to a real server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, get_args
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import SettingsError
from store.errors import StoreUnavailable
from store.records import Decision, NewEvent, NewTarget, Result, SetAside
from store.sqlite import SqliteStore, open_store
from store.story import Note
from worker.notify.messages import AWAY, QUIET, RESOLVED, Kind, Message, Notices, Observation
from worker.notify.notifier import Notifier, Observer
from worker.notify.sender import Apprise

MINUTE = 60_000


def said(notices: Notices, now: int, **seen: Any) -> list[tuple[str, bool]]:
    return [(one.kind, one.resolved) for one in notices.observe(Observation(now=now, **seen))]


def test_nothing_is_said_while_all_is_well() -> None:
    notices = Notices()
    for now in range(0, 10 * QUIET, MINUTE):
        assert said(notices, now, deliveries={"a": {"accepted": 5, "rejected": 50}}, oldest_pending=now - 1000) == []


def test_conductor_must_be_away_for_a_minute_and_its_return_is_told() -> None:
    notices = Notices()
    assert said(notices, 0, conductor_away=True) == []
    assert said(notices, AWAY - 1, conductor_away=True) == []
    assert said(notices, AWAY, conductor_away=True) == [("conductor", False)]
    assert said(notices, AWAY + 5, conductor_away=True) == []
    assert said(notices, 10 * QUIET, conductor_away=True) == [], "nothing new"
    assert said(notices, 10 * QUIET + 1) == [("conductor", True)]
    assert said(notices, 10 * QUIET + 2) == []


def test_a_short_absence_is_not_worth_a_word() -> None:
    notices = Notices()
    said(notices, 0, conductor_away=True)
    said(notices, AWAY - 5, conductor_away=False)
    assert said(notices, AWAY, conductor_away=True) == []


def test_a_clock_that_is_set_back_silences_nothing_for_longer_than_usual() -> None:
    hour = 60 * MINUTE
    notices = Notices()
    broken = ("relay",)
    told = [("failed", False), ("definitions", False)]
    assert said(notices, hour, broken_definitions=broken, failed={"a": 1}) == told
    [message] = notices.observe(Observation(hour, broken_definitions=broken, conductor_away=True, gone=("b",)))
    notices.not_sent(message, hour)
    assert said(notices, 0, broken_definitions=broken, conductor_away=True) == []
    found = said(notices, QUIET, broken_definitions=("worker",), conductor_away=True, gone=("b",), failed={"a": 1})
    assert sorted(found) == sorted([*told, ("conductor", False), ("gone", False)])


def test_what_comes_and_goes_is_told_once_in_ten_minutes() -> None:
    notices = Notices()
    broken = ("relay",)
    assert said(notices, 0, broken_definitions=broken) == [("definitions", False)]
    assert said(notices, 1) == [("definitions", True)]
    assert said(notices, 2, broken_definitions=broken) == []
    assert said(notices, 3) == [], "no one was told that it had begun again"
    assert said(notices, QUIET - 1, broken_definitions=broken) == []
    assert said(notices, QUIET, broken_definitions=broken) == [("definitions", False)]


def test_a_webhook_that_has_gone_is_told_by_its_name() -> None:
    notices = Notices()
    [message] = notices.observe(Observation(now=0, gone=("orders",)))
    assert (message.kind, message.title) == ("gone", "orders is gone from the definitions")
    assert "503 for a minute, then 404" in message.body
    assert said(notices, MINUTE, gone=("orders",)) == []
    assert said(notices, QUIET, gone=("orders", "shop")) == [("gone", False)]
    assert said(notices, 2 * QUIET) == [("gone", True)]


def test_failed_events_are_told_together() -> None:
    notices = Notices()
    [message] = notices.observe(Observation(now=0, failed={"orders": 2, "b": 1}))
    assert message.title == "3 events failed"
    assert "b (1), orders (2)" in message.body
    assert said(notices, MINUTE, failed={"orders": 1}) == []
    assert said(notices, 2 * MINUTE, failed={"orders": 4}) == []
    [message] = notices.observe(Observation(now=QUIET))
    assert message.title == "5 events failed"
    assert said(notices, QUIET + MINUTE) == []
    assert said(notices, 2 * MINUTE + QUIET) == [("failed", True)]


def test_a_webhook_that_rejects_everything_is_named_and_another_one_later() -> None:
    notices = Notices()
    few = {"a": {"rejected": 2}, "": {"unknown": 90}}
    assert said(notices, 0, deliveries=few) == []
    assert said(notices, 0, deliveries={"a": {"rejected": 9, "filtered": 1}}) == []
    [message] = notices.observe(Observation(now=0, deliveries={"a": {"rejected": 3}}))
    assert message.title == "a rejects every delivery"
    both = {"a": {"rejected": 9}, "b": {"rejected": 9}}
    assert said(notices, MINUTE, deliveries=both) == []
    [message] = notices.observe(Observation(now=QUIET, deliveries=both))
    assert message.title == "a, b reject every delivery"
    assert said(notices, QUIET + 1, deliveries={"a": {"rejected": 9}}) == []
    assert said(notices, QUIET + 2) == [("rejecting", True)]


def test_a_store_that_stays_away_is_told_and_says_nothing_of_other_things() -> None:
    notices = Notices()
    assert said(notices, 0, conductor_away=True) == []
    assert said(notices, AWAY, conductor_away=True) == [("conductor", False)]
    assert said(notices, AWAY + 1, store_unavailable=True) == [], "a hiccup"
    assert said(notices, AWAY + 5001, store_unavailable=True) == [("store", False)]
    assert sorted(said(notices, AWAY + 6000)) == [("conductor", True), ("store", True)]


def test_events_that_wait_while_conductor_is_away_are_not_told_as_well() -> None:
    notices = Notices()
    said(notices, AWAY, conductor_away=True)
    assert said(notices, 3 * AWAY, conductor_away=True, oldest_pending=0) == [("conductor", False)]
    assert said(notices, 3 * AWAY + 1, oldest_pending=0) == [("conductor", True), ("waiting", False)]


def test_a_message_that_could_not_be_sent_is_tried_again_in_a_minute() -> None:
    notices = Notices()
    [message] = notices.observe(Observation(now=0, failed={"a": 1}))
    notices.not_sent(message, 0)
    assert said(notices, MINUTE - 1, failed={"a": 1}) == []
    [message] = notices.observe(Observation(now=MINUTE))
    assert message.title == "2 events failed"
    [over] = notices.observe(Observation(now=MINUTE + QUIET))
    assert over.resolved
    notices.not_sent(over, MINUTE + QUIET)
    assert said(notices, 2 * MINUTE + QUIET) == [("failed", True)]


def test_the_next_worker_that_decides_says_nothing_twice() -> None:
    notices = Notices()
    assert said(notices, 0, broken_definitions=("relay",)) == [("definitions", False)]
    next_one = Notices(notices.memory())
    assert said(next_one, MINUTE, broken_definitions=("relay",)) == []
    assert said(next_one, 2 * MINUTE) == [("definitions", True)]
    for unreadable in (None, "", "{", "[]", '{"failed": 5}', '{"failed": {"x": 1}}'):
        assert said(Notices(unreadable), 0) == []


def test_what_is_set_aside_for_a_minute_is_told_by_name_and_its_end() -> None:
    notices = Notices()
    assert said(notices, 0, set_aside=("task t1",)) == []
    assert said(notices, AWAY - 1) == []
    assert said(notices, AWAY, set_aside=("task t1",)) == []
    [message] = notices.observe(Observation(now=2 * AWAY, set_aside=("task t1",)))
    assert (message.kind, message.title) == ("set aside", "task t1 fails")
    assert said(notices, QUIET, set_aside=("task t1", "event e1")) == []
    [message] = notices.observe(Observation(now=2 * AWAY + QUIET, set_aside=("task t1", "event e1")))
    assert message.title == "task t1, event e1 fail"
    assert said(notices, 3 * QUIET) == [("set aside", True)]


observations = st.builds(
    dict,
    conductor_away=st.booleans(),
    store_unavailable=st.booleans(),
    broken_definitions=st.sampled_from([(), ("relay",), ("relay", "worker")]),
    failed=st.dictionaries(st.sampled_from("ab"), st.integers(1, 3), max_size=2),
    deliveries=st.dictionaries(st.sampled_from("ab"), st.sampled_from([{"rejected": 5}, {"accepted": 1}]), max_size=2),
    oldest_pending=st.sampled_from([None, 0]),
    set_aside=st.sampled_from([(), ("task t1",), ("task t1", "event e1")]),
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, QUIET), observations), max_size=30))
def test_no_kind_is_told_twice_in_ten_minutes_and_every_end_follows_a_beginning(steps: list[Any]) -> None:
    notices = Notices()
    now = 0
    last: dict[str, int] = {}
    begun: set[str] = set()
    for after, seen in steps:
        now += after
        for message in notices.observe(Observation(now=now, **seen)):
            if message.resolved:
                assert message.kind in begun
                begun.remove(message.kind)
            else:
                assert now - last.get(message.kind, -QUIET) >= QUIET
                last[message.kind] = now
                begun.add(message.kind)
        notices = Notices(notices.memory())
    assert begun <= set(get_args(Kind))


def test_the_observer_names_what_is_set_aside_the_longest_first(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/bridge.db")
    store.quarantine.set_aside(
        [SetAside("task", f"t{number}", None, "why", 100 - number, 1, number) for number in range(60)]
    )
    seen = Observer(store).observe()
    store.close()
    assert seen.set_aside[:2] == ("task t59", "task t58")
    assert len(seen.set_aside) == 50
    notices = Notices()
    notices.observe(seen)
    [message] = notices.observe(replace(seen, now=seen.now + AWAY))
    assert message.title == "task t59, task t58, task t57, task t56, task t55 and 55 more fail"


def fail(store: SqliteStore, *ids: str) -> None:
    """Events of `orders` that fail now."""
    now = store.now()
    term = store.leadership.elect("me", 60)
    assert term is not None
    store.deliveries.append([NewEvent(id_, "orders", now, "{}", {}, {}, now) for id_ in ids])
    decisions = [Decision(id_, "pending", "no", (NewTarget("start", "flow", correlation_id=id_),)) for id_ in ids]
    targets = store.decisions.decide(term, decisions, [], now, "me", len(ids))
    store.claims.record_results("me", [Result(target, "failed", "no such workflow") for target in targets], now)


def test_the_observer_tells_of_no_failed_event_that_was_acknowledged(store: SqliteStore) -> None:
    fail(store, "e1", "e2")
    store.acknowledgements.record(["e1"], Note(store.now(), "ada", "acknowledged", "known"))
    assert Observer(store).observe().failed == {"orders": 1}


def test_the_observer_counts_all_that_failed_since_however_many(store: SqliteStore) -> None:
    observer = Observer(store)
    assert observer.observe().failed == {}
    fail(store, *(f"e{number}" for number in range(120)))
    assert observer.observe().failed == {"orders": 120}
    assert observer.observe().failed == {}


def test_what_failed_is_told_although_the_store_went_away_in_the_middle_of_a_look(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    observer = Observer(store)
    fail(store, "e1")

    def away(*_: object) -> None:
        raise StoreUnavailable("away")

    parts = ((store.queries, "delivery_counts"), (store.quarantine, "items"), (store.queries, "oldest_pending"))
    for part, method in parts:
        with monkeypatch.context() as patches:
            patches.setattr(part, method, away)
            assert observer.observe().store_unavailable
    assert observer.observe().failed == {"orders": 1}


def test_an_event_that_becomes_visible_after_one_that_failed_later_is_told_of(store: SqliteStore) -> None:
    observer = Observer(store)
    now = time.time()
    with mock.patch.object(time, "time", lambda: now):
        fail(store, "e1")
        assert observer.observe().failed == {"orders": 1}
    with mock.patch.object(time, "time", lambda: now - 1):
        fail(store, "e2")  # its result was recorded by another worker, and committed a second later
    with mock.patch.object(time, "time", lambda: now + 1):
        assert observer.observe().failed == {"orders": 1}


def test_events_that_fail_after_the_clock_was_set_back_are_told_of_once(store: SqliteStore) -> None:
    observer = Observer(store)

    def failed(id_: str | None, now: float) -> int:
        with mock.patch.object(time, "time", lambda: now):
            if id_ is not None:
                fail(store, id_)
            return observer.observe().failed.get("orders", 0)

    now = time.time()
    assert [failed("e1", now), failed("e2", now - 3600), failed("e3", now - 3590)] == [1] * 3
    assert failed(None, now + 1) == 0, "the clock has caught up with the first"


@pytest.mark.parametrize(("back", "by_another"), [(5, False), (3600, False), (3600, True)])
def test_a_clock_that_passes_the_same_time_again_tells_nothing_again(
    store: SqliteStore, back: int, by_another: bool
) -> None:
    observer = Observer(store)
    now = time.time()

    def look(at: float, *new: str) -> int:
        with mock.patch.object(time, "time", lambda: now + at):
            if new:
                fail(store, *new)
            return observer.observe().failed.get("orders", 0)

    assert [look(0, "e1"), look(10.5, "e2"), look(12)] == [1, 1, 0]
    if by_another:
        observer = Observer(store, store.now() + 12_000)  # the next leader's
    assert [look(12 - back + back * tenth / 10) for tenth in range(12)] == [0] * 12
    assert look(14 + back, "e3") == 1


# --- sending ---


class Inbox:
    """A server that takes what Apprise posts."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.status = 200
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                inbox.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(inbox.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"json://127.0.0.1:{self.server.server_port}/told"


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    made = Inbox()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = open_store(f"sqlite:///{tmp_path / 'bridge.db'}")
    yield opened
    opened.close()


@dataclass
class Worker:
    """A worker that is leader, or not."""

    is_leader: bool


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


def test_apprise_sends_to_every_url(inbox: Inbox) -> None:
    apprise = Apprise(f"{inbox.url} {inbox.url}/second")
    assert apprise.send("a title", "a body", False) == [True, True]
    assert [(one["title"], one["message"], one["type"]) for one in inbox.received] == [
        ("Webhook bridge: a title", "a body", "warning")
    ] * 2
    inbox.status = 500
    assert apprise.send("a title", "a body", True) == [False, False]
    assert inbox.received[-1]["type"] == "success"


@pytest.mark.parametrize("urls", ["nonsense", "json://ok.example bad", " "])
def test_a_url_that_is_none_is_an_error_that_does_not_tell_it(urls: str) -> None:
    with pytest.raises(SettingsError, match="BRIDGE_NOTIFY") as raised:
        Apprise(urls)
    assert "nonsense" not in str(raised.value)
    assert "; write one such as" in str(raised.value)


def test_only_the_worker_that_decides_speaks_and_the_next_one_goes_on(inbox: Inbox, store: SqliteStore) -> None:
    first, second = Worker(True), Worker(False)
    one = Notifier(store, Apprise(inbox.url), first)
    two = Notifier(store, Apprise(inbox.url), second)
    store.facts.set("definitions_error:relay", "webhooks.yaml:3: secret-value")
    for notifier in (one, two, one):
        notifier.step()
    assert [message["title"] for message in inbox.received] == ["Webhook bridge: The webhook definitions have errors"]
    assert "secret-value" not in json.dumps(inbox.received)
    first.is_leader, second.is_leader = False, True
    store.facts.set("definitions_error:relay", None)
    for notifier in (one, two, one, two):
        notifier.step()
    assert [message["type"] for message in inbox.received] == ["warning", "success"]


@pytest.mark.parametrize("told_before", [True, False])
def test_the_next_leader_tells_of_what_failed_since_the_last_one_looked(store: SqliteStore, told_before: bool) -> None:
    sender, first, second = Sender(True), Worker(True), Worker(False)
    one, two = Notifier(store, sender, first), Notifier(store, sender, second)
    now = time.time()

    def at(seconds: float) -> Any:
        return mock.patch.object(time, "time", lambda: now + seconds)

    for notifier in (one, two):
        notifier.step()
    if told_before:
        fail(store, "e1")
        with at(1):
            one.step()
    first.is_leader = False  # it was killed
    with at(2):
        fail(store, "e2")
        two.step()
    second.is_leader = True
    with at(QUIET / 1000 + 1):
        two.step()
        two.step()
    assert sender.titles == ["1 event failed"] * (2 if told_before else 1)


def test_a_sender_that_fails_harms_nothing(store: SqliteStore) -> None:
    sender = Sender(False)
    notifier = Notifier(store, sender, Worker(True))
    store.facts.set("definitions_error:relay", "x")
    notifier.step()
    notifier.step()
    assert len(sender.titles) == 1, "the next try is in a minute"


def test_one_url_that_fails_does_not_make_others_told_twice(store: SqliteStore) -> None:
    sender = Sender(True, False)
    notifier = Notifier(store, sender, Worker(True))
    store.facts.set("definitions_error:relay", "x")
    notifier.step()
    store.facts.set("definitions_error:relay", None)
    notifier.step()
    assert sender.titles == ["The webhook definitions have errors", "The webhook definitions are valid again"]


def test_the_last_that_decided_says_that_the_store_is_away(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000_000
    monkeypatch.setattr(store, "now", lambda: now)

    def away(*_: object) -> None:
        raise StoreUnavailable("away")

    sender, worker = Sender(True), Worker(True)
    notifier = Notifier(store, sender, worker)
    other = Notifier(store, sender, Worker(False))
    notifier.step()
    worker.is_leader = False
    monkeypatch.setattr(type(store.deliveries), "check_writable", away)
    for _ in range(3):
        notifier.step()
        other.step()
        now += 5000
    assert sender.titles == ["The store can't be used"]


def test_no_message_has_anything_of_a_payload(store: SqliteStore) -> None:
    """Whatever the observations are made from: they have names and numbers only."""
    now = store.now()
    store.deliveries.append([NewEvent("e1", "orders", now - 120_000, '{"secret": "hunter2"}', {}, {}, now - 1, None)])
    sender = Sender(True)
    Notifier(store, sender, Worker(True)).step()
    assert sender.titles == ["Events are piling up"]
    assert "hunter2" not in sender.bodies[0]


def test_every_kind_has_words_for_its_end() -> None:
    assert set(RESOLVED) == set(get_args(Kind))
    assert all(Message(kind, text, text).title for kind, text in RESOLVED.items())


def test_the_command_sends_a_test_message(inbox: Inbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from admin.cli import main

    def run(urls: str | None, *arguments: str) -> tuple[int, str]:
        monkeypatch.chdir(tmp_path)
        result = CliRunner().invoke(main, ["notify", *arguments], env={"BRIDGE_NOTIFY": urls})
        return result.exit_code, result.output

    assert run(inbox.url, "--test") == (0, "sent\n")
    assert inbox.received[0]["title"] == "Webhook bridge: this is a test"
    assert run(None, "--test")[0] == 1
    assert run(inbox.url)[0] == 2
    code, output = run(f"{inbox.url} json://127.0.0.1:1/x", "--test")
    assert code == 1
    assert "URL number 2 of" in output
    assert run("nonsense", "--test")[0] == 1
