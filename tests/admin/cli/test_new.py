"""``webhook-bridge new``: a webhook by options or by questions."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from config.webhooks import load_definitions
from platforms import PLATFORMS
from platforms.senders import SENDERS
from tests.admin.conftest import Cli


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hooks").mkdir()
    return Cli(
        {
            "BRIDGE_WEBHOOKS": "hooks",
            "BRIDGE_DATABASE": "sqlite:///bridge.db",
            "BRIDGE_PUBLIC_URL": "https://x.example",
        }
    )


def defined() -> dict[str, object]:
    return dict(load_definitions(Path("hooks"), PLATFORMS, {}, may_be_empty=True).by_name)


def test_a_webhook_by_options(cli: Cli) -> None:
    found = cli(
        "new",
        "deploys",
        "--platform",
        "github",
        "--receiver",
        "deploy:1,2",
        "--more",
        "starts: [{workflow: on_push, version: 3, when: {$.ref: main}, input: {branch: $.ref, source: web}}]",
    )
    assert "https://x.example/webhook/deploys" in found.output
    assert "shown only once" in found.output
    (webhook,) = load_definitions(Path("hooks"), PLATFORMS, {}).webhooks
    assert webhook.receivers == {"deploy": frozenset({1, 2})}
    assert (webhook.starts[0].version, webhook.starts[0].when) == (3, {"$.ref": "main"})
    assert webhook.starts[0].input == {"branch": "$.ref", "source": "web"}


def test_further_settings_are_taken_as_they_are_written(cli: Cli) -> None:
    Path("hooks/order.schema.json").write_text("{}")
    more = (
        "decode: {$.payload: base64-json}",
        "split: $.payload.items",
        "schema: order.schema.json",
    )
    options = [part for one in more for part in ("--more", one)]
    cli(
        "new", "orders", "--platform", "custom", "--header", "X-Key", "--receiver", "flow", *options
    )
    (webhook,) = load_definitions(Path("hooks"), PLATFORMS, {}).webhooks
    assert (webhook.decode, webhook.split) == ({"$.payload": "base64-json"}, "$.payload.items")
    assert webhook.payload_schema is not None
    assert webhook.payload_schema.file == "order.schema.json"


def test_the_secret_may_come_from_standard_input(cli: Cli) -> None:
    arguments = (
        "new",
        "pay",
        "--platform",
        "stripe",
        "--receiver",
        "checkout",
        "--secret",
        "-",
        "--json",
    )
    found = json.loads(cli(*arguments, stdin=b"whsec_0123456789abcdef\n").output)
    assert found["status"] == "Unverified"
    assert "secret" not in found
    (webhook,) = load_definitions(Path("hooks"), PLATFORMS, {}).webhooks
    assert webhook.secret is not None
    assert webhook.secret[0].get_secret_value() == "whsec_0123456789abcdef"


def test_on_a_terminal_it_asks_for_what_is_missing(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.import_module("admin.cli.new"), "_on_terminal", lambda: True)
    answers = b"facebook\nmessages\nmy-verify-token-0123\nthe-app-secret-0123456789\nchat\n\n"
    found = cli("new", stdin=answers).output
    assert "messages and posts by Meta" in found
    assert "https://x.example/webhook/messages" in found
    assert "the-app-secret" not in found, "what is typed as a secret is not echoed"
    (webhook,) = load_definitions(Path("hooks"), PLATFORMS, {}).webhooks
    assert webhook.platform == "facebook"
    assert webhook.verify_token is not None
    assert set(webhook.receivers) == {"chat"}


def test_a_generated_secret_is_one_that_the_platform_can_use(cli: Cli) -> None:
    found = cli("new", "incidents", "--platform", "mcp-events", "--receiver", "incident_flow")
    assert "whsec_" in found.output
    assert list(defined()) == ["incidents"]


@pytest.mark.parametrize("name", SENDERS)
def test_a_sender_by_another_name_becomes_a_webhook_of_what_verifies_it(
    name: str, cli: Cli
) -> None:
    sender = SENDERS[name]
    given = ["--header", "X-Api-Key"] if sender.platform == "custom" and not sender.settings else []
    given += [] if PLATFORMS[sender.platform].made_by == "nobody" else ["--secret", "x" * 32]
    if sender.platform == "google-pubsub":
        given += ["--more", "audience: a", "--more", "service_account: b@example.com"]
    found = cli("new", "hook", "--platform", name, "--receiver", "flow", "--dry-run", *given)
    assert (f"platform: {sender.platform}\n" in found.output) != (sender.platform == "custom")
    assert sender.settings.partition("{header: ")[2].partition(",")[0].rstrip("}") in found.output


def test_a_dry_run_writes_nothing(cli: Cli) -> None:
    found = cli("new", "orders", "--header", "X-Api-Key", "--receiver", "order_flow", "--dry-run")
    assert "X-Api-Key: ${file:secrets/" in found.output
    assert not defined()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("no spaces", "--platform", "github", "--receiver", "a"), "name:"),
        (("x", "--platform", "github"), "neither `receivers` nor `starts`"),
        (
            ("x", "--platform", "stripe", "--receiver", "a"),
            "--secret: enter the signing secret that Stripe shows",
        ),
        (("x", "--receiver", "a"), "header:"),
        (("x", "--platform", "github", "--receiver", "a:first"), "receivers:"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_written(
    cli: Cli, arguments: tuple[str, ...], says: str
) -> None:
    assert says in cli("new", *arguments, code=1).output
    assert not defined()


@pytest.mark.parametrize(
    ("arguments", "useless"),
    [
        (("--header", "X-Key", "--verify-token", "a"), "--verify-token"),
        (("--proof", "none", "--header", "X-Key"), "--header"),
        (("--proof", "jwt", "--secret", "b"), "--secret"),
        (("--more", "callback: {by: id}", "--secret", "b"), "--secret"),
        (("--platform", "github", "--header", "X-Key", "--proof", "none"), "--proof, --header"),
        (("--platform", "salesforce", "--proof", "jwt"), "--proof"),
    ],
)
def test_an_option_without_a_place_in_the_webhook_is_wrong_usage(
    cli: Cli, arguments: tuple[str, ...], useless: str
) -> None:
    result = cli("new", "x", "--receiver", "a", *arguments, code=2)
    assert f"this webhook can't have {useless}; --help" in result.output
    assert not defined()


def test_a_webhook_with_callback_by_options(cli: Cli) -> None:
    options = "callback: {expires: 2d, tasks: [approve], query: [decision, note]}"
    made = cli("new", "approvals", "--more", options, "--receiver", "flow")
    callback = load_definitions(Path("hooks"), PLATFORMS, {}).by_name["approvals"].callback
    assert callback is not None
    assert callback.secret is not None
    assert (callback.expires, callback.tasks, callback.query) == (
        172_800.0,
        ("approve",),
        ("decision", "note"),
    )
    assert callback.secret[0].get_secret_value() not in made.output, "nobody enters it anywhere"
    assert "https://x.example/webhook/approvals/TOKEN" in made.output
    assert "webhook-bridge callback approvals --workflow ID --task REF" in made.output
    cli("new", "open", "--more", "callback: {by: id}", "--receiver", "flow")
    callback = load_definitions(Path("hooks"), PLATFORMS, {}).by_name["open"].callback
    assert callback is not None
    assert (callback.by, callback.secret) == ("id", None)
    assert (
        "starts nothing"
        in cli("new", "c", "--proof", "callback", "--receiver", "a", "--start", "b", code=1).output
    )


def test_what_is_suggested_to_try_can_work(cli: Cli) -> None:
    certificate = ("--more", "mtls: {header: X-DN, subject: CN=a}", "--receiver", "flow")
    for options, suggested in (
        (("--platform", "github"), "webhook-bridge send made --sample push\n"),
        (
            ("--platform", "salesforce", *certificate),
            "curl --cert CLIENT.pem --key CLIENT.key -H 'Content-Type: ",
        ),
        (certificate, "--data-binary @EVENT https://x.example/webhook/made"),
        (
            ("--more", "jwt: {issuer: https://login.example.com, audience: a}"),
            "-H 'Authorization: Bearer TOKEN'",
        ),
    ):
        made = cli("new", "made", *options, "--receiver", "flow").output
        assert suggested in made, options
        assert ("send made" in made) == (
            "webhook-bridge send made" in suggested or "Bearer TOKEN" in suggested
        )
        Path("hooks/made.yaml").unlink()


def test_a_file_cannot_be_written_into(cli: Cli) -> None:
    Path("hooks.yaml").write_text("webhooks: []\n")
    cli.environment["BRIDGE_WEBHOOKS"] = "hooks.yaml"
    assert (
        "is not a folder"
        in cli("new", "x", "--platform", "github", "--receiver", "a", code=1).output
    )


@pytest.mark.parametrize(
    ("answers", "proof"),
    [
        (b"jwt\nflow\n\n", "jwt"),
        (b"mtls\nflow\n\n", "mtls"),
        (b"signature\nflow\n\n", "signature"),
        (b"challenge\nflow\n\n", "challenge"),
        (b"callback\nflow\n\n", "callback"),
        (b"\n\nflow\n\n", "headers"),
        (b"none\nflow\n\n", "verifier"),
    ],
)
def test_a_terminal_is_asked_for_what_each_kind_of_proof_needs(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, answers: bytes, proof: str
) -> None:
    monkeypatch.setattr(importlib.import_module("admin.cli.new"), "_on_terminal", lambda: True)
    edited: list[str] = []
    monkeypatch.setattr(
        "click.edit", lambda text, extension: edited.append(text) or text.replace("X-", "X-My-")
    )
    cli("new", "x", "--platform", "custom", stdin=answers)
    assert [proof in text for text in edited] == (
        [] if proof in ("headers", "verifier") else [True]
    )
    made = load_definitions(Path("hooks"), PLATFORMS, {}).by_name["x"]
    assert getattr(made, proof) is not None
    assert set(made.receivers) == {"flow"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--more", "jwt: {issuer: http://login.example.com, audience: a}"), "more: jwt.issuer: "),
        (("--platform", "github", "--start", "w:x"), "starts: 'w:x': "),
        (
            ("--platform", "github", "--more", "starts: [{workflow: w, when: x}]"),
            "starts: starts[0].when: ",
        ),
    ],
)
def test_a_mistake_is_told_by_the_name_of_its_setting(
    cli: Cli, options: tuple[str, ...], says: str
) -> None:
    assert says in cli("new", "x", *options, "--receiver", "flow", code=1).output
