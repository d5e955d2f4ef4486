"""Bad input gets a clear answer and changes nothing; what is good goes on beside it."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor

from tests.support.bridge import API_KEY, GITHUB_SECRET, Bridge, accepted, unique, waiting
from tools.demo import signing
from tools.servers.client import Conductor, http, outputs, wait_for, wait_for_webhook

WEBHOOKS = f"""
webhooks:
  - name: github
    platform: github
    secret: ${{GITHUB_SECRET}}
    receivers:
      {unique("bad_github")}: any
  - name: orders
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    max_body: 2KB
    receivers:
      {unique("bad_orders")}: any
  - name: broken
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    receivers:
      {unique("bad_broken")}: any
  - name: flat
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    receivers:
      {unique("bad_flat")}: any
  - name: lost
    platform: github
    secret: ${{GITHUB_SECRET}}
    hold: 0s
    receivers:
      {unique("bad_lost")}: any
  - name: twice
    platform: github
    secret: ${{GITHUB_SECRET}}
    receivers:
      {unique("bad_twice")}: any
"""

JSON = {"Content-Type": "application/json"}


def test_deliveries_that_prove_nothing_are_refused_and_the_next_good_one_resumes(
    bridge: Bridge, conductor: Conductor
) -> None:
    workflow_id = waiting(conductor, "bad_github")
    body = json.dumps({"ref": "refs/heads/main"}).encode()
    good = signing.github(GITHUB_SECRET, body, str(uuid.uuid4()))

    refused = [
        bridge.post("github", body, JSON),
        bridge.post("github", body + b" ", good),
        bridge.post("github", body, {**good, "X-Hub-Signature-256": "sha256=" + "0" * 64}),
        bridge.post("github", body, {**good, "X-Hub-Signature-256": "garbage"}),
        bridge.post("github", body, signing.github("another secret", body, "1")),
    ]
    assert [answer.status for answer in refused] == [401] * 5
    assert {answer.json["error"] for answer in refused} == {refused[0].json["error"]}
    assert bridge.events("github") == []
    wait_for(
        lambda: len(bridge.store.without_events.rejections("github")) == 5,
        "the rejections are kept",
    )
    assert GITHUB_SECRET not in str(bridge.store.without_events.rejections("github"))
    assert conductor.status(workflow_id) == "RUNNING"

    accepted(bridge.post("github", body, good))
    conductor.wait_for_status(workflow_id)


def test_each_kind_of_bad_request_has_its_answer(bridge: Bridge) -> None:
    key = {**JSON, "X-Api-Key": API_KEY}
    cases = [
        (bridge.post("orders", b'{"a": ', key), 400),
        (bridge.post("orders", b'{"a": NaN}', key), 400),
        (bridge.post("orders", b"[" * 101 + b"]" * 101, key), 400),
        (bridge.post("orders", b"{}", {**JSON, "X-Api-Key": "wrong"}), 401),
        (bridge.post("orders", b"{}", JSON), 401),
        (bridge.post("nowhere", b"{}", key), 404),
        (http("PUT", f"{bridge.url}/webhook/orders", b"{}", key), 405),
        (bridge.post("orders", b'"' + b"x" * 4096 + b'"', key), 413),
        (
            bridge.post("orders", b"\x00\x01", {"Content-Type": "image/png", "X-Api-Key": API_KEY}),
            415,
        ),
    ]
    for answer, status in cases:
        assert answer.status == status, f"{answer.status} instead of {status}: {answer.text}"
        assert set(answer.json) == {"error", "message"}
    assert bridge.events("orders") == []


def test_a_task_whose_matches_cannot_be_parsed_never_matches_and_is_shown_as_broken(
    bridge: Bridge, conductor: Conductor
) -> None:
    broken = waiting(conductor, "bad_broken", {"$.[": 1})
    good = waiting(conductor, "bad_broken", {"$.kind": "go"})

    event_id = bridge.orders("broken", {"kind": "go"})

    conductor.wait_for_status(good)
    bridge.wait_for_event(event_id, "delivered")
    assert conductor.status(broken) == "RUNNING"
    task = conductor.task(broken, "wait")
    assert task is not None
    known = wait_for(
        lambda: bridge.store.queries.task(task["taskId"]), "the worker knows the broken task"
    )
    assert known is not None
    assert "$.[" in (known.broken or "")


def test_criteria_that_are_written_flat_let_nobody_elses_event_through(
    bridge: Bridge, conductor: Conductor
) -> None:
    """As Conductor's SDKs for JavaScript and C# write them: beside `matches`, not under it."""
    name = unique("bad_flat")
    flat = {**wait_for_webhook("wait"), "inputParameters": {"$['user']": "${workflow.input.user}"}}
    conductor.register(name, [flat])
    both = {conductor.start(name, user=user) for user in ("alice", "bob")}

    def listed() -> dict[str, str]:
        rows = bridge.cli_json("tasks", "--broken", "--workflow", name)
        return {row["workflowId"]: row["broken"] for row in rows}

    wait_for(
        lambda: listed().keys() == both, "the worker knows both tasks, and lists them as broken"
    )
    assert all("written flat" in reason and "matches" in reason for reason in listed().values())

    event_id = bridge.orders("flat", {"user": "carol"})
    assert bridge.wait_until_decided(event_id).hold == "held"
    assert {conductor.status(workflow_id) for workflow_id in both} == {"RUNNING"}
    assert "written flat" in bridge.cli("events", "explain", event_id)

    bridge.check(
        f"the matches of task wait of {name} can't be used: ",
        *(f"wait of {name} ({workflow_id}): " for workflow_id in both),
    )


def test_a_repeated_delivery_is_a_duplicate_and_has_one_effect(
    bridge: Bridge, conductor: Conductor
) -> None:
    first, second = (waiting(conductor, "bad_twice", {"$.number": number}) for number in (1, 2))
    delivery = str(uuid.uuid4())

    event_id = accepted(bridge.github("twice", {"number": 1}, delivery=delivery))
    conductor.wait_for_status(first)
    again = bridge.github("twice", {"number": 1}, delivery=delivery)
    assert (again.status, again.json) == (200, {"eventId": event_id, "duplicate": True})

    delivery = str(uuid.uuid4())
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: bridge.github("twice", {"number": 2}, delivery=delivery), range(8))
        )
    assert {answer.status for answer in answers} == {200}
    assert len({answer.json["eventId"] for answer in answers}) == 1
    assert sum("duplicate" not in answer.json for answer in answers) == 1
    workflow = conductor.wait_for_status(second)
    [output] = outputs(workflow, "wait")
    assert output["number"] == 2
    assert len(bridge.events("twice")) == 2


def test_a_repetition_of_what_came_to_nothing_does_nothing_and_says_how_to_replay_it(
    bridge: Bridge, conductor: Conductor
) -> None:
    """GitHub and Stripe show answers to people, who may press *Redeliver* once they have corrected
    `matches`."""
    delivery = str(uuid.uuid4())
    event_id = accepted(bridge.github("lost", {"number": 1}, delivery=delivery))
    bridge.wait_for_event(event_id, "expired")
    workflow_id = waiting(conductor, "bad_lost", {"$.number": 1})

    again = bridge.github("lost", {"number": 1}, delivery=delivery)
    assert f"webhook-bridge events replay {event_id}" in again.json["message"]
    assert again.json == {
        "eventId": event_id,
        "duplicate": True,
        "status": "expired",
        "message": again.json["message"],
    }
    advice = "Its sender has delivered it again"
    wait_for(
        lambda: advice in bridge.cli("events", "explain", event_id),
        "the event tells of the repetition",
    )
    assert conductor.status(workflow_id) == "RUNNING"

    bridge.cli("events", "replay", event_id)
    conductor.wait_for_status(workflow_id)
    wait_for(lambda: bridge.event(event_id).resolved_by, "the replay resolves the event")
    again = bridge.github("lost", {"number": 1}, delivery=delivery)
    assert again.json == {"eventId": event_id, "duplicate": True}
