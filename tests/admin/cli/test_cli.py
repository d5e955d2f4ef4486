"""``webhook-bridge`` in this process, and as the installed program."""

from __future__ import annotations

import importlib
import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from admin.bridge import Bridge
from admin.cli import main
from admin.events.replay import replay
from store.event_filter import EventFilter
from store.records import NewEvent
from store.sqlite import SqliteStore
from testkit import PATIENCE
from testkit.processes import ROOT
from tests.admin.conftest import Cli
from tests.admin.sample import DEFINITIONS, Sample
from worker.discovery.probe import CheckResult

COMMANDS = ["check", "webhooks", "events", "tasks", "rejections", "send", "schema", "import"]


# --- help ---


def test_the_help_names_every_command_and_teaches_by_examples(cli: Cli) -> None:
    text = cli("--help").output
    for command in COMMANDS:
        assert f"\n  {command}" in text
    for word in ("Examples:", "BRIDGE_WEBHOOKS", "Exit codes:", "_WEBHOOK_BRIDGE_COMPLETE=bash_source"):
        assert word in text


@pytest.mark.parametrize(
    "command",
    [*([one] for one in COMMANDS), ["events", "show"], ["events", "explain"], ["events", "replay"], ["tasks", "show"]],
)
def test_every_command_explains_itself(cli: Cli, command: list[str]) -> None:
    text = cli(*command, "--help").output
    assert text.startswith(f"Usage: webhook-bridge {' '.join(command)}")
    assert text == cli(*command, "-h").output


def test_the_command_line_starts_without_conductors_client() -> None:
    program = "import sys, admin.cli; print('conductor' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], cwd=ROOT) == b"False\n"


def test_every_option_has_a_help() -> None:
    def walk(command: click.Command) -> None:
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, (command.name, parameter.name)
        for inner in command.commands.values() if isinstance(command, click.Group) else ():
            walk(inner)

    walk(main)


@pytest.mark.parametrize(
    "arguments",
    [["nothing"], ["events", "--status", "odd"], ["events", "show"], ["check", "--odd"], ["events", "-n", "0"]],
)
def test_wrong_usage_is_2(cli: Cli, arguments: list[str]) -> None:
    assert "Usage:" in cli(*arguments, code=2).stderr


def test_the_version_is_printed(cli: Cli) -> None:
    assert cli("--version").output.startswith("webhook-bridge, version ")


# --- check ---


def test_check_prints_warnings_and_is_0(cli: Cli, sample: Sample) -> None:
    result = cli("check")
    file = sample.settings.bridge_webhooks
    assert result.stdout == (
        f"{file}:18: webhook slack: platform: warning: no signing secret: once the challenge has come, anyone who "
        "knows the URL can post; add secret: ${NAME}\n"
    )
    assert "3 webhooks, no errors" in result.stderr


def test_a_conductor_that_is_away_is_a_warning_and_offline_it_is_not_asked(cli: Cli) -> None:
    assert "warning: CONDUCTOR_SERVER_URL: Conductor can't be reached" in cli("check").stderr
    [*_, last] = json.loads(cli("check", "--json").stdout)
    assert (last["where"], last["warning"], last["file"]) == ("CONDUCTOR_SERVER_URL", True, None)
    assert "CONDUCTOR_SERVER_URL" not in cli("check", "--offline").output


def test_check_says_what_the_worker_found_out_about_conductor(cli: Cli, sample: Sample) -> None:
    sample.store.facts.set("conductor", "503")
    sample.store.facts.set("index_misses", "1 of 9 waiting tasks")
    sample.store.facts.set("index_fails", "orders: 503")
    text = cli("check").stderr
    assert "the worker can't use Conductor: 503" in text
    assert "events wait for Conductor's index: orders: 503" in text
    assert "1 of 9 waiting tasks were missing from Conductor's index" in text


def test_check_says_where_a_process_has_the_last_good_definitions_in_force(cli: Cli, sample: Sample) -> None:
    """Its environment may be another one than that of `check`."""
    error = "a.yaml:3: webhook a: secret: the environment variable A is not set"
    sample.store.facts.set("definitions_error:relay", error)
    assert f"the relay found errors in the definitions, and keeps using the last good ones: {error}" in (
        cli("check").stderr
    )


def test_check_fails_for_urls_of_messages_with_which_no_worker_starts(cli: Cli) -> None:
    said = "BRIDGE_NOTIFY: Apprise doesn't know URL number 2"
    cli.environment["BRIDGE_NOTIFY"] = "json://localhost/path nonsense"
    result = cli("check", "--offline", code=1)
    assert f"error: {said}; write one such as" in result.stderr
    assert "nonsense" not in result.output, "it may be a secret"
    cli.environment["BRIDGE_NOTIFY"] = "json://localhost/path"
    assert "BRIDGE_NOTIFY" not in cli("check", "--offline").output


@pytest.mark.parametrize(
    ("given", "missing"),
    [("CONDUCTOR_AUTH_KEY", "CONDUCTOR_AUTH_SECRET"), ("CONDUCTOR_AUTH_SECRET", "CONDUCTOR_AUTH_KEY")],
)
def test_half_an_access_key_fails_the_check(cli: Cli, given: str, missing: str) -> None:
    cli.environment[given] = "half"
    result = cli("check", "--offline", code=1)
    said = f"{missing} isn't set, so Conductor is called without an access key; set both, or none"
    assert f"error: CONDUCTOR_AUTH_KEY: {said}" in result.stderr
    cli.environment[missing] = "other"
    assert "CONDUCTOR_AUTH" not in cli("check", "--offline").output


def test_check_warns_if_the_page_may_write_webhooks_and_cannot(cli: Cli, sample: Sample) -> None:
    cli.environment["BRIDGE_ADMIN_WRITES"] = "on"
    file = sample.settings.bridge_webhooks
    said = f"warning: BRIDGE_ADMIN_WRITES: {file} is not a folder: to create webhooks, set BRIDGE_WEBHOOKS to one"
    assert said in cli("check", "--offline").stderr
    cli.environment["BRIDGE_WEBHOOKS"] = str(file.parent)
    assert "BRIDGE_ADMIN_WRITES" not in cli("check", "--offline").stderr


def test_a_server_that_answers_and_cant_be_used_is_1(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    note, error = CheckResult("note", "found by search"), CheckResult("error", "no Conductor API there", "mend it")
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(
        importlib.import_module("admin.cli.check"), "probe", lambda *given: asked.append(given) or [note, error]
    )
    lines = cli("check", code=1).stderr.splitlines()
    assert "error: CONDUCTOR_SERVER_URL: no Conductor API there; mend it" in lines
    assert "note: CONDUCTOR_SERVER_URL: found by search" in lines
    [(url, key, secret, definitions, left)] = asked
    assert (url, key, secret, left) == ("http://127.0.0.1:1/api", None, None, ())
    assert definitions.receivers == ["deploy", "order_flow", "release", "sample_webhook_for_slack"]
    assert definitions.starts == ["on_push"]
    found = json.loads(cli("check", "--json", code=1).stdout)
    assert [problem["what"] for problem in found if not problem["warning"]] == ["no Conductor API there"]


def test_check_prints_every_problem_with_its_line_and_is_1(cli: Cli, sample: Sample) -> None:
    sample.settings.bridge_webhooks.write_text(DEFINITIONS.replace("any", "all").replace("0s", "0"), encoding="utf-8")
    result = cli("check", code=1)
    lines = result.stdout.splitlines()
    assert [line.split(": ")[0].rpartition(":")[2] for line in lines] == ["6", "15", "18", "20"]
    assert "3 errors; the bridge keeps using the last good definitions of each file" in result.stderr
    found = json.loads(cli("check", "--json", code=1).stdout)
    assert [problem["line"] for problem in found] == [6, 15, 20, 18]
    assert set(found[0]) == {"file", "line", "where", "what", "remedy", "warning"}


def test_a_setting_that_is_wrong_is_one_line(cli: Cli) -> None:
    cli.environment["BRIDGE_DATABASE"] = "mysql://x"
    for command in (["check"], ["webhooks"], ["events"], ["tasks"]):
        result = cli(*command, code=1)
        assert result.stderr.strip() == (
            "BRIDGE_DATABASE: neither SQLite nor PostgreSQL; write sqlite:///PATH, such as sqlite:///data/bridge.db, "
            "or postgresql://USER@HOST/DATABASE"
        )


# --- webhooks ---


def test_webhooks_lists_url_platform_and_since_when_each_is_verified(cli: Cli) -> None:
    found = json.loads(cli("webhooks", "--json").stdout)
    assert [set(one) for one in found] == [{"name", "url", "platform", "status", "verifiedAt"}] * 3
    assert found[0]["url"] == "https://hooks.example.com/webhook/github-deploys"
    assert [one["status"] for one in found] == ["Verified", "Unverified", "Unverified"]
    assert found[0]["verifiedAt"].endswith("Z")
    assert found[1]["verifiedAt"] is None, "its secret has changed since"
    table = cli("webhooks").stdout.splitlines()
    assert table[0].split() == ["NAME", "URL", "PLATFORM", "STATUS", "VERIFIED", "AT"]
    assert len(table) == 4


def test_webhooks_without_a_public_url_or_a_database_are_listed(cli: Cli, sample: Sample) -> None:
    del cli.environment["BRIDGE_PUBLIC_URL"]
    cli.environment |= {"BRIDGE_DATABASE": f"sqlite:///{sample.folder}/none/bridge.db", "PORT": "8123"}
    result = cli("webhooks", "--json")
    assert json.loads(result.stdout)[0]["url"] == "http://localhost:8123/webhook/github-deploys"
    assert "no database at" in result.stderr
    assert not (sample.folder / "none").exists()


def test_webhooks_of_broken_definitions_are_1(cli: Cli, sample: Sample) -> None:
    sample.settings.bridge_webhooks.write_text("webhooks: 5", encoding="utf-8")
    assert "webhooks.yaml:1: webhooks: not a list" in cli("webhooks", code=1).stderr


# --- events ---


def test_events_are_listed_newest_first_with_their_targets(cli: Cli, sample: Sample) -> None:
    found = json.loads(cli("events", "--json").stdout)
    assert [one["eventId"] for one in found] == list(reversed(sample.events.values()))
    names = {"eventId", "webhook", "status", "receivedAt", "deliveryId", "targets"}
    assert [set(one) for one in found] == [names | {"type", "summary", "statusInWords", "effects"}] * 6
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
def test_events_are_filtered(cli: Cli, sample: Sample, options: list[str], names: list[str]) -> None:
    found = json.loads(cli("events", *options, "--json").stdout)
    assert [one["eventId"] for one in found] == [sample.events[name] for name in names]


def test_events_are_paged(cli: Cli, sample: Sample) -> None:
    result = cli("events", "-n", "3")
    assert f"--before {sample.events['ignored']}" in result.stderr
    older = json.loads(cli("events", "--before", sample.events["ignored"], "--json").stdout)
    assert [one["eventId"] for one in older] == [sample.events[name] for name in ("expired", "refused", "delivered")]
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
    assert other["criteria"] == [
        {"path": "$.ref", "expected": "refs/heads/dev", "found": ["refs/heads/Main"], "holds": False}
    ]
    assert (other["workflow"], other["referenceName"]) == ("deploy", "wait_other")


def test_an_event_that_is_not_there_is_1(cli: Cli) -> None:
    for command in ("show", "explain", "replay"):
        result = cli("events", command, "nothing", code=1)
        assert result.stderr == "no event nothing\n"
        assert result.stdout == ""


def test_the_times_that_help_names_can_be_written_so(cli: Cli) -> None:
    text = " ".join(cli("events", "--help").stdout.split())
    named = re.search(r"since then: (.+?) means two hours ago, or (.+?) \(UTC\)", text)
    assert named is not None
    for time in named.groups():
        cli("events", "--since", time)


@pytest.mark.parametrize("argument", ["schema", "--help", "--version"])
def test_a_full_disk_is_told_in_one_line(argument: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("only Linux has /dev/full")
    with open("/dev/full", "w", encoding="utf-8") as full:
        command = [sys.executable, "-c", "from admin.cli import main; main()", argument]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT)
    assert (ended.returncode, ended.stderr) == (1, "the output can't be written: No space left on device\n")


@pytest.mark.parametrize("url", ["bridge.db", "sqlite:other.db", "sqlite://other.db", "http://localhost/x", ""])
def test_a_store_moves_only_to_where_a_setting_can_name_it(cli: Cli, sample: Sample, url: str) -> None:
    here = sample.settings.bridge_database
    assert "TO: " in cli("migrate-store", here, url, code=2).stderr
    assert "FROM: " in cli("migrate-store", url, here, code=2).stderr


@pytest.mark.parametrize("command", [("events",), ("events", "explain", "last"), ("tasks",), ("rejections",)])
def test_a_limit_that_no_database_counts_to_is_2(cli: Cli, command: tuple[str, ...]) -> None:
    assert "--limit" in cli(*command, "--limit", str(2**63), code=2).stderr


def test_an_event_is_named_by_a_part_of_its_id_or_as_the_last(cli: Cli, sample: Sample) -> None:
    newest = sample.store.queries.events(EventFilter(limit=1))[0].id
    assert json.loads(cli("events", "show", "last", "--json").stdout)["eventId"] == newest
    other = newest[:-1] + ("0" if newest[-1] != "0" else "1")
    event = NewEvent(other, "orders", sample.store.now(), "{}", {}, {}, sample.store.now())
    assert json.loads(cli("events", "show", newest[:-1].upper(), "--json").stdout)["eventId"] == newest
    sample.store.deliveries.append([event])
    result = cli("events", "explain", newest[:-1], code=1)
    assert "several events' ids begin with" in result.stderr
    assert newest in result.stderr
    assert other in result.stderr
    assert "no event" in cli("events", "show", newest[:7], code=1).stderr, "too short"
    assert "no event" in cli("events", "show", "ffffffff", code=1).stderr
    assert "no event" in cli("events", "show", "________", code=1).stderr
    for arguments in (("events", "--before", "last", "--json"), ("events", "replay", "--after", "last", "-w", "slack")):
        cli(*arguments)


@pytest.mark.parametrize(
    "arguments", [("events",), ("events", "--follow"), ("events", "replay", "--dry-run"), ("rejections",)]
)
def test_a_filter_by_a_webhook_that_never_was_is_1(cli: Cli, arguments: tuple[str, ...]) -> None:
    result = cli(*arguments, "-w", "slcak", code=1)
    assert result.stderr == "no webhook slcak: did you mean slack? known are github-deploys, orders, slack\n"


def test_the_events_of_a_webhook_that_is_gone_are_listed(cli: Cli, sample: Sample) -> None:
    sample.settings.bridge_webhooks.write_text("webhooks: []", encoding="utf-8")
    assert sample.events["refused"] in cli("events", "-w", "github-deploys").stdout
    assert "wrong" in cli("rejections", "-w", "orders").stdout
    assert "no webhook slcak: none is defined" in cli("events", "-w", "slcak", code=1).stderr


def test_a_replay_is_a_new_event_of_now(cli: Cli, sample: Sample) -> None:
    old = sample.store.queries.event(sample.events["refused"])
    assert old is not None
    new_id = cli("events", "replay", old.id).stdout.strip()
    new = sample.store.queries.event(new_id)
    assert new is not None
    assert (new.replay_of, new.delivery_id, new.status) == (old.id, None, "pending")
    assert (new.payload, new.headers, new.query, new.webhook) == (old.payload, old.headers, old.query, old.webhook)
    assert new.received_at > old.received_at
    assert new.hold_until == new.received_at + 600_000, "the hold is the definition's of now"
    assert f"A replay of {old.id}." in cli("events", "show", new_id).stdout
    again = json.loads(cli("events", "replay", old.id, "--json").stdout)
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
    assert cli("events", "replay", sample.events["pending"]).stdout.strip()


# --- tasks and rejections ---


def test_waiting_tasks_are_listed_with_their_matches(cli: Cli) -> None:
    found = json.loads(cli("tasks", "--json").stdout)
    assert [one["taskId"] for one in found] == ["task-broken", "task-late", "task-old", "task-other", "task-stranger"]
    keys = {"taskId", "workflowId", "workflow", "referenceName", "matches", "waitingSince"}
    assert [set(one) for one in found] == [keys | {"broken"}, keys, keys, keys, keys]
    assert found[3]["matches"] == {"$.ref": "refs/heads/dev"}
    assert "BROKEN: '$[' is not a JSONPath" in cli("tasks").stdout


def test_tasks_are_filtered(cli: Cli) -> None:
    assert [one["taskId"] for one in json.loads(cli("tasks", "--workflow", "release", "--json").stdout)] == ["task-old"]
    assert [one["taskId"] for one in json.loads(cli("tasks", "--broken", "--json").stdout)] == ["task-broken"]
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


def test_rejections_are_listed(cli: Cli) -> None:
    found = json.loads(cli("rejections", "--json", "--webhook", "orders").stdout)
    assert [one["reason"] for one in found] == ["the header X-Api-Key is wrong <script>"]
    assert "203.0.113.10" in cli("rejections").stdout
    assert cli("rejections").stderr == ""
    assert cli("rejections", "--limit", "1").stderr == "only the newest 1 are listed; see --limit\n"


# --- the store ---


@pytest.mark.parametrize(
    "arguments", [["events"], ["tasks"], ["rejections"], ["events", "show", "x"], ["events", "replay", "x"]]
)
def test_a_missing_database_is_one_line_and_is_not_made(cli: Cli, sample: Sample, arguments: list[str]) -> None:
    cli.environment["BRIDGE_DATABASE"] = f"sqlite:///{sample.folder}/none.db"
    result = cli(*arguments, code=1)
    assert result.stderr == (
        f"no database at {sample.folder}/none.db; start the relay, or set BRIDGE_DATABASE to yours\n"
    )
    assert not (sample.folder / "none.db").exists()


def test_a_newer_database_is_one_line(cli: Cli, sample: Sample) -> None:
    with sqlite3.connect(sample.folder / "bridge.db") as database:
        database.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
            " VALUES ('webhook_bridge', 'of-the-future', '')"
        )
    database.close()
    result = cli("events", code=1)
    assert "created by a newer version of the bridge" in result.stderr
    assert "Traceback" not in result.output


def test_a_file_that_is_no_database_is_one_line(cli: Cli, sample: Sample) -> None:
    other = sample.folder / "other.db"
    other.write_text("not a database, but long enough to look like one" * 50, encoding="utf-8")
    cli.environment["BRIDGE_DATABASE"] = f"sqlite:///{other}"
    said = f"{other} isn't an SQLite database; set BRIDGE_DATABASE to the bridge's, or move the file away\n"
    assert cli("events", code=1).stderr == said
    assert f"error: BRIDGE_DATABASE: {said}" in cli("check", code=1).stderr


# --- import, schema, completion ---


def test_import_prints_yaml_and_says_what_to_set(cli: Cli, sample: Sample) -> None:
    file = sample.folder / "orkes.json"
    file.write_text(
        json.dumps(
            [{"name": "pay", "verifier": "STRIPE", "secretValue": "hush", "receiverWorkflowNamesToVersions": {"a": 1}}]
        ),
        encoding="utf-8",
    )
    result = cli("import", str(file))
    assert "platform: stripe" in result.stdout
    assert "hush" not in result.output
    assert result.stderr == "set PAY_SECRET: the signing secret of stripe\n"
    assert cli("import", "-", stdin=file.read_bytes()).stdout == result.stdout
    into = sample.folder / "into.yaml"
    assert cli("import", str(file), "--into", str(into)).stdout == f"{into}\n"
    assert into.read_text().startswith("# Imported from Orkes")
    assert "already in" in cli("import", str(file), "--into", str(into), code=1).stderr


def test_import_of_another_encoding_says_which_it_reads(cli: Cli, sample: Sample) -> None:
    file = sample.folder / "orkes.json"
    file.write_text('[{"name": "pay"}]', encoding="utf-16")
    stderr = cli("import", str(file), code=1).stderr
    assert stderr == f"{file} isn't UTF-8; save it as UTF-8 (PowerShell's > writes UTF-16)\n"


def test_import_of_what_nothing_verifies_is_1(cli: Cli) -> None:
    text = b'{"name": "x", "receiverWorkflowNamesToVersions": {"a": 1}}'
    result = cli("import", "-", stdin=text, code=1)
    assert "x: no verifier" in result.stderr
    assert "name: x" in result.stdout


def test_import_of_anything_else_is_1(cli: Cli) -> None:
    assert "not JSON" in cli("import", "-", stdin=b"<xml>", code=1).stderr
    assert "No such file" in cli("import", "nothing.json", code=2).stderr


def test_the_shell_completes_commands_and_webhooks(cli: Cli) -> None:
    for words, expected in (("webhook-bridge ev", "events"), ("webhook-bridge send gi", "github-deploys")):
        cli.environment |= {
            "_WEBHOOK_BRIDGE_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        }
        assert expected in cli(code=0).stdout


# --- the program ---


def run(sample: Sample, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("webhook-bridge")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("BRIDGE_", "CONDUCTOR_"))}
    given = {key: value for key, value in {**sample.environment, **environment}.items() if value}
    return subprocess.run(
        [program, *arguments],
        cwd=sample.folder,
        env={**kept, **given},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_the_installed_program_runs_and_has_the_exit_codes(sample: Sample) -> None:
    assert run(sample, "nothing").returncode == 2
    failed = run(sample, "events", "show", "nothing")
    assert (failed.returncode, failed.stdout, failed.stderr) == (1, "", "no event nothing\n")
    listed = run(sample, "events")
    assert listed.returncode == 0
    assert "github-deploys" in listed.stdout


def test_the_program_reads_dotenv(sample: Sample) -> None:
    (sample.folder / ".env").write_text("BRIDGE_PUBLIC_URL=https://dotenv.example.com\n", encoding="utf-8")
    text = run(sample, "webhooks", BRIDGE_PUBLIC_URL="").stdout
    assert "https://dotenv.example.com/webhook/slack" in text


def test_a_reader_that_goes_away_is_no_error(sample: Sample) -> None:
    program = Path(sys.executable).with_name("webhook-bridge")
    result = subprocess.run(
        f"{program} schema | head -c 10", shell=True, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert "Traceback" not in result.stderr


def test_a_replay_says_when_the_store_cannot_be_written(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    from store.errors import StoreUnavailable

    def refuse(events: object) -> None:
        raise StoreUnavailable("SQLite: database or disk is full")

    monkeypatch.setattr(sample.store.deliveries, "append", refuse)
    with pytest.raises(StoreUnavailable):
        replay(Bridge(sample.settings, sample.store, sample.bridge().definitions), sample.events["refused"])


@pytest.mark.parametrize("command", [("events",), ("events", "show", "nobody"), ("webhooks",)])
def test_a_command_leaves_no_connection_open(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    closed: list[SqliteStore] = []
    close = SqliteStore.close
    monkeypatch.setattr(SqliteStore, "close", lambda store: (closed.append(store), close(store)))
    cli(*command, code=1 if "nobody" in command else 0)
    assert len(closed) == 1


# --- pause and resume ---


def test_a_paused_webhook_is_listed_as_such_and_its_events_say_so(cli: Cli, sample: Sample) -> None:
    name = json.loads(cli("webhooks", "--json").stdout)[0]["name"]
    assert f"webhook-bridge resume {name}" in cli("pause", name).stdout
    assert [one["name"] for one in json.loads(cli("webhooks", "--json").stdout) if "pausedAt" in one] == [name]
    assert "PAUSED AT" in cli("webhooks").stdout
    assert cli("resume", name).stdout == f"{name} is resumed\n"
    assert "PAUSED AT" not in cli("webhooks").stdout


def test_what_cannot_be_paused_or_resumed_is_said(cli: Cli) -> None:
    assert "no webhook nothing: known are " in cli("pause", "nothing", code=1).stderr
    assert "nothing isn't paused; paused webhooks: none" in cli("resume", "nothing", code=1).stderr


def test_an_unknown_command_names_the_one_that_was_meant(cli: Cli) -> None:
    assert "did you mean events?" in cli("evnts", code=2).stderr
    assert "to see it: webhook-bridge events show last" in cli("events", "last", code=2).stderr


@pytest.mark.parametrize("group", [[], ["events"], ["rejections"], ["tasks"]])
def test_no_line_of_a_list_of_commands_is_cut_off(cli: Cli, group: list[str]) -> None:
    assert "..." not in cli(*group, "--help").stdout.partition("Commands:")[2].partition("Examples:")[0]
