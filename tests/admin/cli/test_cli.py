"""``webhook-bridge`` in this process, and as the installed program."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from admin.cli import main
from store.sqlite import SqliteStore
from tests.admin.conftest import Cli
from tests.support.sample import Sample
from tools.servers import PATIENCE
from tools.servers.processes import ROOT


def test_the_command_line_starts_without_conductors_client() -> None:
    program = "import sys, admin.cli; print('conductor' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], cwd=ROOT) == b"False\n"


@pytest.mark.parametrize(
    "use", ["main(['--help'], standalone_mode=False)", "main.get_command(None, 'worker')"]
)
def test_the_help_and_the_commands_that_run_processes_start_without_what_the_others_need(
    use: str,
) -> None:
    program = f"import sys; from admin.cli import main; {use}; print(*{{'pydantic', 'store'}} & set(sys.modules))"
    output = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True)
    assert output.splitlines()[-1] == ""


def test_every_option_has_a_help() -> None:
    def walk(command: click.Command) -> None:
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, (
                command.name,
                parameter.name,
            )
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None and inner.name == name
                walk(inner)

    walk(main)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["events", "--status", "odd"],
        ["events", "show"],
        ["check", "--odd"],
        ["events", "-n", "0"],
    ],
)
def test_wrong_usage_is_2(cli: Cli, arguments: list[str]) -> None:
    assert "Usage:" in cli(*arguments, code=2).stderr


def test_the_version_is_printed(cli: Cli) -> None:
    assert cli("--version").output.startswith("webhook-bridge, version ")


def test_a_setting_that_is_wrong_is_one_line(cli: Cli) -> None:
    cli.environment["BRIDGE_DATABASE"] = "mysql://x"
    for command in (["check"], ["webhooks"], ["events"], ["tasks"]):
        result = cli(*command, code=1)
        assert result.stderr.strip() == (
            "BRIDGE_DATABASE: neither SQLite nor PostgreSQL; write sqlite:///PATH, such as sqlite:///data/bridge.db, "
            "or postgresql://USER@HOST/DATABASE"
        )


def test_the_times_that_help_names_can_be_written_so(cli: Cli) -> None:
    text = " ".join(cli("events", "--help").stdout.split())
    named = re.search(r"since then: (.+?) means two hours ago, or (.+?) \(UTC\)", text)
    assert named is not None
    for time in named.groups():
        cli("events", "--since", time)


@pytest.mark.parametrize(
    "url", ["bridge.db", "sqlite:other.db", "sqlite://other.db", "http://localhost/x", ""]
)
def test_a_store_moves_only_to_where_a_setting_can_name_it(
    cli: Cli, sample: Sample, url: str
) -> None:
    here = sample.settings.bridge_database
    assert "TO: " in cli("migrate-store", here, url, code=2).stderr
    assert "FROM: " in cli("migrate-store", url, here, code=2).stderr


@pytest.mark.parametrize(
    "arguments",
    [["events"], ["tasks"], ["rejections"], ["events", "show", "x"], ["events", "replay", "x"]],
)
def test_a_missing_database_is_one_line_and_is_not_made(
    cli: Cli, sample: Sample, arguments: list[str]
) -> None:
    cli.environment["BRIDGE_DATABASE"] = f"sqlite:///{sample.folder}/none.db"
    result = cli(*arguments, code=1)
    assert result.stderr == (
        f"no database at {sample.folder}/none.db; start the relay, or set BRIDGE_DATABASE to yours\n"
    )
    assert not (sample.folder / "none.db").exists()


def test_the_shell_completes_commands_and_webhooks(cli: Cli) -> None:
    for words, expected in (
        ("webhook-bridge ev", "events"),
        ("webhook-bridge send gi", "github-deploys"),
    ):
        cli.environment |= {
            "_WEBHOOK_BRIDGE_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        }
        assert expected in cli(code=0).stdout


@pytest.mark.parametrize("words", ["webhook-bridge evnts ", "webhook-bridge events shwo "])
def test_a_shell_that_completes_what_follows_a_mistyped_command_gets_no_traceback(
    cli: Cli, words: str
) -> None:
    cli.environment |= {
        "_WEBHOOK_BRIDGE_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split())),
    }
    cli(code=0)


def run(sample: Sample, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("webhook-bridge")
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("BRIDGE_", "CONDUCTOR_"))
    }
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
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("no event nothing; webhook-bridge find nothing ")
    listed = run(sample, "events")
    assert listed.returncode == 0
    assert "github-deploys" in listed.stdout


@pytest.mark.parametrize("group", ["events", "rejections", "tasks"])
def test_a_group_has_all_of_its_commands_though_no_other_module_is_imported(
    sample: Sample, group: str
) -> None:
    documented = re.findall(
        rf"`webhook-bridge {group} ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8")
    )
    assert documented
    text = run(sample, group, "--help").stdout
    assert [name for name in documented if f"\n  {name} " not in text] == []


def test_the_program_reads_dotenv(sample: Sample) -> None:
    (sample.folder / ".env").write_text(
        "BRIDGE_PUBLIC_URL=https://dotenv.example.com\n", encoding="utf-8"
    )
    text = run(sample, "webhooks", BRIDGE_PUBLIC_URL="").stdout
    assert "https://dotenv.example.com/webhook/slack" in text


def test_a_reader_that_goes_away_is_no_error(sample: Sample) -> None:
    program = Path(sys.executable).with_name("webhook-bridge")
    result = subprocess.run(
        f"{program} schema | head -c 10",
        shell=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", [("events",), ("events", "show", "nobody"), ("webhooks",)])
def test_a_command_leaves_no_connection_open(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    closed: list[SqliteStore] = []
    close = SqliteStore.close
    monkeypatch.setattr(SqliteStore, "close", lambda store: (closed.append(store), close(store)))
    cli(*command, code=1 if "nobody" in command else 0)
    assert len(closed) == 1


def test_an_unknown_command_names_the_one_that_was_meant(cli: Cli) -> None:
    assert "Did you mean 'events'?" in cli("evnts", code=2).stderr
    assert "Did you mean 'show'?" in cli("events", "shwo", code=2).stderr


@pytest.mark.parametrize("group", [[], ["events"], ["rejections"], ["tasks"]])
def test_no_line_of_a_list_of_commands_is_cut_off(cli: Cli, group: list[str]) -> None:
    assert (
        "..."
        not in cli(*group, "--help").stdout.partition("Commands:")[2].partition("Examples:")[0]
    )
