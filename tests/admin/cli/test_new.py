"""``webhook-bridge new``: a webhook by options or by questions."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from config.webhooks import load_definitions
from platforms import PLATFORMS
from tests.admin.conftest import Cli


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hooks").mkdir()
    return Cli(
        {"BRIDGE_WEBHOOKS": "hooks", "BRIDGE_DATABASE": "sqlite:///bridge.db", "BRIDGE_PUBLIC_URL": "https://x.example"}
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
        "--start",
        "on_push:3",
        "--when",
        "$.ref: main",
        "--input",
        "branch: $.ref",
        "--input",
        "source: web",
    )
    assert "https://x.example/webhook/deploys" in found.output
    assert "shown only once" in found.output
    (webhook,) = load_definitions(Path("hooks"), PLATFORMS, {}).webhooks
    assert webhook.receivers == {"deploy": frozenset({1, 2})}
    assert (webhook.starts[0].version, webhook.starts[0].when) == (3, {"$.ref": "main"})
    assert webhook.starts[0].input == {"branch": "$.ref", "source": "web"}


def test_further_settings_are_taken_as_they_are_written(cli: Cli) -> None:
    Path("hooks/order.schema.json").write_text("{}")
    more = ("decode: {$.payload: base64-json}", "split: $.payload.items", "schema: order.schema.json")
    options = [part for one in more for part in ("--more", one)]
    cli("new", "orders", "--platform", "custom", "--header", "X-Key", "--receiver", "flow", *options)
    (webhook,) = load_definitions(Path("hooks"), PLATFORMS, {}).webhooks
    assert (webhook.decode, webhook.split) == ({"$.payload": "base64-json"}, "$.payload.items")
    assert webhook.payload_schema is not None
    assert webhook.payload_schema.file == "order.schema.json"


def test_the_secret_may_come_from_standard_input(cli: Cli) -> None:
    arguments = ("new", "pay", "--platform", "stripe", "--receiver", "checkout", "--secret", "-", "--json")
    found = json.loads(cli(*arguments, stdin=b"whsec_0123456789abcdef\n").output)
    assert found["status"] == "Unverified"
    assert "secret" not in found
    (webhook,) = load_definitions(Path("hooks"), PLATFORMS, {}).webhooks
    assert webhook.secret is not None
    assert webhook.secret[0].get_secret_value() == "whsec_0123456789abcdef"


def test_on_a_terminal_it_asks_for_what_is_missing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_dry_run_writes_nothing(cli: Cli) -> None:
    found = cli("new", "orders", "--header", "X-Api-Key", "--receiver", "order_flow", "--dry-run")
    assert "X-Api-Key: ${file:secrets/" in found.output
    assert not defined()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("no spaces", "--platform", "github", "--receiver", "a"), "name:"),
        (("x", "--platform", "github"), "neither `receivers` nor `starts`"),
        (("x", "--platform", "stripe", "--receiver", "a"), "--secret: enter the signing secret that Stripe shows"),
        (("x", "--receiver", "a"), "header:"),
        (("x", "--platform", "github", "--receiver", "a:first"), "receivers:"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_written(cli: Cli, arguments: tuple[str, ...], says: str) -> None:
    assert says in cli("new", *arguments, code=1).output
    assert not defined()


def test_a_condition_without_a_start_is_wrong_usage(cli: Cli) -> None:
    result = cli("new", "x", "--platform", "github", "--receiver", "a", "--when", "$.ref: main", code=2)
    assert "--when is a condition of --start" in result.output
    result = cli("new", "x", "--platform", "github", "--receiver", "a", "--input", "a: $.b", code=2)
    assert "--input is of --start" in result.output
    assert not defined()


@pytest.mark.parametrize(
    ("arguments", "useless"),
    [
        (("--header", "X-Key", "--algorithm", "sha512", "--prefix", "a"), "--algorithm, --prefix"),
        (("--header", "X-Key", "--claim", "$.scope: a"), "--claim"),
        (("--header", "X-Key", "--verify-token", "a"), "--verify-token"),
        (("--no-proof", "--header", "X-Key"), "--header"),
        (("--callback", "--signature"), "--signature"),
        (("--callback", "--challenge", "token"), "--challenge"),
        (("--issuer", "https://login.example.com", "--audience", "a", "--secret", "b"), "--secret"),
        (("--platform", "github", "--header", "X-Key", "--no-proof"), "--header, --no-proof"),
        (("--platform", "github", "--topic", "a", "--audience", "b"), "--audience, --topic"),
    ],
)
def test_an_option_without_a_place_in_the_webhook_is_wrong_usage(
    cli: Cli, arguments: tuple[str, ...], useless: str
) -> None:
    result = cli("new", "x", "--receiver", "a", *arguments, code=2)
    assert f"this webhook can't have {useless}; --help" in result.output
    assert not defined()


def test_a_challenge_may_stand_beside_another_proof(cli: Cli) -> None:
    cli("new", "x", "--receiver", "a", "--header", "X-Key", "--challenge", "token")
    (webhook,) = load_definitions(Path("hooks"), PLATFORMS, {}).webhooks
    assert webhook.challenge is not None
    assert webhook.headers is not None
    assert webhook.challenge.name == "token"


def test_a_webhook_with_callback_by_options(cli: Cli) -> None:
    options = ("--callback", "--expires", "2d", "--task", "approve", "--query", "decision", "--query", "note")
    made = cli("new", "approvals", *options, "--receiver", "flow")
    callback = load_definitions(Path("hooks"), PLATFORMS, {}).by_name["approvals"].callback
    assert callback is not None
    assert callback.secret is not None
    assert (callback.expires, callback.tasks, callback.query) == (172_800.0, ("approve",), ("decision", "note"))
    assert callback.secret[0].get_secret_value() not in made.output, "nobody enters it anywhere"
    assert "https://x.example/webhook/approvals/TOKEN" in made.output
    assert "webhook-bridge callback approvals --workflow ID --task REF" in made.output
    cli("new", "open", "--by-id", "--receiver", "flow")
    callback = load_definitions(Path("hooks"), PLATFORMS, {}).by_name["open"].callback
    assert callback is not None
    assert (callback.by, callback.secret) == ("id", None)
    assert "starts nothing" in cli("new", "c", "--callback", "--receiver", "a", "--start", "b", code=1).output


def test_what_is_suggested_to_try_can_work(cli: Cli) -> None:
    certificate = ("--header", "X-DN", "--subject", "CN=a", "--receiver", "flow")
    for options, suggested in (
        (("--platform", "github"), "webhook-bridge send made --sample push\n"),
        (("--platform", "salesforce", *certificate), "curl --cert CLIENT.pem --key CLIENT.key -H 'Content-Type: "),
        (certificate, "--data-binary @EVENT https://x.example/webhook/made"),
        (("--issuer", "https://login.example.com", "--audience", "a"), "--token-file FILE"),
    ):
        made = cli("new", "made", *options, "--receiver", "flow").output
        assert suggested in made, options
        assert ("send made" in made) == ("webhook-bridge send made" in suggested or "--token-file" in suggested)
        Path("hooks/made.yaml").unlink()


def test_a_file_cannot_be_written_into(cli: Cli) -> None:
    Path("hooks.yaml").write_text("webhooks: []\n")
    cli.environment["BRIDGE_WEBHOOKS"] = "hooks.yaml"
    assert "is not a folder" in cli("new", "x", "--platform", "github", "--receiver", "a", code=1).output


def test_senders_of_any_kind_prove_themselves_by_options(cli: Cli) -> None:
    issuer = "https://login.example.com"
    cli("new", "parcels", "--issuer", issuer, "--audience", "hooks", "--jwks", f"{issuer}/keys", "--receiver", "flow")
    cli("new", "edi", "--header", "X-DN", "--subject", "CN=a,O=b", "--san", "a.example", "--receiver", "flow")
    cli("new", "deals", "--platform", "salesforce", "--header", "X-DN", "--subject", "CN=a", "--receiver", "flow")
    cli("new", "open", "--platform", "salesforce", "--no-proof", "--receiver", "flow")
    form = "t={timestamp},v1={signature}"
    custom = ("--signature", "--header", "X-S", "--format", form, "--signed", "{timestamp}.{url}\n{body}")
    cli("new", "bills", *custom, "--receiver", "flow")
    found = load_definitions(Path("hooks"), PLATFORMS, {}).by_name
    parcels, edi, bills = found["parcels"], found["edi"], found["bills"]
    assert parcels.jwt is not None
    assert (parcels.jwt.issuer, parcels.jwt.audience, parcels.jwt.jwks) == (issuer, ("hooks",), f"{issuer}/keys")
    assert edi.mtls is not None
    assert (edi.mtls.header, edi.mtls.subject, edi.mtls.san) == ("X-DN", ("CN=a,O=b",), ("a.example",))
    assert found["deals"].mtls is not None
    assert found["deals"].mtls.subject == ("CN=a",)
    assert found["open"].verifier == "none"
    assert bills.signature is not None
    assert (bills.signature.format, bills.signature.signed) == (form, "{timestamp}.{url}\n{body}")
    assert parcels.secret is edi.secret is parcels.headers is edi.headers is None


def test_every_setting_of_a_signature_has_an_option_and_the_rest_is_more(cli: Cli) -> None:
    proof = ("--signature", "--header", "X-S", "--algorithm", "sha512", "--encoding", "base64", "--key-encoding", "hex")
    more = ("--more", "only: {$.type: paid}", "--more", "split: $.data.items", "--more", "hold: 1m")
    cli("new", "bills", *proof, *more, "--receiver", "flow")
    bills = load_definitions(Path("hooks"), PLATFORMS, {}).by_name["bills"]
    assert bills.signature is not None
    scheme = bills.signature
    assert (scheme.algorithm, scheme.encoding, scheme.key_encoding) == ("sha512", "base64", "hex")
    assert bytes.fromhex(scheme.secret[0].get_secret_value())
    assert (bills.only, bills.split, bills.hold) == ({"$.type": "paid"}, "$.data.items", 60)


def test_the_topic_of_sns_has_an_option(cli: Cli) -> None:
    topic = "arn:aws:sns:eu-west-1:123456789012:alarms"
    cli("new", "alarms", "--platform", "aws-sns", "--topic", topic, "--receiver", "flow")
    assert load_definitions(Path("hooks"), PLATFORMS, {}).by_name["alarms"].topic == (topic,)


@pytest.mark.parametrize(
    ("answers", "proof"),
    [
        (b"jwt\nhttps://login.example.com\nhooks\n\nflow\n\n", "jwt"),
        (b"mtls\n\nCN=a,O=b\n\nflow\n\n", "mtls"),
        (b"signature\nX-S\n{body}\nbase64\nflow\n\n", "signature"),
        (b"challenge\ntoken\nflow\n\n", "challenge"),
        (b"\n\nflow\n\n", "headers"),
        (b"none\nflow\n\n", "verifier"),
    ],
)
def test_a_terminal_is_asked_for_what_each_kind_of_proof_needs(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, answers: bytes, proof: str
) -> None:
    monkeypatch.setattr(importlib.import_module("admin.cli.new"), "_on_terminal", lambda: True)
    cli("new", "x", "--platform", "custom", stdin=answers)
    made = load_definitions(Path("hooks"), PLATFORMS, {}).by_name["x"]
    assert getattr(made, proof) is not None
    assert set(made.receivers) == {"flow"}


def test_a_mistake_is_told_by_the_name_of_its_setting(cli: Cli) -> None:
    found = cli("new", "x", "--issuer", "http://login.example.com", "--receiver", "flow", code=1)
    assert "jwt.issuer: " in found.output


@pytest.mark.parametrize(
    ("option", "says"),
    [("--start=w:x", "starts[0].version: "), ("--when=x", "starts[0].when: "), ("--input=x", "starts[0].input: ")],
)
def test_a_mistake_in_a_start_is_told_by_its_place(cli: Cli, option: str, says: str) -> None:
    start = () if option.startswith("--start") else ("--start", "w")
    assert says in cli("new", "deploys", "--platform", "github", *start, option, code=1).stderr


def test_a_secrets_file_that_cannot_be_read_is_named_once(cli: Cli) -> None:
    result = cli("new", "pay", "--platform", "stripe", "--receiver", "checkout", "--secret", "@none.txt", code=2)
    assert result.stderr.endswith("Error: Invalid value for --secret: none.txt: No such file or directory\n")
