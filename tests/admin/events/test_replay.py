"""Replaying many, in order, and following what comes."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from dataclasses import replace
from typing import Any, cast

import pytest
from flask.testing import FlaskClient

from admin.bridge import Bridge
from admin.cli import follow
from admin.events.follow import Follower
from admin.events.replay import choose, replay, replay_all
from store.records import Event, EventFilter, NewEvent, new_event_id
from tests.admin.conftest import Cli
from tests.admin.page.test_app import form_of
from tests.admin.sample import Sample

MINUTE = 60_000


def arrive(sample: Sample, number: int, webhook: str = "github-deploys", ago: int = 0) -> list[str]:
    """New events with numbered payloads, which arrived that many milliseconds ago."""
    now = sample.store.now() - ago
    ids = [new_event_id() for _ in range(number)]
    sample.store.deliveries.append(
        [
            NewEvent(one, webhook, now, json.dumps({"marked": True, "n": n}), {}, {}, now + MINUTE)
            for n, one in enumerate(ids)
        ]
    )
    return ids


def replayed(sample: Sample) -> list[Event]:
    """The replays, in the order of arrival."""
    found = sample.store.queries.events(EventFilter(limit=1000))
    return [event for event in reversed(found) if event.replay_of]


MARKED = ["--text", '"marked"']


def test_many_are_replayed_in_the_order_of_their_arrival(cli: Cli, sample: Sample) -> None:
    ids = arrive(sample, 5)
    result = cli("events", "replay", *MARKED, "--rate", "1000/s")
    assert result.stdout == "5 of 5 events replayed\n"
    assert [event.replay_of for event in replayed(sample)] == ids
    [change] = [change for change in sample.store.changes.newest() if change.what == "replayed"][:1]
    assert "5 events, by --text" in change.detail


def test_a_dry_run_only_says_how_many(cli: Cli, sample: Sample) -> None:
    arrive(sample, 3)
    result = cli("events", "replay", *MARKED, "--dry-run")
    assert result.stdout.startswith("3 events would be replayed (github-deploys 3), which arrived from 20")
    assert json.loads(cli("events", "replay", *MARKED, "--dry-run", "--json").stdout)["chosen"] == 3
    assert replayed(sample) == []
    assert "no event matches" in cli("events", "replay", "--text", "nowhere at all").stderr


def test_since_and_after_bound_what_is_chosen(cli: Cli, sample: Sample) -> None:
    old = arrive(sample, 2, ago=3 * 60 * MINUTE)
    new = arrive(sample, 2)
    assert json.loads(cli("events", "replay", *MARKED, "--since", "2h", "--dry-run", "--json").stdout)["chosen"] == 2
    cli("events", "replay", *MARKED, "--after", old[1], "--rate", "1000/s")
    assert [event.replay_of for event in replayed(sample)] == new


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "which events?"),
        (["--rate", "5/s"], "which events?"),
        (["--status", "failed", "--rate", "fast"], "'fast' is not a rate"),
        (["--status", "failed", "--since", "yesterday"], "'yesterday' is not a duration"),
        (["id", "--status", "failed"], "leave out the options that select many"),
        (["id", "--dry-run"], "leave out the options that select many"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(cli: Cli, arguments: list[str], words: str) -> None:
    assert words in cli("events", "replay", *arguments, code=2).stderr


def test_what_cannot_be_replayed_is_left_out_and_said(cli: Cli, sample: Sample) -> None:
    arrive(sample, 2)
    arrive(sample, 1, webhook="gone-webhook")
    result = cli("events", "replay", *MARKED, "--rate", "1000/s", code=1)
    assert result.stdout == "2 of 3 events replayed\n"
    assert "1 were not: the webhook gone-webhook is no longer defined" in result.stderr


def test_ctrl_c_stops_between_two_and_says_how_to_go_on(cli: Cli, sample: Sample) -> None:
    ids = arrive(sample, 200)

    def interrupt() -> None:
        while not replayed(sample):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    result = cli("events", "replay", *MARKED, "--rate", "20/s", code=1)
    thread.join()
    done = replayed(sample)
    assert 0 < len(done) < 200
    assert result.stdout == f"{len(done)} of 200 events replayed\n"
    assert f"{200 - len(done)} are left; to continue, add --after {done[-1].replay_of}" in result.stderr
    cli("events", "replay", *MARKED, "--after", str(done[-1].replay_of), "--rate", "10000/s")
    assert [event.replay_of for event in replayed(sample)][:200] == ids


def test_the_rate_is_kept(sample: Sample) -> None:
    arrive(sample, 10)
    now = [0.0]
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    chosen = choose(sample.bridge(), EventFilter(text='"marked"'))
    *_, progress = replay_all(sample.bridge(), chosen, 5, wait, clock=lambda: now[0])
    assert progress.done == 10
    assert sum(waits) == pytest.approx(9 / 5)


# --- the page ---


def test_the_page_asks_twice_and_replays_just_these(client: FlaskClient, sample: Sample) -> None:
    arrive(sample, 3)
    listed = client.get('/events?text="marked"').text
    assert "Replay these 3" in listed
    asked = client.get('/replay?text="marked"').text
    assert "Replay 3 events?" in asked
    assert replayed(sample) == []
    form = form_of(asked) | {
        "text": '"marked"',
        "number": "3",
        "to": str(choose(sample.bridge(), EventFilter(text='"marked"'))[-1].seq),
    }
    arrive(sample, 2)
    answer = client.post("/replay", data=form, headers={"Origin": "http://localhost"})
    assert answer.status_code in (302, 303)
    assert len(replayed(sample)) == 3


def test_the_page_asks_again_if_the_number_has_changed(client: FlaskClient, sample: Sample) -> None:
    arrive(sample, 2)
    form = form_of(client.get('/replay?text="marked"').text) | {"text": '"marked"', "number": "5"}
    answer = client.post("/replay", data=form, headers={"Origin": "http://localhost"})
    assert "has changed in the meantime" in answer.text
    assert replayed(sample) == []


def test_the_page_replays_nothing_without_a_filter_or_the_forms_token(client: FlaskClient, sample: Sample) -> None:
    assert client.get("/replay").status_code == 400
    assert client.get("/replay?status=odd").status_code == 400
    assert client.post("/replay", data={"status": "failed", "number": "1"}).status_code == 403
    assert "Replay these" not in client.get("/events").text
    assert replayed(sample) == []


# --- following ---


def test_new_events_are_told_once_and_in_order(sample: Sample) -> None:
    follower = Follower(sample.bridge(), EventFilter())
    assert follower.look() == []
    first, second = arrive(sample, 2)
    assert [(news.event.id, news.is_new) for news in follower.look()] == [(first, True), (second, True)]
    assert follower.look() == []
    other = Follower(sample.bridge(), EventFilter(webhook="elsewhere"))
    many = arrive(sample, 450)
    assert [news.event.id for news in follower.look()] == many
    assert other.look() == []


class OneEvent:
    """A store with one event, whose status the test sets."""

    def __init__(self, event: Event):
        self.event = event
        self.queries = self

    def events(self, query: EventFilter) -> list[Event]:
        return [self.event] if query.before_seq is None or self.event.seq < query.before_seq else []

    def events_of(self, ids: list[str]) -> dict[str, Event]:
        return {self.event.id: self.event} if self.event.id in ids else {}

    def targets_of(self, ids: list[str]) -> list[Any]:
        return []


def test_what_becomes_of_an_event_is_told_once(sample: Sample) -> None:
    [event_id] = arrive(sample, 1)
    event = sample.bridge().event(event_id)
    store = OneEvent(replace(event, seq=0))
    bridge = Bridge(sample.settings, cast(Any, store), sample.bridge().definitions)
    all_of_them, only_failed = Follower(bridge, EventFilter()), Follower(bridge, EventFilter(status="failed"))
    store.event = event
    assert [(news.event.status, news.is_new) for news in all_of_them.look()] == [("pending", True)]
    assert only_failed.look() == []
    store.event = replace(event, status="failed")
    for follower in (all_of_them, only_failed):
        [news] = follower.look()
        assert (news.event.status, news.is_new) == ("failed", False)
        assert "  <--  github-deploys  failed  " in follow.line_of(news)
        assert follower.look() == []


def test_a_line_is_printed_for_each_until_ctrl_c(cli: Cli, sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter(range(3))

    def sleep(_seconds: float) -> None:
        if next(looks) == 2:
            raise KeyboardInterrupt
        arrive(sample, 1)

    monkeypatch.setattr(follow.time, "sleep", sleep)
    lines = cli("events", "--follow").stdout.splitlines()
    assert len(lines) == 2
    assert all("  -->  github-deploys  pending  " in line for line in lines)
    looks = iter(range(3))
    objects = [json.loads(line) for line in cli("events", "-f", "--json").stdout.splitlines()]
    assert [(one["webhook"], one["new"]) for one in objects] == [("github-deploys", True)] * 2


def test_a_replay_arrives_by_the_stores_clock(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    [old] = arrive(sample, 1)
    ahead = sample.store.now() + 3_600_000
    monkeypatch.setattr(sample.store, "now", lambda: ahead)  # as a database's clock beside this host's
    bridge = sample.bridge()
    new = bridge.event(replay(bridge, old))
    assert (new.received_at, new.hold_until >= ahead) == (ahead, True)
