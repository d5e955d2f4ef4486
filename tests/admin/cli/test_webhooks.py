"""`webhook-bridge webhooks`, `pause` and `resume`."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from dotenv import dotenv_values

from store.open import open_store
from tests.admin.conftest import Cli
from tests.support.sample import Sample


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
    cli.environment |= {
        "BRIDGE_DATABASE": f"sqlite:///{sample.folder}/none/bridge.db",
        "PORT": "8123",
    }
    result = cli("webhooks", "--json")
    assert json.loads(result.stdout)[0]["url"] == "http://localhost:8123/webhook/github-deploys"
    assert "no database at" in result.stderr
    assert not (sample.folder / "none").exists()


def test_webhooks_of_broken_definitions_are_1(cli: Cli, sample: Sample) -> None:
    sample.settings.bridge_webhooks.write_text("webhooks: 5", encoding="utf-8")
    assert "webhooks.yaml:1: webhooks: not a list" in cli("webhooks", code=1).stderr


def test_a_mistake_in_one_webhook_keeps_no_other_from_being_listed_and_paused(
    cli: Cli, sample: Sample
) -> None:
    file = sample.settings.bridge_webhooks
    file.write_text(file.read_text() + "  - {name: broken, receiver: {a: any}}\n", encoding="utf-8")
    listed = cli("webhooks", code=1)
    assert "github-deploys" in listed.stdout
    assert "broken: receiver: unknown key" in listed.stderr
    assert "is paused" in cli("pause", "github-deploys").stdout


def test_a_paused_webhook_is_listed_as_such_and_its_events_say_so(cli: Cli, sample: Sample) -> None:
    name = json.loads(cli("webhooks", "--json").stdout)[0]["name"]
    assert f"webhook-bridge resume {name}" in cli("pause", name).stdout
    assert [
        one["name"] for one in json.loads(cli("webhooks", "--json").stdout) if "pausedAt" in one
    ] == [name]
    assert "PAUSED AT" in cli("webhooks").stdout
    assert cli("resume", name).stdout == f"{name} is resumed\n"
    assert "PAUSED AT" not in cli("webhooks").stdout


def test_what_cannot_be_paused_or_resumed_is_said(cli: Cli) -> None:
    assert "no webhook nothing: known are " in cli("pause", "nothing", code=1).stderr
    assert "nothing isn't paused; paused webhooks: none" in cli("resume", "nothing", code=1).stderr


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line in an empty folder of definitions with one webhook."""
    monkeypatch.chdir(tmp_path)
    Cli({})("init")
    environment = {
        name: value for name, value in dotenv_values(tmp_path / ".env").items() if value is not None
    }
    open_store(f"sqlite:///{tmp_path}/data/bridge.db").close()
    cli = Cli(environment)
    cli("new", "orders", "--header", "X-Key", "--receiver", "order_flow")
    return cli


def test_a_webhook_is_shown_rotated_and_deleted_on_the_command_line(folder: Cli) -> None:
    shown = folder("webhooks", "show", "orders").stdout
    assert "/webhook/orders" in shown
    assert "X-Key: ${file:secrets/" in shown
    made = folder("webhooks", "rotate", "orders", "--header", "X-Key").stdout.strip()
    assert len(made) == 43
    assert made not in folder("webhooks", "show", "orders").stdout
    assert folder("webhooks", "show", "orders").stdout.count("${file:secrets/") == 2
    assert (
        "known are X-Key"
        in folder("webhooks", "rotate", "orders", "--header", "X-Kee", code=1).stderr
    )
    folder("webhooks", "rotate", "orders", "--header", "x-key", "--forget")
    assert (
        "there is no old secret"
        in folder("webhooks", "rotate", "orders", "--header", "X-Key", "--forget", code=1).stderr
    )
    assert "isn't proven by a secret" in folder("webhooks", "rotate", "orders", code=1).stderr
    assert folder("webhooks", "delete", "orders", "--yes").stdout == "orders is deleted\n"
    with closing(open_store(folder.environment["BRIDGE_DATABASE"])) as store:
        store.orkes_clients.set("tags", "again", '[{"key": "team", "value": "a"}]')
        folder("new", "again", "--header", "X-Key", "--receiver", "order_flow")
        assert store.orkes_clients.all("tags") == {}, (
            "they were those of an earlier webhook of this name"
        )
    Path("webhooks/approvals.yaml").write_text(
        "webhooks:\n"
        "  - name: approvals\n    callback: {secret: a-secret-of-24-characters}\n    receivers: {order_flow: any}\n"
    )
    rotated = folder("webhooks", "rotate", "approvals")
    assert rotated.stdout == "", "nobody needs to enter it"
    assert "once the URLs made with the old one have expired" in rotated.stderr
    assert "no webhook orders" in folder("webhooks", "show", "orders", code=1).stderr


def test_a_webhook_of_one_file_is_shown_too(cli: Cli) -> None:
    assert "X-Api-Key: '***'" in cli("webhooks", "show", "orders").stdout


def test_a_webhook_is_deleted_before_there_is_a_store(folder: Cli) -> None:
    folder.environment["BRIDGE_DATABASE"] = "sqlite:///none/bridge.db"
    assert folder("webhooks", "delete", "orders", "--yes").stdout == "orders is deleted\n"
