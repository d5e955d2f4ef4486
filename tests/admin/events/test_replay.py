"""Replaying many, in order, and following what comes."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from importlib import import_module
from typing import Any
from unittest import mock

import pytest
from flask.testing import FlaskClient

from admin.cli.events import line_of
from admin.events.follow import Follower
from admin.events.replay import NeedsConfirmation, Plan, choose, plan_of, replay, replay_all
from admin.search import Search
from store.records import Decision, Event, NewEvent, NewTarget, Result, Term, new_event_id
from store.sql.event_search import EventFilter
from tests.admin.conftest import Cli
from tests.admin.events.test_families import finish
from tests.support.sample import Sample

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


def fail(sample: Sample, number: int, webhook: str = "github-deploys", ago: int = 0) -> list[str]:
    """The same, and they failed."""
    ids = arrive(sample, number, webhook, ago)
    for one in ids:
        finish(sample, one, "failed")
    return ids


def planned(sample: Sample) -> Plan:
    """The plan for all marked events."""
    return plan_of(sample.bridge(), choose(sample.bridge(), EventFilter(text='"marked"')))


def replayed(sample: Sample) -> list[Event]:
    """The replays, in the order of arrival."""
    found = sample.store.queries.events(EventFilter(limit=1000))
    return [event for event in reversed(found) if event.replay_of]


MARKED = ["--text", '"marked"']


def test_many_are_replayed_in_the_order_of_their_arrival(cli: Cli, sample: Sample) -> None:
    ids = fail(sample, 5)
    result = cli("events", "replay", *MARKED, "--rate", "1000/s")
    assert result.stdout == "5 of 5 events replayed\n"
    assert [event.replay_of for event in replayed(sample)] == ids
    [change] = [change for change in sample.store.changes.newest() if change.what == "replayed"][:1]
    assert "5 events, by --text" in change.detail


def test_a_dry_run_only_says_how_many(cli: Cli, sample: Sample) -> None:
    fail(sample, 3)
    result = cli("events", "replay", *MARKED, "--dry-run")
    assert result.stdout.startswith("3 events would be replayed, which arrived from 20")
    assert result.stdout.endswith("\n  github-deploys: 3 failed\n")
    assert json.loads(cli("events", "replay", *MARKED, "--dry-run", "--json").stdout)["chosen"] == 3
    assert replayed(sample) == []
    assert "no event matches" in cli("events", "replay", "--text", "nowhere at all").stderr


def test_since_bounds_what_is_chosen(cli: Cli, sample: Sample) -> None:
    fail(sample, 2, ago=3 * 60 * MINUTE)
    new = fail(sample, 2)
    assert (
        json.loads(cli("events", "replay", *MARKED, "--since", "2h", "--dry-run", "--json").stdout)[
            "chosen"
        ]
        == 2
    )
    cli("events", "replay", *MARKED, "--since", "2h", "--rate", "1000/s")
    assert [event.replay_of for event in replayed(sample)] == new


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "which events?"),
        (["--rate", "5/s"], "which events?"),
        (["--status", "failed", "--rate", "fast"], "'fast' is not a rate"),
        (["--status", "failed", "--since", "yesterday"], "'yesterday' is not a time"),
        (["id", "--status", "failed"], "leave out the options that select many"),
        (["id", "--dry-run"], "leave out the options that select many"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(cli: Cli, arguments: list[str], words: str) -> None:
    assert words in cli("events", "replay", *arguments, code=2).stderr


def test_what_cannot_be_replayed_is_left_out_and_said(cli: Cli, sample: Sample) -> None:
    fail(sample, 2)
    fail(sample, 1, webhook="gone-webhook")
    sample.store.hidden_paths.keep({"gone-webhook": ()})
    result = cli("events", "replay", *MARKED, "--rate", "1000/s", code=1)
    assert result.stdout == "2 of 3 events replayed\n"
    assert "1 left out: the webhook gone-webhook is no longer defined" in result.stderr


def test_ctrl_c_stops_between_two_and_says_how_to_go_on(cli: Cli, sample: Sample) -> None:
    ids = fail(sample, 200)

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
    assert f"{200 - len(done)} are left; run it again to continue" in result.stderr
    cli("events", "replay", *MARKED, "--rate", "10000/s")
    assert [event.replay_of for event in replayed(sample)] == ids


def test_the_rate_is_kept(sample: Sample) -> None:
    fail(sample, 10)
    now = [0.0]
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    *_, progress = replay_all(sample.bridge(), planned(sample), 5, wait, clock=lambda: now[0])
    assert progress.done == 10
    assert sum(waits) == pytest.approx(9 / 5)


# --- what is left out, and what is asked ---


def test_nothing_is_started_twice_by_a_second_replay_of_the_same_events(
    cli: Cli, sample: Sample
) -> None:
    fail(sample, 3)
    cli("events", "replay", "--status", "failed", *MARKED)
    result = cli("events", "replay", "--status", "failed", *MARKED)
    assert result.stdout == "0 of 3 events replayed\n"
    assert "3 left out: a replay is pending" in result.stderr
    first, second, third = replayed(sample)
    finish(sample, first.id, "delivered")
    finish(sample, second.id, "failed")
    finish(sample, third.id, "expired")
    result = cli("events", "replay", "--status", "failed", *MARKED)
    # The second one and its replay both failed: they are the same.
    assert result.stdout == "2 of 4 events replayed\n"
    assert "1 left out: a replay was already delivered" in result.stderr
    assert "1 left out: the same event is replayed already" in result.stderr
    assert [event.replay_of for event in replayed(sample)[3:]] == [
        second.replay_of,
        third.replay_of,
    ]


def test_a_replay_that_was_delivered_is_itself_left_out(cli: Cli, sample: Sample) -> None:
    [old] = fail(sample, 1)
    new = replay(sample.bridge(), old)
    finish(sample, new, "delivered")
    assert cli("events", "replay", *MARKED, "--yes").stdout == "0 of 2 events replayed\n"


def test_two_who_replay_the_same_events_at_the_same_time_replay_each_once(sample: Sample) -> None:
    ids = fail(sample, 4)
    plans = [planned(sample), planned(sample)]
    runs = [replay_all(sample.bridge(), plan) for plan in plans]
    *_, first = [next(run) for _ in ids for run in runs]
    *_, second = [one for run in runs for one in run]
    assert sorted(str(event.replay_of) for event in replayed(sample)) == sorted(ids)
    assert first.left_out | second.left_out == {"a replay is pending": 4}


def test_a_replay_that_another_adds_at_the_same_moment_is_taken_once(sample: Sample) -> None:
    """The other's replay is committed after this one has looked for replays."""
    [old] = fail(sample, 1)
    plan, sample_bridge, other_bridge = planned(sample), sample.bridge(), sample.bridge()
    append = sample.store.deliveries.append

    def append_after_the_other(events: list[NewEvent]) -> Any:
        sample.store.deliveries.append = append  # type: ignore[method-assign]
        others = replace(events[0], id=new_event_id())
        assert other_bridge.store.deliveries.append([others])[0].event_id == others.id
        return append(events)

    sample.store.deliveries.append = append_after_the_other  # type: ignore[method-assign, assignment]
    *_, progress = replay_all(sample_bridge, plan)
    assert progress.left_out == {"a replay is pending": 1}
    assert [event.replay_of for event in replayed(sample)] == [old]


@pytest.mark.parametrize(
    ("statuses", "webhooks", "words"),
    [
        (
            ["delivered", "failed"],
            ["orders"],
            "1 was delivered, wholly or in part, and would be again",
        ),
        (["pending"], ["orders"], "1 is pending and may be delivered without a replay, too"),
        (["failed", "failed"], ["orders", "slack"], "the events belong to 2 webhooks"),
    ],
)
def test_what_may_do_something_twice_needs_a_yes(
    cli: Cli, sample: Sample, statuses: list[Any], webhooks: list[str], words: str
) -> None:
    for webhook, status in zip(webhooks * 2, statuses, strict=False):
        finish(sample, arrive(sample, 1, webhook)[0], status)
    result = cli("events", "replay", *MARKED, code=2)
    assert f"nothing was replayed: {words}" in result.stderr
    assert "add --yes" in result.stderr
    assert replayed(sample) == []
    planned_json = json.loads(cli("events", "replay", *MARKED, "--dry-run", "--json").stdout)
    assert planned_json["toConfirm"] == [words]
    cli("events", "replay", *MARKED, "--yes")
    assert len(replayed(sample)) == len(statuses)


def test_an_event_that_failed_after_it_had_started_something_needs_a_yes(
    cli: Cli, sample: Sample
) -> None:
    [old] = arrive(sample, 1)
    now, targets = (
        sample.store.now(),
        tuple(NewTarget("start", flow) for flow in ("known", "unknown")),
    )
    decision = Decision(old, "pending", "no", targets)
    known, unknown = sample.store.decisions.decide(Term("sample"), [decision], [], now, 2)
    sample.store.claims.record_results(
        "sample", [Result(known, "done"), Result(unknown, "failed")], now
    )
    assert sample.bridge().event(old).status == "failed"
    assert (
        "1 was delivered, wholly or in part"
        in cli("events", "replay", "--status", "failed", *MARKED, code=2).stderr
    )


@pytest.mark.parametrize("target", [None, 1])
def test_what_a_replay_to_one_target_has_delivered_needs_a_yes(
    sample: Sample, target: int | None
) -> None:
    [old] = arrive(sample, 1)
    finish(sample, old, "failed")
    again = replay(sample.bridge(), old, 1)
    finish(sample, again, "delivered")
    with pytest.raises(NeedsConfirmation, match=again):
        replay(sample.bridge(), old, target)


@pytest.mark.parametrize(("answer", "number"), [("y", 1), ("n", 0)])
def test_a_person_is_asked(sample: Sample, answer: str, number: int) -> None:
    finish(sample, arrive(sample, 1)[0], "delivered")
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    command = [
        sys.executable,
        "-c",
        "from admin.cli import main; main()",
        "events",
        "replay",
        *MARKED,
    ]
    environment = {**os.environ, **sample.environment}
    done = subprocess.run(
        command, stdin=theirs, capture_output=True, text=True, env=environment, cwd=sample.folder
    )
    os.close(ours)
    os.close(theirs)
    assert "Replay them? [y/N]" in done.stderr
    assert (done.returncode, len(replayed(sample))) == (1 - number, number)


# --- the page ---


def test_the_page_says_what_is_left_out_and_why(client: FlaskClient, sample: Sample) -> None:
    old, _ = fail(sample, 2)
    finish(sample, replay(sample.bridge(), old), "delivered")
    finish(sample, arrive(sample, 1, "orders")[0], "delivered")
    asked = client.get('/replay?text="marked"').text
    assert "<li>2: a replay was already delivered</li>" in asked
    assert "<li>github-deploys: 1 failed</li><li>orders: 1 delivered</li>" in asked
    assert "1 was delivered, wholly or in part" in asked
    form = {"text": '"marked"', "number": "2", "to": str(planned(sample).newest)}
    answer = client.post("/replay", data=form, headers={"Origin": "http://localhost"})
    assert "2 of 4 events replayed" in answer.text
    assert "<li>2: a replay was already delivered</li>" in answer.text
    assert "Nothing is left to replay." in client.get('/replay?text="marked"').text


def test_the_page_asks_twice_and_replays_just_these(client: FlaskClient, sample: Sample) -> None:
    fail(sample, 3)
    listed = client.get('/events?text="marked"').text
    assert "Replay these</a>" in listed
    asked = client.get('/replay?text="marked"').text
    assert "Replay 3 events?" in asked
    assert replayed(sample) == []
    form = {
        "text": '"marked"',
        "number": "3",
        "to": str(planned(sample).newest),
    }
    fail(sample, 2)
    answer = client.post("/replay", data=form, headers={"Origin": "http://localhost"})
    assert "3 of 3 events replayed" in answer.text
    assert len(replayed(sample)) == 3


def test_the_page_asks_again_if_the_number_has_changed(client: FlaskClient, sample: Sample) -> None:
    fail(sample, 2)
    form = {"text": '"marked"', "number": "5"}
    answer = client.post("/replay", data=form, headers={"Origin": "http://localhost"})
    assert "has changed in the meantime" in answer.text
    assert replayed(sample) == []


def test_the_page_replays_nothing_without_a_filter_or_for_another_site(
    client: FlaskClient, sample: Sample
) -> None:
    assert client.get("/replay").status_code == 400
    assert client.get("/replay?status=odd").status_code == 400
    evil = {"Origin": "https://evil.example.com"}
    assert (
        client.post("/replay", data={"status": "failed", "number": "1"}, headers=evil).status_code
        == 403
    )
    assert "Replay these" not in client.get("/events").text
    assert replayed(sample) == []


# --- following ---


def test_new_events_are_told_once_and_in_order(sample: Sample) -> None:
    follower = Follower(sample.bridge(), Search())
    assert follower.look() == []
    first, second = arrive(sample, 2)
    assert [(news.event.id, news.is_new) for news in follower.look()] == [
        (first, True),
        (second, True),
    ]
    assert follower.look() == []
    other = Follower(sample.bridge(), Search(webhook="elsewhere"))
    many = arrive(sample, 450)
    assert [news.event.id for news in follower.look()] == many
    assert other.look() == []


def test_what_becomes_of_an_event_is_told_once(sample: Sample) -> None:
    follower = Follower(sample.bridge(), Search())
    [event_id] = arrive(sample, 1)
    assert [(news.event.status, news.is_new) for news in follower.look()] == [("pending", True)]
    finish(sample, event_id, "failed")
    [news] = follower.look()
    assert (news.event.status, news.is_new) == ("failed", False)
    assert "  <--  github-deploys  failed  " in line_of(news)
    assert follower.look() == []


def test_a_line_is_printed_for_each_until_ctrl_c(
    cli: Cli, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter(range(3))

    def sleep(_seconds: float) -> None:
        if next(looks) == 2:
            raise KeyboardInterrupt
        arrive(sample, 1)

    # Not everywhere: another thread may sleep meanwhile.
    module = import_module("admin.cli.events")
    monkeypatch.setattr(module, "time", mock.Mock(wraps=time, sleep=sleep))
    lines = cli("events", "--follow").stdout.splitlines()
    assert len(lines) == 2
    assert all("  -->  github-deploys  pending  " in line for line in lines)
    looks = iter(range(3))
    objects = [json.loads(line) for line in cli("events", "-f", "--json").stdout.splitlines()]
    assert [(one["webhook"], one["new"]) for one in objects] == [("github-deploys", True)] * 2


def test_a_replay_arrives_by_the_stores_clock(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    [old] = arrive(sample, 1)
    ahead = sample.store.now() + 3_600_000
    # As a database's clock beside this host's.
    monkeypatch.setattr(sample.store, "now", lambda: ahead)
    bridge = sample.bridge()
    new = bridge.event(replay(bridge, old, confirmed=True))
    assert (new.received_at, new.hold_until >= ahead) == (ahead, True)
