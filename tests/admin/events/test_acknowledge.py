"""Acknowledging failed events and reopening them: one and many, on the command line, the page and
by the API."""

from __future__ import annotations

import json

import pytest
from flask.testing import FlaskClient

from store.records import Event
from store.sql.event_search import EventFilter
from tests.admin.conftest import Cli
from tests.admin.events.test_replay import MARKED, arrive, fail, replayed
from tests.support.sample import Sample


def unresolved(sample: Sample) -> list[Event]:
    return sample.bridge().events(EventFilter(unresolved=True))


def acknowledged(sample: Sample, event_id: str) -> bool:
    return sample.bridge().event(event_id).acknowledged_at is not None


def test_an_acknowledged_event_is_no_issue_and_says_who_did_it_and_why(
    cli: Cli, sample: Sample
) -> None:
    refused = sample.events["refused"]
    result = cli("events", "acknowledge", refused, "--reason", "refunded by hand")
    assert result.stdout == "1 of 1 events acknowledged\n"
    assert unresolved(sample) == []
    [change] = sample.store.changes.newest(limit=1)
    assert (change.what, change.webhook) == ("acknowledged", "github-deploys")
    assert change.who.startswith("command line (")
    assert change.detail == "1 event, by id: refunded by hand"
    assert " failed, acknowledged " in cli("events", "--status", "failed").stdout
    shown = cli("events", "show", refused).stdout
    assert "it no longer counts as failed" in shown
    assert "Fix the cause" not in shown
    cli("events", "reopen", refused)
    assert [event.id for event in unresolved(sample)] == [refused]


def test_many_are_acknowledged_and_no_replay_of_many_takes_them(cli: Cli, sample: Sample) -> None:
    ids = fail(sample, 3)
    arrive(sample, 1)
    result = cli("events", "acknowledge", *MARKED, "--reason", "a test", "--since", "2h")
    assert result.stdout == "3 of 4 events acknowledged\n"
    assert "1 left out: it is pending: it may still be delivered" in result.stderr
    result = cli("events", "replay", *MARKED, "--status", "failed", "--rate", "1000/s")
    assert "0 of 3 events replayed" in result.stdout
    assert "3 left out: it is acknowledged" in result.stderr
    cli("events", "replay", *MARKED, "--status", "failed", "--rate", "1000/s", "--acknowledged")
    assert [event.replay_of for event in replayed(sample)] == ids
    assert json.loads(cli("events", "reopen", *MARKED, "--json").stdout) == {
        "chosen": 7,
        "webhooks": {"github-deploys": 3},
        "changed": 3,
        "leftOut": {"it isn't acknowledged": 4},
    }


def test_events_of_several_webhooks_need_a_yes(cli: Cli, sample: Sample) -> None:
    fail(sample, 1), fail(sample, 1, webhook="orders")
    refused = cli("events", "acknowledge", *MARKED, "--reason", "a test", code=2)
    assert "the events belong to 2 webhooks" in refused.stderr
    plan = json.loads(cli("events", "acknowledge", *MARKED, "--dry-run", "--json").stdout)
    assert plan["byWebhook"] == {"github-deploys": {"failed": 1}, "orders": {"failed": 1}}
    assert (
        "2 of 2 events"
        in cli("events", "acknowledge", *MARKED, "--reason", "a test", "--yes").stdout
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "which events?"),
        (["last", "--status", "failed"], "leave out the options that select many"),
        (["--status", "failed"], "say why the event needs nothing"),
        (["--status", "failed", "--reason", "x" * 501], "the reason is too long"),
        (
            ["--status", "failed", "--reason", "x", "--since", "yesterday"],
            "'yesterday' is not a time",
        ),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(cli: Cli, arguments: list[str], words: str) -> None:
    assert words in cli("events", "acknowledge", *arguments, code=2).stderr


def test_an_event_that_asks_nothing_cannot_be_acknowledged(
    cli: Cli, client: FlaskClient, sample: Sample
) -> None:
    delivered = sample.events["delivered"]
    assert (
        "1 left out: it was delivered"
        in cli("events", "acknowledge", delivered, "-r", "x", code=1).stderr
    )
    answer = client.post(f"/api/events/{delivered}/acknowledge", json={"reason": "x"})
    assert (answer.status_code, answer.json["error"]) == (409, "conflict")  # type: ignore[index]
    assert "Acknowledge" not in client.get(f"/events/{delivered}").text


def test_the_page_acknowledges_exactly_the_many_that_were_confirmed(
    client: FlaskClient, sample: Sample
) -> None:
    ids = fail(sample, 2)
    page = client.get("/acknowledge?status=failed").text
    assert "Acknowledge 3 events?" in page
    assert "github-deploys: 3 failed" in page
    form = {"status": "failed", "reason": "a test", "number": "2"}
    assert "Their number has changed in the meantime" in client.post("/acknowledge", data=form).text
    assert not acknowledged(sample, ids[0])
    done = client.post("/acknowledge", data=form | {"number": "3"}).text
    assert "3 of 3 events acknowledged" in done
    assert "Nothing is left to acknowledge" in client.get("/acknowledge?status=failed").text
    named = client.get("/reopen", query_string={"event": ids}).text
    assert "Reopen 2 events?" in named
    assert named.count('name="event"') == 2
    assert client.get("/acknowledge").status_code == 400
    assert client.get(f"/acknowledge?status=failed&event={ids[0]}").status_code == 400
    assert client.get("/acknowledge?status=unknown").status_code == 400


def test_the_api_acknowledges_one_and_many(client: FlaskClient, sample: Sample) -> None:
    ids = fail(sample, 2)
    answer = client.post(f"/api/events/{ids[0]}/acknowledge", json={"reason": "known"})
    assert (answer.status_code, answer.json["eventId"]) == (200, ids[0])  # type: ignore[index]
    listed = {one["eventId"]: one for one in client.get("/api/events?status=failed").json}  # type: ignore[union-attr]
    assert "acknowledgedAt" in listed[ids[0]]
    assert "acknowledgedAt" not in listed[ids[1]]
    tried = client.post("/api/events/acknowledge", json={"status": "failed", "dryRun": True}).json
    assert tried == {
        "chosen": 3,
        "byWebhook": {"github-deploys": {"failed": 2}},
        "leftOut": {"it is acknowledged already": 1},
        "toConfirm": [],
    }
    done = client.post("/api/events/acknowledge", json={"eventIds": ids, "reason": "known"}).json
    assert done["webhooks"] == {"github-deploys": 1}  # type: ignore[index]
    overview = client.get("/api/overview").json
    assert (overview["unresolved"], overview["events"]["failed"]) == (1, 3)  # type: ignore[index]
    assert client.post("/api/events/reopen", json={"eventIds": ids}).json["changed"] == 2  # type: ignore[index]
    for wrong in (
        {"status": "failed"},
        {"status": "lost", "reason": "x"},
        {"reason": "x"},
        {"reason": "x", "all": 1},
    ):
        assert client.post("/api/events/acknowledge", json=wrong).status_code == 400, wrong
    assert client.post("/api/events/acknowledge", data="[1]").status_code == 400
