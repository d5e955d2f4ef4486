"""`webhook-bridge --server`: the same commands, about another machine's bridge."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from store.records import NewEvent, new_event_id
from tests.admin.conftest import Cli
from tests.support import browser
from tests.support.sample import Sample

TOKEN = "the-token-of-admins"


@pytest.fixture
def elsewhere(sample: Sample) -> Iterator[str]:
    """The URL of the sample's admin process."""
    settings = sample.settings.model_copy(update={"bridge_admin_token": SecretStr(TOKEN)})
    with browser.serving_page(settings) as url:
        yield url


@pytest.fixture
def there(elsewhere: str) -> Cli:
    """A command line on a machine that has nothing but the two settings."""
    return Cli({"BRIDGE_SERVER": elsewhere, "BRIDGE_TOKEN": TOKEN})


@pytest.mark.parametrize(
    "command",
    [
        "webhooks",
        "webhooks --json",
        "webhooks show github-deploys",
        "events --status delivered",
        "events --where $.ref=refs/heads/main --where $.pusher.name=ada -n 5",
        "events --json --payloads -n 2",
        "events --failures",
        "events show last",
        "find workflow-deploy-main",
        "events explain last",
        "events explain last --all",
        "events explain last --json",
        "tasks --workflow deploy",
        "tasks --broken",
        "tasks show task-main",
        "rejections",
        "try github-deploys $.ref=refs/heads/main",
    ],
)
def test_a_command_says_the_same_of_another_machine_as_on_it(
    cli: Cli, there: Cli, command: str
) -> None:
    here_too = cli(*command.split())
    found = there(*command.split())
    assert (found.stdout, found.stderr) == (here_too.stdout, here_too.stderr)
    assert found.stdout


def test_a_check_is_of_what_the_other_machine_sees(there: Cli) -> None:
    assert "webhooks.yaml: 3 webhooks, no errors" in there("check").stderr
    assert "this needs the bridge's own machine" in there("check", "--offline", code=2).stderr


def test_the_options_stand_anywhere_in_the_line(elsewhere: str, there: Cli) -> None:
    nothing = Cli({})
    options = ("--server", elsewhere, "--token", TOKEN)
    expected = there("events", "show", "last").stdout
    for line in ((*options, "events", "show", "last"), ("events", *options, "show", "last")):
        assert nothing(*line).stdout == expected
    assert nothing("events", "show", "last", *options).stdout == expected


def test_events_are_compared_replayed_and_erased_elsewhere(there: Cli, sample: Sample) -> None:
    delivered, expired = sample.events["delivered"], sample.events["expired"]
    assert "$.state" in there("events", "diff", delivered, expired, code=1).stdout
    assert "a replay does that again" in there("events", "replay", delivered, code=1).stderr
    assert (
        f'"replayOf": "{delivered}"'
        in there("events", "replay", delivered, "--yes", "--json").stdout
    )
    assert "for good?" in there("events", "erase", expired, code=1).stderr
    assert there("events", "erase", expired, "--yes").stdout.endswith(f"{expired} is erased\n")


def test_what_needs_that_machine_itself_is_refused(elsewhere: str, there: Cli) -> None:
    for command in (
        "prune --older-than 7d --yes",
        "send github-deploys --sample push",
        "replay --status failed",
    ):
        words = (
            command.split() if not command.startswith("replay") else ["events", *command.split()]
        )
        assert (
            f"this needs the bridge's own machine, and {elsewhere} is asked"
            in there(*words, code=2).stderr
        )


def test_a_webhook_is_paused_and_resumed_elsewhere(there: Cli, sample: Sample) -> None:
    there("pause", "orders")
    assert set(sample.store.pauses.paused()) == {"orders"}
    there("resume", "orders")
    assert not sample.store.pauses.paused()
    assert there("pause", "slcak", code=1).stderr.startswith("no webhook slcak")


def test_wrong_usage_is_wrong_usage_there_too(there: Cli) -> None:
    assert "'noon' is not a time" in there("events", "--since", "noon", code=2).stderr


def test_a_wrong_token_and_a_wrong_address_are_said(elsewhere: str) -> None:
    cli = Cli({})
    said = cli("webhooks", "--server", elsewhere, "--token", "wrong", code=1).stderr
    assert "give its token with --token @FILE, or set BRIDGE_TOKEN" in said
    assert "can't be reached" in cli("--server", "http://127.0.0.1:9", "webhooks", code=1).stderr
    assert (
        "'localhost:8090' is not a URL"
        in cli("--server", "localhost:8090", "webhooks", code=2).stderr
    )


def test_an_id_with_a_slash_is_found_elsewhere(there: Cli, sample: Sample) -> None:
    event_id = new_event_id()
    sample.store.deliveries.append(
        [NewEvent(event_id, "orders", 1, "{}", {}, {}, 1, "/subscriptions/1/topic 7")]
    )
    assert event_id in there("find", "/subscriptions/1/topic 7").stdout


def test_what_is_no_token_is_refused_and_not_shown(elsewhere: str) -> None:
    refused = Cli({})(
        "events", "--server", elsewhere, "--token", "-", code=2, stdin=b"a-token\n# of admins"
    ).stderr
    assert "isn't one line" in refused and "a-token" not in refused
