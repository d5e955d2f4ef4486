"""`webhook-bridge check`: what it prints, and its exit codes."""

from __future__ import annotations

import importlib
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from store.reports import Reports
from tests.admin.conftest import Cli
from tests.support.makers import arrive
from tests.support.sample import DEFINITIONS, Sample
from tools.servers import PATIENCE
from worker.conductor.server import Server
from worker.discovery.probe import CheckResult, probe


def test_check_prints_warnings_and_is_0(cli: Cli, sample: Sample) -> None:
    result = cli("check")
    file = sample.settings.bridge_webhooks
    assert result.stdout == (
        f"{file}:18: webhook slack: platform: warning: no signing secret: once the challenge has come, anyone who "
        "knows the URL can post; add secret: ${NAME}\n"
    )
    assert f"{file}: 3 webhooks, no errors" in result.stderr


def test_check_names_the_files_that_it_has_read(cli: Cli, sample: Sample, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    assert f"{folder} (no *.yaml file): " in cli("check", str(folder), "--offline", code=1).stderr
    for number in range(21):
        text = sample.settings.bridge_webhooks.read_text() if number == 0 else "webhooks: []\n"
        (folder / f"{number:02}.yaml").write_text(text)
    named = ", ".join(f"{number:02}.yaml" for number in range(20))
    assert (
        f"{folder} ({named} and 1 more): 3 webhooks, no errors"
        in cli("check", str(folder), "--offline").stderr
    )
    (folder / "20.yaml").write_text("webhooks: 1\n")
    assert (
        f"{folder} ({named} and 1 more): 1 error; "
        in cli("check", str(folder), "--offline", code=1).stderr
    )


def test_a_conductor_that_is_away_is_a_warning_and_offline_it_is_not_asked(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("admin.check.checking.probe", partial(probe, seconds=PATIENCE))
    assert "warning: CONDUCTOR_SERVER_URL: Conductor can't be reached" in cli("check").stderr
    [*_, away, _expired, broken] = json.loads(cli("check", "--json").stdout)
    assert (away["where"], away["warning"], away["file"]) == ("CONDUCTOR_SERVER_URL", True, None)
    assert broken["what"].startswith("1 waiting task can't be matched: ")
    assert "'$[' is not a JSONPath" in broken["what"]
    assert "CONDUCTOR_SERVER_URL" not in cli("check", "--offline").output


def test_check_says_what_the_worker_found_out_about_conductor(cli: Cli, sample: Sample) -> None:
    sample.store.reports.write(Reports(conductor="up", index_fails="orders: 503"))
    said = "tasks that it alone shows are found late: orders: 503"
    assert f"warning: BRIDGE_DATABASE: Conductor's index can't be searched: {said}" in (
        cli("check").stderr
    )
    sample.store.reports.write(Reports(conductor="503"))
    said = "Events are accepted and kept, and delivered once it is back: 503"
    assert f"warning: BRIDGE_DATABASE: Conductor can't be used. {said}" in cli("check").stderr


def test_check_says_where_a_process_has_the_last_good_definitions_in_force(
    cli: Cli, sample: Sample
) -> None:
    """Its environment may be another one than that of `check`."""
    error = "a.yaml:3: webhook a: secret: the environment variable A is not set"
    sample.store.reports.write(Reports(relay_definitions_error=error))
    said = f"The relay found errors in the definitions, and keeps using the last good ones of each file: {error}"
    assert said in cli("check").stderr


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
    [
        ("CONDUCTOR_AUTH_KEY", "CONDUCTOR_AUTH_SECRET"),
        ("CONDUCTOR_AUTH_SECRET", "CONDUCTOR_AUTH_KEY"),
    ],
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
    said = f"warning: BRIDGE_ADMIN_WRITES: {file} is not a folder: make one"
    assert said in cli("check", "--offline").stderr
    cli.environment["BRIDGE_WEBHOOKS"] = str(file.parent)
    assert "BRIDGE_ADMIN_WRITES" not in cli("check", "--offline").stderr


def test_check_notes_once_that_nobody_else_has_confirmed_a_platform(
    cli: Cli, tmp_path: Path
) -> None:
    file = tmp_path / "unconfirmed.yaml"
    hook = "{{name: {}, platform: salesforce, verifier: none, id: 0123456789abcdef{}, receivers: {{order_flow: any}}}}"
    file.write_text(f"webhooks:\n  - {hook.format('one', 1)}\n  - {hook.format('two', 2)}\n")
    cli.environment["BRIDGE_WEBHOOKS"] = str(file)
    assert (
        cli("check", "--offline").stderr.count("note: salesforce: nobody but the bridge's authors")
        == 1
    )


def test_a_server_that_answers_and_cant_be_used_is_1(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    note, error = (
        CheckResult("note", "found by search"),
        CheckResult("error", "no Conductor API there", "mend it"),
    )
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(
        importlib.import_module("admin.check.checking"),
        "probe",
        lambda *given: asked.append(given) or [note, error],
    )
    lines = cli("check", code=1).stderr.splitlines()
    assert "error: CONDUCTOR_SERVER_URL: no Conductor API there; mend it" in lines
    assert "note: CONDUCTOR_SERVER_URL: found by search" in lines
    [(server, definitions)] = asked
    assert server == Server("http://127.0.0.1:1/api")
    assert sorted(definitions.by_receiver) == [
        "deploy",
        "order_flow",
        "release",
        "sample_webhook_for_slack",
    ]
    assert definitions.starts == ["on_push"]
    found = json.loads(cli("check", "--json", code=1).stdout)
    assert [problem["what"] for problem in found if not problem["warning"]] == [
        "no Conductor API there"
    ]


def test_check_prints_every_problem_with_its_line_and_is_1(cli: Cli, sample: Sample) -> None:
    sample.settings.bridge_webhooks.write_text(
        DEFINITIONS.replace("any", "all").replace("0s", "0"), encoding="utf-8"
    )
    result = cli("check", code=1)
    lines = result.stdout.splitlines()
    assert [line.split(": ")[0].rpartition(":")[2] for line in lines] == ["6", "15", "18", "20"]
    assert (
        "3 errors; the bridge keeps using the last good definitions of each file" in result.stderr
    )
    found = json.loads(cli("check", "--json", code=1).stdout)
    assert [problem["line"] for problem in found] == [6, 15, 20, 18]
    assert set(found[0]) == {"file", "line", "where", "what", "remedy", "warning"}


def test_where_no_secrets_are_only_the_rest_is_checked(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "in-git.yaml"
    good = "webhooks: [{name: a, platform: github, secret: '${NOT_SET_HERE}', receivers: {deploy: any}}]"
    file.write_text(good)
    command = ("check", str(file), "--offline")
    assert "NOT_SET_HERE" in cli(*command, code=1).stdout
    assert "NOT_SET_HERE" not in cli(*command, "--without-secrets").stdout
    file.write_text(good.replace("deploy: any", "deploy: [a"))
    cli(*command, "--without-secrets", code=1)


def test_a_port_that_is_none_fails_the_check(cli: Cli) -> None:
    cli.environment |= {"PORT": "abc", "ADMIN_PORT": "0"}
    said = cli("check", "--offline", code=1).stderr
    assert "error: PORT: 'abc' is not a port; write a number from 1 to 65535" in said
    assert "error: ADMIN_PORT: '0' is not a port" in said


def test_a_setting_that_the_bridge_does_not_know_is_a_warning(cli: Cli) -> None:
    cli.environment |= {
        "BRIDGE_RETENTON": "3d",
        "BRIDGE_RELAY_SERVICE_HOST": "10.0.0.1",
        "BRIDGE_ADMIN_PORT": "tcp://x",
    }
    said = cli("check", "--offline").stderr
    assert (
        "warning: BRIDGE_RETENTON: the bridge knows no such setting; did you mean BRIDGE_RETENTION?"
        in said
    )
    assert said.count("no such setting") == 1, "names that Kubernetes makes for services are none"


def test_check_warns_of_a_pause_that_was_forgotten(cli: Cli, sample: Sample) -> None:
    sample.store.pauses.pause("orders", sample.store.now() - 7_200_000)
    arrive(sample.store, "forgotten", webhook="orders")
    said = "orders has been paused for 2 h: 1 event waits; webhook-bridge resume orders"
    assert f"warning: orders: {said}\n" in cli("check").stderr
