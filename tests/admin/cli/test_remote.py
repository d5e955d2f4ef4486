"""`webhook-bridge --server`: another machine's bridge, by its API."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from tests.admin.conftest import Cli
from tests.admin.page import browser
from tests.admin.sample import Sample

TOKEN = "the-token-of-admins"


@pytest.fixture
def elsewhere(sample: Sample) -> Iterator[tuple[str, ...]]:
    settings = sample.settings.model_copy(update={"bridge_admin_token": SecretStr(TOKEN)})
    with browser.serving_page(settings) as url:
        yield "--server", url, "--token", TOKEN


def test_events_are_found_explained_and_replayed_elsewhere(elsewhere: tuple[str, ...], sample: Sample) -> None:
    cli = Cli({})
    delivered = sample.events["delivered"]
    listed = json.loads(cli(*elsewhere, "events", "--status", "delivered").stdout)
    assert delivered in [one["eventId"] for one in listed]
    assert json.loads(cli(*elsewhere, "events", "show", delivered).stdout)["payload"]["ref"] == "refs/heads/main"
    assert json.loads(cli(*elsewhere, "events", "explain", delivered).stdout)["tasks"]
    assert json.loads(cli(*elsewhere, "events", "explain", "last").stdout)["tasks"] is not None
    assert "a replay does that again" in cli(*elsewhere, "events", "replay", delivered, code=1).stderr
    assert f'"replayOf": "{delivered}"' in cli(*elsewhere, "events", "replay", delivered, "--yes").stdout
    assert json.loads(cli(*elsewhere, "tasks", "--workflow", "deploy").stdout)
    assert json.loads(cli(*elsewhere, "tasks", "show", "task-main").stdout)["state"] == "completed"
    late = cli(*elsewhere, "events", "--where", "$.ref=refs/heads/main", "--where", "$.pusher.name=ada", "-n", "5")
    assert json.loads(late.stdout)[-1]["eventId"] == delivered


def test_what_the_api_cannot_do_is_refused(elsewhere: tuple[str, ...], sample: Sample) -> None:
    cli = Cli({})
    for command in ("events --follow", "events --failures", "tasks --broken", "events explain --all"):
        option = command.split()[-1]
        assert f"No such option '{option}'" in cli(*elsewhere, *command.split(), code=2).stderr
    assert "give its id" in cli(*elsewhere, "events", "replay", "--status", "failed", code=2).stderr
    assert "No such command 'check'" in cli(*elsewhere, "check", code=2).stderr
    assert "for good?" in cli(*elsewhere, "events", "erase", sample.events["expired"], code=1).stderr
    assert '"erased": true' in cli(*elsewhere, "events", "erase", sample.events["expired"], "--yes").stdout


def test_a_webhook_is_paused_and_resumed_elsewhere(elsewhere: tuple[str, ...], sample: Sample) -> None:
    cli = Cli({})
    cli(*elsewhere, "pause", "orders")
    assert set(sample.store.pauses.paused()) == {"orders"}
    cli(*elsewhere, "resume", "orders")
    assert not sample.store.pauses.paused()
    assert "no webhook slcak" in cli(*elsewhere, "pause", "slcak", code=1).stderr


def test_a_wrong_token_and_a_wrong_address_are_said(elsewhere: tuple[str, ...]) -> None:
    cli = Cli({})
    assert "give its token with --token" in cli("--server", elsewhere[1], "--token", "wrong", "webhooks", code=1).stderr
    assert "can't be reached" in cli("--server", "http://127.0.0.1:9", "webhooks", code=1).stderr
    assert "'localhost:8090' is not a URL" in cli("--server", "localhost:8090", "webhooks", code=2).stderr
    assert "pause" in cli("--server", elsewhere[1], "--help").stdout
