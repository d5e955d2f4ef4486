"""The API: what it answers, and that its description tells the truth."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest
from flask.testing import FlaskClient
from openapi_spec_validator import validate

from tests.support.sample import HOSTILE, Sample
from tools.servers.processes import ROOT


def check(client: FlaskClient, path: str, method: str, status: int, body: Any) -> None:
    """Fails unless the description has that answer in this form."""
    document: Any = client.get("/api/openapi.json").json
    answer = document["paths"][path][method]["responses"][str(status)]
    schema = answer["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(body)


def get(client: FlaskClient, path: str, described: str, status: int = 200) -> Any:
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/json"
    check(client, described, "get", status, answer.json)
    return answer.json


def test_the_description_is_valid_openapi(client: FlaskClient) -> None:
    validate(client.get("/api/openapi.json").json)  # type: ignore[arg-type]


def test_the_description_has_every_route_and_no_other(client: FlaskClient) -> None:
    routes = {
        (rule.rule.replace("<", "{").replace(">", "}"), method.lower())
        for rule in client.application.url_map.iter_rules()
        if rule.rule.startswith("/api/")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    paths: Any = client.get("/api/openapi.json").json["paths"]  # type: ignore[index]
    assert routes == {(path, method) for path, methods in paths.items() for method in methods}


def test_the_documentation_names_every_route(client: FlaskClient) -> None:
    text = (ROOT / "docs" / "admin.md").read_text(encoding="utf-8")
    paths = {
        path for path in client.get("/api/openapi.json").json["paths"] if "/metadata/" not in path
    }  # type: ignore[index]
    named = {re.sub("{[a-z_]+}", "ID", path.replace("{name}", "NAME")) for path in paths}
    assert [path for path in sorted(named) if f"{path}`" not in text] == []


def test_the_overview(client: FlaskClient) -> None:
    found = get(client, "/api/overview", "/api/overview")
    assert found["events"] == {
        "pending": 2,
        "delivered": 1,
        "expired": 1,
        "ignored": 1,
        "failed": 1,
    }
    assert found["conductor"] == "up"
    assert found["waitingTasks"] == 5
    assert "1 event failed in the last day" in found["problems"][0]["text"]


def test_webhooks(client: FlaskClient) -> None:
    found = get(client, "/api/webhooks", "/api/webhooks")
    assert [(one["name"], one["status"]) for one in found] == [
        ("github-deploys", "Verified"),
        ("orders", "Unverified"),
        ("slack", "Unverified"),
    ]
    assert found[0]["deliveriesLastDay"] == {"accepted": 4, "duplicate": 1}


def test_events(client: FlaskClient, sample: Sample) -> None:
    found = get(client, "/api/events", "/api/events")
    assert [one["eventId"] for one in found] == list(reversed(sample.events.values()))
    failed = get(
        client, "/api/events?status=failed&webhook=github-deploys&text=v2&limit=1", "/api/events"
    )
    assert [one["eventId"] for one in failed] == [sample.events["refused"]]
    older = get(client, f"/api/events?before={sample.events['expired']}", "/api/events")
    assert [one["eventId"] for one in older] == [
        sample.events["refused"],
        sample.events["delivered"],
    ]


def test_one_event(client: FlaskClient, sample: Sample) -> None:
    found = get(client, f"/api/events/{sample.events['hostile']}", "/api/events/{event_id}")
    assert found["payload"] == HOSTILE
    assert found["heldUntil"] == found["holdUntil"]


def test_why(client: FlaskClient, sample: Sample) -> None:
    for event_id in sample.events.values():
        found = get(client, f"/api/events/{event_id}/why", "/api/events/{event_id}/why")
        assert found["eventId"] == event_id
    found = get(
        client,
        f"/api/events/{sample.events['delivered']}/why?limit=2",
        "/api/events/{event_id}/why",
    )
    assert [one["verdict"] for one in found["tasks"]] == ["taken", "out of reach"]
    assert found["starts"][0]["holds"]


def test_tasks(client: FlaskClient, sample: Sample) -> None:
    found = get(client, "/api/tasks", "/api/tasks")
    assert [one["taskId"] for one in found] == [
        "task-broken",
        "task-late",
        "task-old",
        "task-other",
        "task-stranger",
    ]
    assert len(get(client, "/api/tasks?workflow=deploy&after=task-late", "/api/tasks")) == 1
    for one in found:
        get(client, f"/api/tasks/{one['taskId']}", "/api/tasks/{task_id}")
    taken = get(client, "/api/tasks/task-main", "/api/tasks/{task_id}")
    assert taken["events"][0]["eventId"] == sample.events["delivered"]
    assert taken["targets"][0]["eventId"] == sample.events["delivered"]


def test_rejections(client: FlaskClient) -> None:
    assert len(get(client, "/api/rejections", "/api/rejections")) == 2
    assert len(get(client, "/api/rejections?webhook=slack", "/api/rejections")) == 1


def test_replay(client: FlaskClient, sample: Sample) -> None:
    path = "/api/events/{event_id}/replay"
    answer = client.post(f"/api/events/{sample.events['refused']}/replay")
    assert answer.status_code == 201
    check(client, path, "post", 201, answer.json)
    assert answer.json is not None
    event = sample.store.queries.event(answer.json["eventId"])
    assert event is not None
    assert event.replay_of == sample.events["refused"]
    missing = client.post("/api/events/nothing/replay", json={})
    assert missing.status_code == 404
    check(client, path, "post", 404, missing.json)
    for body in (b"{", b"[1]", b'{"target": 1.5}', b'{"targt": 1}', b"\xff"):
        refused = client.post(f"/api/events/{sample.events['refused']}/replay", data=body)
        assert refused.status_code == 400, refused.text
    by_form = client.post(f"/api/events/{sample.events['refused']}/replay", data={"a": "b"})
    assert by_form.status_code == 403
    foreign = client.post(
        f"/api/events/{sample.events['refused']}/replay", headers={"Origin": "https://evil.example"}
    )
    assert foreign.status_code == 403
    sample.settings.bridge_webhooks.write_text("webhooks: []", encoding="utf-8")
    gone = client.application.test_client()
    gone.application.extensions["bridge"]._read_at = float("-inf")
    refused = gone.post(f"/api/events/{sample.events['refused']}/replay")
    assert refused.status_code == 409
    check(client, path, "post", 409, refused.json)


@pytest.mark.parametrize(
    ("path", "described", "status"),
    [
        ("/api/events?status=odd", "/api/events", 400),
        ("/api/events?newer=2h", "/api/events", 400),
        ("/api/overview?limit=1", "/api/overview", 400),
        ("/api/events/nothing?limit=1", "/api/events/{event_id}", 400),
        ("/api/events?limit=0", "/api/events", 400),
        ("/api/rejections?filtered=perhaps", "/api/rejections", 400),
        ("/api/events?limit=x", "/api/events", 400),
        ("/api/events?limit=1001", "/api/events", 400),
        ("/api/events?before=nothing", "/api/events", 404),
        ("/api/events/nothing", "/api/events/{event_id}", 404),
        ("/api/events/nothing/why", "/api/events/{event_id}/why", 404),
        ("/api/tasks?limit=²", "/api/tasks", 400),
        ("/api/tasks/nothing", "/api/tasks/{task_id}", 404),
    ],
)
def test_errors_are_json(client: FlaskClient, path: str, described: str, status: int) -> None:
    found = get(client, path, described, status)
    assert found["message"]


def test_an_unknown_path_or_method_is_json(client: FlaskClient) -> None:
    for answer, status in ((client.get("/api/nothing"), 404), (client.delete("/api/events"), 405)):
        assert answer.status_code == status
        assert answer.json is not None
        assert set(answer.json) == {"error", "message"}
