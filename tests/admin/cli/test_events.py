"""`webhook-bridge events`, `replay` and `tasks`: lists, filters, and one event or task whole."""

from __future__ import annotations

import json

import pytest

from store.records import NewEvent
from store.sql.event_search import EventFilter
from tests.admin.conftest import Cli
from tests.support.sample import DEFINITIONS, Sample


def test_events_are_listed_newest_first_with_their_targets(cli: Cli, sample: Sample) -> None:
    found = json.loads(cli("events", "--json").stdout)
    assert [one["eventId"] for one in found] == list(reversed(sample.events.values()))
    names = {"eventId", "webhook", "status", "receivedAt", "deliveryId", "targets"}
    assert [set(one) for one in found] == [
        names | {"type", "summary", "statusInWords", "effects"}
    ] * 6
    delivered = found[-1]
    assert delivered["status"] == "delivered"
    assert [(one["kind"], one["state"], one["workflowId"]) for one in delivered["targets"]] == [
        ("complete", "done", "workflow-deploy-main"),
        ("start", "done", "workflow/started 1"),
    ]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--webhook", "orders"], ["expired"]),
        (["--status", "failed"], ["refused"]),
        (["--status", "pending", "--webhook", "slack"], ["hostile"]),
        (["--text", "refs/tags/v2"], ["refused"]),
        (["--text", "redelivered-4"], ["pending"]),
        (["-n", "2"], ["pending", "hostile"]),
    ],
)
def test_events_are_filtered(
    cli: Cli, sample: Sample, options: list[str], names: list[str]
) -> None:
    found = json.loads(cli("events", *options, "--json").stdout)
    assert [one["eventId"] for one in found] == [sample.events[name] for name in names]


def test_events_are_paged(cli: Cli, sample: Sample) -> None:
    result = cli("events", "-n", "3")
    assert f"--before {sample.events['ignored']}" in result.stderr
    older = json.loads(cli("events", "--before", sample.events["ignored"], "--json").stdout)
    assert [one["eventId"] for one in older] == [
        sample.events[name] for name in ("expired", "refused", "delivered")
    ]
    assert "no event nothing" in cli("events", "--before", "nothing", code=1).stderr


def test_an_event_is_shown_whole(cli: Cli, sample: Sample) -> None:
    text = cli("events", "show", sample.events["delivered"]).stdout
    for part in (
        "status:      delivered",
        "Completed task wait_for_push of deploy",
        "x-github-event: push",
        '"ref": "refs/heads/main"',
    ):
        assert part in text
    found = json.loads(cli("events", "show", sample.events["delivered"], "--json").stdout)
    assert found["payload"]["pusher"] == {"name": "ada"}
    assert found["headers"]["x-github-event"] == "push"
    assert "Delivered." in found["meaning"]


def test_a_hostile_payload_does_nothing_to_the_terminal(cli: Cli, sample: Sample) -> None:
    for arguments in (
        ["events", "show", sample.events["hostile"]],
        ["events"],
        ["events", "explain", sample.events["hostile"]],
    ):
        text = cli(*arguments).stdout
        assert not [
            character
            for character in text
            if character != "\n" and (ord(character) < 32 or 127 <= ord(character) < 160)
        ]
        assert "\u202e" not in text


def test_an_event_is_explained_task_by_task(cli: Cli, sample: Sample) -> None:
    text = cli("events", "explain", sample.events["delivered"]).stdout
    for part in (
        "STARTS  on_push",
        "TAKEN  task wait_for_push of deploy",
        'NOT $.ref is "refs/heads/main", expected is "refs/heads/dev"',
        "after the event arrived",
        "its workflow is version 1, and github-deploys only receives version 2",
        "someone_elses is not a receiver of github-deploys",
    ):
        assert part in text
    found = json.loads(cli("events", "explain", sample.events["pending"], "--json").stdout)
    (other,) = [one for one in found if one["taskId"] == "task-other"]
    assert other["verdict"] == "differs"
    assert other["firstFailed"] == "$.ref"
    (criterion,) = other["criteria"]
    assert criterion.pop("inWords") == '$.ref is "refs/heads/Main", expected is "refs/heads/dev"'
    assert criterion == {
        "path": "$.ref",
        "expected": "refs/heads/dev",
        "found": ["refs/heads/Main"],
        "holds": False,
    }
    assert (other["workflow"], other["referenceName"]) == ("deploy", "wait_other")


def test_an_event_that_is_not_there_is_1(cli: Cli) -> None:
    for command in ("show", "explain", "replay"):
        result = cli("events", command, "nothing", code=1)
        assert result.stderr.startswith("no event nothing; webhook-bridge find nothing looks")
        assert result.stdout == ""


def test_an_event_is_named_by_a_part_of_its_id_or_as_the_last(cli: Cli, sample: Sample) -> None:
    newest = sample.store.queries.events(EventFilter(limit=1))[0].id
    assert json.loads(cli("events", "show", "last", "--json").stdout)["eventId"] == newest
    other = newest[:-1] + ("0" if newest[-1] != "0" else "1")
    event = NewEvent(other, "orders", sample.store.now(), "{}", {}, {}, sample.store.now())
    assert (
        json.loads(cli("events", "show", newest[:-1].upper(), "--json").stdout)["eventId"] == newest
    )
    sample.store.deliveries.append([event])
    result = cli("events", "explain", newest[:-1], code=1)
    assert "several events' ids begin with" in result.stderr
    assert newest in result.stderr
    assert other in result.stderr
    assert "no event" in cli("events", "show", newest[:7], code=1).stderr, "too short"
    assert "no event" in cli("events", "show", "ffffffff", code=1).stderr
    assert "no event" in cli("events", "show", "________", code=1).stderr
    cli("events", "--before", "last", "--json")


@pytest.mark.parametrize(
    "arguments",
    [("events",), ("events", "--follow"), ("events", "replay", "--dry-run"), ("rejections",)],
)
def test_a_filter_by_a_webhook_that_never_was_is_1(cli: Cli, arguments: tuple[str, ...]) -> None:
    result = cli(*arguments, "-w", "slcak", code=1)
    assert (
        result.stderr
        == "no webhook slcak: did you mean slack? known are github-deploys, orders, slack\n"
    )


def test_the_events_of_a_webhook_that_is_gone_are_listed(cli: Cli, sample: Sample) -> None:
    sample.settings.bridge_webhooks.write_text("webhooks: []", encoding="utf-8")
    assert sample.events["refused"] in cli("events", "-w", "github-deploys").stdout
    assert "wrong" in cli("rejections", "-w", "orders").stdout
    assert "no webhook slcak: none is defined" in cli("events", "-w", "slcak", code=1).stderr


def test_an_event_is_erased_and_then_not_replayed(cli: Cli, sample: Sample) -> None:
    event_id = sample.events["delivered"]
    assert "for good?" in cli("events", "erase", event_id, code=1).stderr, "nobody answers"
    assert "is erased" in cli("events", "erase", event_id, "--yes").stdout
    shown = json.loads(cli("events", "show", event_id, "--json").stdout)
    assert (shown["payload"], shown["status"]) == ({"erased": True}, "delivered")
    assert "has been erased" in cli("events", "replay", event_id, "--yes", code=1).stderr
    assert sample.store.changes.newest()[0].what == "erased"


def test_finished_events_are_pruned_on_demand(cli: Cli, sample: Sample) -> None:
    assert "1 events deleted" not in cli("prune", "--older-than", "7d", "--yes").stderr
    before = len(json.loads(cli("events", "--json").stdout))
    assert "not a duration" in cli("prune", "--older-than", "soon", code=2).stderr
    cli("prune", "--older-than", "0s", "--yes")
    left = json.loads(cli("events", "--json").stdout)
    assert 0 < len(left) < before
    assert {one["status"] for one in left} == {"pending"}


def test_a_list_as_json_has_payloads_if_they_are_asked_for(cli: Cli, sample: Sample) -> None:
    assert "payload" not in json.loads(cli("events", "--json").stdout)[0]
    listed = {
        one["eventId"]: one for one in json.loads(cli("events", "--json", "--payloads").stdout)
    }
    assert listed[sample.events["delivered"]]["payload"]["ref"] == "refs/heads/main"


def test_a_replay_is_a_new_event_of_now(cli: Cli, sample: Sample) -> None:
    old = sample.store.queries.event(sample.events["refused"])
    assert old is not None
    new_id = cli("events", "replay", old.id).stdout.strip()
    new = sample.store.queries.event(new_id)
    assert new is not None
    assert (new.replay_of, new.delivery_id, new.status) == (old.id, None, "pending")
    assert (new.payload, new.headers, new.query, new.webhook) == (
        old.payload,
        old.headers,
        old.query,
        old.webhook,
    )
    assert new.received_at > old.received_at
    assert new.hold_until == new.received_at + 600_000, "the hold is the definition's of now"
    assert f"A replay of event {old.id}." in cli("events", "show", new_id).stdout
    again = json.loads(cli("events", "replay", old.id, "--json", "--yes").stdout)
    assert again["replayOf"] == old.id
    assert again["eventId"] != new_id


def test_a_replay_for_a_webhook_that_is_gone_is_refused(cli: Cli, sample: Sample) -> None:
    sample.settings.bridge_webhooks.write_text("webhooks: []", encoding="utf-8")
    result = cli("events", "replay", sample.events["refused"], code=1)
    assert "no longer defined" in result.stderr


def test_broken_definitions_are_no_reason_to_show_nothing(cli: Cli, sample: Sample) -> None:
    """Nor is a shell that lacks the secrets."""
    text = DEFINITIONS.replace("a-secret-of-more-than-sixteen-characters", "${NOT_SET_HERE}")
    sample.settings.bridge_webhooks.write_text(text, encoding="utf-8")
    result = cli("events", "explain", sample.events["pending"])
    assert "DIFFERS  task wait_other" in result.stdout
    assert "note: the definitions have 1 error (see" in result.stderr
    assert cli("events", "replay", sample.events["pending"], "--yes").stdout.strip()


def test_waiting_tasks_are_listed_with_their_matches(cli: Cli) -> None:
    found = json.loads(cli("tasks", "--json").stdout)
    assert [one["taskId"] for one in found] == [
        "task-broken",
        "task-late",
        "task-old",
        "task-other",
        "task-stranger",
    ]
    keys = {"taskId", "workflowId", "workflow", "referenceName", "matches", "waitingSince"}
    assert [set(one) for one in found] == [keys | {"broken"}, keys, keys, keys, keys]
    assert found[3]["matches"] == {"$.ref": "refs/heads/dev"}
    assert "BROKEN: '$[' is not a JSONPath" in cli("tasks").stdout


def test_tasks_that_conductor_has_lost_for_good_are_forgotten(cli: Cli, sample: Sample) -> None:
    result = cli("tasks", "forget", "task-old", "task-old", "unknown", code=1)
    assert (result.stdout, result.stderr) == ("task-old is forgotten\n", "unknown does not wait\n")
    assert "task-old" not in cli("tasks").stdout
    assert sample.store.changes.newest()[0].detail == "task task-old"


def test_tasks_are_filtered(cli: Cli) -> None:
    assert [
        one["taskId"] for one in json.loads(cli("tasks", "--workflow", "release", "--json").stdout)
    ] == ["task-old"]
    assert [one["taskId"] for one in json.loads(cli("tasks", "--broken", "--json").stdout)] == [
        "task-broken"
    ]
    result = cli("tasks", "--workflow", "none")
    assert (result.stdout, result.stderr) == ("", "no task is known to be waiting\n")
    assert json.loads(cli("tasks", "--workflow", "none", "--json").stdout) == []


def test_a_task_is_shown_with_the_events_that_came_near(cli: Cli, sample: Sample) -> None:
    text = cli("tasks", "show", "task-other").stdout
    assert "Waiting for an event from github-deploys." in text
    assert f"DIFFERS  event {sample.events['pending']}" in text
    assert 'NOT $.ref is "refs/heads/Main", expected is "refs/heads/dev"' in text
    found = json.loads(cli("tasks", "show", "task-main", "--json").stdout)
    assert found["state"] == "completed"
    assert found["events"][0]["eventId"] == sample.events["delivered"]
    assert found["events"][0]["verdict"] == "taken"
    assert "no task nothing is known" in cli("tasks", "show", "nothing", code=1).stderr


def test_an_event_is_followed_until_it_is_settled(cli: Cli, sample: Sample) -> None:
    assert "leave out --json" in cli("events", "show", "last", "--follow", "--json", code=2).stderr
    told = cli("events", "show", sample.events["delivered"], "--follow").stdout.splitlines()
    assert any("wait_for_push" in line for line in told)
    assert told[-1].startswith("delivered")
