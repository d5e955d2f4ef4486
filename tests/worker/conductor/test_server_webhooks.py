"""What webhooks Conductor's server has of its own, and which of them answer for the same as the bridge's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from config.webhooks import Webhook
from testkit.own_webhooks import Fault, OwnWebhooks
from worker.conductor.client import Conductor
from worker.conductor.errors import ConductorError
from worker.conductor.server import Server
from worker.conductor.server_webhooks import ServerWebhook, as_text, from_text, remarks


@pytest.fixture
def server() -> Iterator[OwnWebhooks]:
    server = OwnWebhooks()
    yield server
    server.stop()


def own(**written: Any) -> Webhook:
    return Webhook.model_validate({"name": "orders", "receivers": {"order_flow": "any"}} | written)


def theirs(**changed: Any) -> ServerWebhook:
    return ServerWebhook(**{"name": "payments", "id": "7f3kq", "receivers": {"order_flow": 1}} | changed)  # type: ignore[arg-type]


# --- asking for them ---


def ask(url: str, patience: float = 10) -> list[ServerWebhook] | None:
    return Conductor(Server(url), 10).within(patience).webhooks()


def test_the_servers_webhooks_are_read_without_their_secrets(server: OwnWebhooks) -> None:
    id_ = server.add(
        name="payments",
        verifier="HEADER_BASED",
        headers={"X-Api-Key": "a-secret-in-clear"},
        receiverWorkflowNamesToVersions={"order_flow": 1, "any_flow": 0},
        workflowsToStart={"on_payment": 2, "idempotencyKey": "${workflow.input.id}", "idempotencyStrategy": "FAIL"},
    )
    server.add(name="scripted", id="scripted", verifier="STRIPE", secretValue="whsec", expression="({})")
    found = ask(server.url)
    assert found == [
        ServerWebhook("payments", id_, {"order_flow": 1, "any_flow": None}, ["on_payment"]),
        ServerWebhook("scripted", "scripted", has_expression=True),
    ]
    assert "secret" not in as_text(found)


def test_a_server_with_the_routes_and_no_webhook_has_an_empty_list(server: OwnWebhooks) -> None:
    assert ask(server.url) == []


@pytest.mark.parametrize("fault", ["absent", "absent page"])
def test_a_server_without_the_routes_can_have_none(server: OwnWebhooks, fault: Fault) -> None:
    server.fault = fault
    assert ask(server.url) is None


@pytest.mark.parametrize("fault", ["401", "403", "503", "page", "login page", "garbage", "no list"])
def test_an_answer_that_does_not_tell_is_an_error(server: OwnWebhooks, fault: Fault) -> None:
    server.fault = fault
    with pytest.raises(ConductorError):
        ask(server.url)


@pytest.mark.parametrize("text", [None, "", "[", "7", '[{"other": 1}]', "[7]"])
def test_a_fact_of_another_version_is_not_known(text: str | None) -> None:
    assert from_text(text) == "unknown"


def test_that_a_server_can_have_none_is_remembered() -> None:
    assert from_text(as_text(None)) is None


# --- what to say ---


def said(
    webhooks: list[Webhook], server: list[ServerWebhook] | None, left: tuple[str, ...] = ()
) -> list[tuple[str, tuple[str, ...]]]:
    return [(remark.level, remark.details) for remark in remarks(webhooks, server, left)]


def test_nothing_is_said_of_a_server_that_can_have_none() -> None:
    assert said([own()], None) == []


def test_that_it_has_some_is_a_note_while_none_does_the_same() -> None:
    assert said([own()], []) == said([own()], [theirs(receivers={"other": 1})]) == [("note", ())]


@pytest.mark.parametrize(
    ("webhook", "server", "detail"),
    [
        (own(), theirs(), "orders, and the server's payments (id 7f3kq): both complete tasks of order_flow"),
        (own(receivers={"order_flow": [1, 2]}), theirs(), "both complete tasks of order_flow"),
        (own(receivers={"order_flow": [2]}), theirs(receivers={"order_flow": None}), "both complete tasks"),
        (own(starts=[{"workflow": "s"}]), theirs(receivers={}, starts=["s"]), "both start s"),
        (own(), theirs(receivers={}, name="orders"), "both have this name"),
        (own(), theirs(name=""), "the server's 7f3kq"),
    ],
)
def test_what_both_answer_for_is_named_with_a_remedy(webhook: Webhook, server: ServerWebhook, detail: str) -> None:
    (remark,) = remarks([own(name="quiet", receivers={"quiet": "any"}), webhook], [server])
    assert remark.level == "warning"
    assert detail in "\n".join(remark.details)
    assert "quiet" not in "\n".join(remark.details)
    assert "BRIDGE_LEAVE_TO_CONDUCTOR" in remark.remedy


def test_versions_that_differ_are_no_overlap() -> None:
    assert said([own(receivers={"order_flow": [2]})], [theirs()]) == [("note", ())]


def test_what_is_left_to_conductor_is_no_overlap() -> None:
    webhook = own(starts=[{"workflow": "s"}])
    server = [theirs(name="orders", starts=["s"])]
    assert said([webhook], server, ("order_flow", "s")) == [("note", ())]
    assert said([webhook], server, ("order_flow",))[0][0] == "warning"


def test_workflows_that_are_left_to_nobody_are_a_warning() -> None:
    assert said([own()], None, ("order_flow",)) == [("warning", ("order_flow",))]
    assert said([own()], [], ("order_flow",)) == [("note", ()), ("warning", ("order_flow",))]


def test_webhooks_whose_workflows_an_expression_says_are_named() -> None:
    scripted = theirs(receivers={}, has_expression=True)
    assert said([own()], [scripted], ("order_flow",)) == [("note", ()), ("note", ("payments",))]
