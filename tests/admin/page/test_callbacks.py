"""URLs that complete a task: by API and command line, for whoever may have one."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest
from flask.testing import FlaskClient

from relay.callbacks.tokens import Tokens
from store.one_target import callback_to
from store.records import Decision, NewEvent, NewTarget, Result, Term
from tests.admin.conftest import Cli
from tests.support.deciding import decide
from tests.support.sample import Sample

SECRET, OLD = "a-secret-of-24-characters", "an-older-secret-of-24-letters"
DEFINITIONS = f"""
  - name: approvals
    callback: {{secret: [{SECRET}, {OLD}], expires: 7d, tasks: [approve]}}
    receivers: {{order_flow: any}}
  - name: open
    callback: {{by: id}}
    receivers: {{order_flow: any}}
"""
ID = "7d0c3a30-1111-4222-8333-444444444444"
ASKED = {"webhook": "approvals", "workflowId": ID, "task": "approve"}


@pytest.fixture(autouse=True)
def defined(sample: Sample) -> None:
    file = sample.settings.bridge_webhooks
    file.write_text(file.read_text(encoding="utf-8") + DEFINITIONS, encoding="utf-8")


def post(client: FlaskClient, status: int = 201, **more: Any) -> Any:
    answer = client.post(
        "/api/callbacks", json={name: value for name, value in (ASKED | more).items() if value}
    )
    assert answer.status_code == status, answer.text
    document: Any = client.get("/api/openapi.json").json
    described = document["paths"]["/api/callbacks"]["post"]["responses"][str(status)]
    schema = described["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(
        answer.json
    )
    assert SECRET not in answer.text
    return answer.json


def read(url: str, sample: Sample, secret: str = SECRET) -> tuple[str, str, int]:
    """The workflow, the task, and for how many seconds the URL can be used."""
    now = sample.store.now() // 1000
    claims = Tokens("approvals", [secret]).read(url.rpartition("/")[2], now)
    assert claims.expires_at is not None
    assert abs(claims.made_at / 1000 - now) < 60
    return claims.address.workflow_id, claims.address.reference_name, claims.expires_at - now


def test_a_workflow_asks_for_a_url(client: FlaskClient, sample: Sample) -> None:
    made = post(client)
    assert set(made) == {"url", "expiresAt"}
    workflow_id, task, lasts = read(made["url"], sample)
    assert (workflow_id, task) == (ID, "approve")
    assert 6 * 86_400 < lasts <= 7 * 86_400
    _, task, lasts = read(post(client, iteration=2, expires="2h")["url"], sample)
    assert task == "approve__2"
    assert 3600 < lasts <= 7200


@pytest.mark.parametrize(
    ("more", "status", "reason"),
    [
        ({"webhook": "nothing"}, 404, "no webhook nothing"),
        ({"webhook": "orders"}, 400, "has no `callback`"),
        ({"webhook": "open"}, 400, r"\$\{workflow.workflowId\}/approve"),
        ({"task": "pay"}, 400, "completes only approve"),
        ({"task": "approve\n"}, 400, "not the reference name"),
        ({"workflowId": "../x"}, 400, "not the id"),
        ({"workflowId": None}, 400, "workflowId"),
        ({"iteration": -1}, 400, "iteration"),
        ({"expire": "2h"}, 400, "unknown expire: did you mean expires"),
        ({"workflow_Id": "a"}, 400, "did you mean workflowId"),
        ({"expires": "soon"}, 400, "not a duration"),
        ({"expires": "1000d"}, 400, "not between 1s and"),
        ({"more": 1}, 400, "more"),
    ],
)
def test_what_can_not_be_made_says_why(
    client: FlaskClient, more: dict[str, Any], status: int, reason: str
) -> None:
    assert re.search(reason, post(client, status, **more)["message"])


def test_the_command_line_makes_one_and_prints_nothing_else(cli: Cli, sample: Sample) -> None:
    printed = cli("callback", "approvals", "--workflow", ID, "--task", "approve", "--expires", "2h")
    assert read(printed.stdout.strip(), sample)[:2] == (ID, "approve")
    assert printed.stderr.startswith("until ")
    cli("callback", "approvals", "--workflow", ID, "--task", "pay", code=1)
    cli("callback", "orders", "--workflow", ID, "--task", "approve", code=1)
    cli("callback", "approvals", "--workflow", ID, "--task", "approve", "--expires", "x", code=2)
    assert "/webhook/approvals/TOKEN" in cli("webhooks").stdout
    assert "/webhook/open/WORKFLOW_ID/TASK" in cli("webhooks").stdout
    assert "webhook-bridge callback" in cli("send", "approvals", "--data", "{}", code=1).stderr
    assert SECRET not in cli("check").output


def arrive(sample: Sample, id_: str, **more: Any) -> None:
    now = sample.store.now()
    only = callback_to(ID, "approve")
    sample.store.deliveries.append(
        [NewEvent(id_, "approvals", now, "{}", {}, {}, now + 60_000, only=only, **more)]
    )


def test_pages_and_explanations_show_what_became_of_its_event(
    client: FlaskClient, cli: Cli, sample: Sample
) -> None:
    arrive(sample, "held")
    arrive(sample, "refused")
    now = sample.store.now()
    refused = NewTarget("complete", "unknown", workflow_id=ID, reference_name="approve")
    decisions = [
        Decision("held", "pending", "held"),
        Decision("refused", "pending", "no", (refused,)),
    ]
    [target] = decide(sample.store, Term("sample"), decisions, now, 1)
    arrive(sample, "taken")
    human = NewTarget(
        "complete", "order_flow", workflow_id=ID, task_id="human", reference_name="approve"
    )
    decide(sample.store, Term("sample"), [Decision("taken", "pending", "no", (human,))], now, 1)
    page = client.get("/events/taken").text
    assert "completes approve of" in page.replace("\n", "")
    assert "/tasks/human" not in page, "only waiting tasks have a page"
    sample.store.claims.record_results(
        "sample", [Result(target, "failed", "Conductor has no such workflow")], now
    )
    for id_, words in (
        ("held", f"for one task: task approve of workflow {ID}"),
        ("held", "its task doesn't wait yet"),
        ("refused", "Conductor has no such workflow"),
    ):
        assert words in cli("events", "explain", id_).stdout
        assert words in client.get(f"/events/{id_}").text.replace("&#39;", "'")
        assert client.get(f"/api/events/{id_}").status_code == 200
        assert client.get("/events").status_code == 200
    replay = cli("events", "replay", "refused").stdout.strip()
    found = sample.store.queries.event(replay)
    assert found is not None
    assert found.only == callback_to(ID, "approve")
    one = cli("events", "replay", "refused", "--target", "1").stdout.strip()
    found = sample.store.queries.event(one)
    assert found is not None
    assert found.is_callback


def test_its_page_and_orkes_api_show_it_without_its_secret(client: FlaskClient) -> None:
    page = client.get("/webhooks/approvals").text
    assert "Callback URLs" in page and "Have the sender add a header" not in page
    assert "complete one task each" in page
    assert "Send a test event" not in page
    for path in ("/webhooks/approvals", "/webhooks/open", "/api/webhooks", "/api/metadata/webhook"):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert SECRET not in answer.text
        assert OLD not in answer.text
