"""People see what is set aside: that it is, why, and when it is tried next."""

from __future__ import annotations

import html
import json

import pytest
from flask.testing import FlaskClient

from store.records import Decision, NewTarget, Result, SetAside, Term, iso
from tests.admin.conftest import Cli
from tests.admin.page.test_api import get
from tests.support.deciding import decide
from tests.support.makers import arrive
from tests.support.sample import Sample

SINCE, DUE = 1_800_000_000_000, 1_800_000_060_000
WHY = f"500 from Conductor (failed 3 times since {iso(SINCE)})"
AGAIN = f"it is tried again automatically at {iso(DUE)}"


def put_aside(sample: Sample, kind: str, id_: str, webhook: str | None = None) -> None:
    sample.store.quarantine.set_aside(
        [SetAside(kind, id_, webhook, "500 from Conductor.", SINCE, 3, DUE)]
    )  # type: ignore[arg-type]


def words(client: FlaskClient, path: str) -> str:
    return html.unescape(client.get(path).text)


def test_the_overview_lists_it(client: FlaskClient, sample: Sample) -> None:
    assert "will be retried" not in words(client, "/")
    put_aside(sample, "task", "task-late", "github-deploys")
    for number in range(2):
        put_aside(sample, "workflow", f"w{number}")
    text = words(client, "/")
    assert (
        "1 task, 2 workflows keep failing and will be retried; everything else continues." in text
    )
    assert f"task task-late of github-deploys: {WHY}; {AGAIN}" in text
    problems = get(client, "/api/overview", "/api/overview")["problems"]
    assert [one["level"] for one in problems if "will be retried" in one["text"]] == ["warning"]


def test_check_has_a_line_for_each_and_is_1(cli: Cli, sample: Sample) -> None:
    put_aside(sample, "task", "task-late", "orders")
    result = cli("check", code=1)
    assert f"error: task task-late of orders: {WHY}; {AGAIN}" in result.stderr
    [last] = [
        one
        for one in json.loads(cli("check", "--json", code=1).stdout)
        if one["where"].startswith("task")
    ]
    assert (last["what"], last["remedy"], last["warning"]) == (WHY, AGAIN, False)
    cli("check", "--offline")
    for number in range(30):
        put_aside(sample, "event", f"e{number}")
    lines = cli("check", code=1).stderr.splitlines()
    assert len([line for line in lines if "failed 3 times" in line]) == 20
    assert "error: set aside: 11 more items" in lines


def test_an_event_that_is_set_aside_says_so(cli: Cli, client: FlaskClient, sample: Sample) -> None:
    event_id = arrive(sample.store, "undecided", webhook="orders")
    put_aside(sample, "event", event_id, "orders")
    said = f"The worker hasn't decided it yet; it is set aside: {WHY}; {AGAIN}."
    assert said in cli("events", "show", event_id).stdout
    assert said in cli("events", "explain", event_id).stdout
    assert said in words(client, f"/events/{event_id}")
    whole = get(client, f"/api/events/{event_id}", "/api/events/{event_id}")
    assert whole["setAside"] == {
        "kind": "event",
        "reason": "500 from Conductor.",
        "since": iso(SINCE),
        "tries": 3,
        "dueAt": iso(DUE),
    }
    assert whole == json.loads(cli("events", "show", event_id, "--json").stdout)
    other = sample.events["delivered"]
    assert get(client, f"/api/events/{other}", "/api/events/{event_id}")["setAside"] is None


def test_a_call_that_is_set_aside_or_waits_says_so(
    cli: Cli, client: FlaskClient, sample: Sample
) -> None:
    event_id = arrive(sample.store, "called", webhook="orders")
    store = sample.store
    new = NewTarget("start", "order_flow", correlation_id=event_id)
    [target] = decide(
        store, Term("sample"), [Decision(event_id, "pending", "no", (new,))], SINCE, 1
    )
    store.claims.record_results(
        "sample", [Result(target, "pending", "500 oh no", due_at=DUE)], SINCE
    )
    assert (
        f"the last one failed: 500 oh no; the next one is at {iso(DUE)}."
        in cli("events", "show", event_id).stdout
    )
    [shown] = get(client, f"/api/events/{event_id}", "/api/events/{event_id}")["targets"]
    assert shown["dueAt"] == iso(DUE)
    put_aside(sample, "target", str(target.id))
    assert f"This call is set aside: {WHY}; {AGAIN}." in cli("events", "explain", event_id).stdout


@pytest.mark.parametrize(
    ("kind", "id_", "said"),
    [("task", "task-late", "the task is"), ("workflow", "workflow-deploy-late", "its workflow is")],
)
def test_a_task_that_is_set_aside_says_so(
    cli: Cli, client: FlaskClient, sample: Sample, kind: str, id_: str, said: str
) -> None:
    put_aside(sample, kind, id_)
    expected = f"{said} set aside: {WHY}; {AGAIN}."
    assert expected in cli("tasks", "show", "task-late").stdout
    assert expected in words(client, "/tasks/task-late")
    whole = get(client, "/api/tasks/task-late", "/api/tasks/{task_id}")
    assert whole["setAside"]["kind"] == kind
    assert whole == json.loads(cli("tasks", "show", "task-late", "--json", "-n", "20").stdout)
    assert get(client, "/api/tasks/task-other", "/api/tasks/{task_id}")["setAside"] is None


def test_a_task_that_was_never_read_is_known_by_its_reason(cli: Cli, sample: Sample) -> None:
    put_aside(sample, "task", "unreadable")
    result = cli("tasks", "show", "unreadable", code=1)
    assert f"task unreadable can't be read: it is set aside: {WHY}; {AGAIN}" in result.stderr
