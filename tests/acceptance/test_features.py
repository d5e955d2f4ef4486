"""More than Orkes has, on a real Conductor: filters, operators, own answers, replays, spans."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.bridge import API_KEY, Bridge, accepted, started_by, unique
from tools.servers.client import Conductor, outputs, set_variable, wait_for, wait_for_webhook
from tools.servers.http_server import Handler, HttpServer

WEBHOOKS = f"""
webhooks:
  - name: tickets
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    only: {{$.type: {{$in: [made, changed]}}}}
    respond: {{status: 202, body: thanks}}
    receivers: {{{unique("ticket_flow")}: any}}
  - name: later
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    starts: [{{workflow: {unique("registered_later")}}}]
  - name: several
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    receivers: {{{unique("one_target_loop")}: any}}
    starts:
      - workflow: {unique("one_target_known")}
      - workflow: {unique("one_target_missing")}
  - name: traced
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    starts: [{{workflow: {unique("traced")}}}]
"""


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[str, list[Any]]]:
    """An OTLP endpoint, and the spans that came."""
    spans: list[Any] = []

    class Collecting(Handler):
        def do_POST(self) -> None:
            request = ExportTraceServiceRequest.FromString(self.read_body())
            spans.extend(
                one
                for got in request.resource_spans
                for scope in got.scope_spans
                for one in scope.spans
            )
            self.say(200)

    with HttpServer(Collecting) as server:
        yield server.url, spans


@pytest.fixture(scope="module")
def bridge_settings(collector: tuple[str, list[Any]]) -> dict[str, str]:
    """The module's bridge tells its spans."""
    url, _ = collector
    return {
        "otel_exporter_otlp_endpoint": url,
        "otel_bsp_schedule_delay": "200",
        "bridge_follow_traces": "on",
    }


def test_only_lets_in_what_holds_and_answers_everybody_alike(
    bridge: Bridge, conductor: Conductor
) -> None:
    conductor.register(unique("ticket_flow"), [wait_for_webhook("wait", {"$.id": 7})])
    workflow_id = conductor.start(unique("ticket_flow"))
    key = {"X-Api-Key": API_KEY}
    for kind in ("closed", "made"):
        answer = bridge.post("tickets", {"id": 7, "type": kind}, key)
        assert (answer.status, answer.text) == (202, "thanks")
    wait_for(
        lambda: conductor.workflow(workflow_id)["status"] == "COMPLETED",
        "the ticket's workflow goes on",
    )
    [event] = bridge.events("tickets")
    assert json.loads(event.payload)["type"] == "made"
    wait_for(lambda: bridge.cli_json("rejections", "--filtered") != [], "the filtered one is shown")
    [filtered] = bridge.cli_json("rejections", "--filtered")
    assert filtered["reason"] == '$.type is "closed", expected is $in ["made", "changed"]'


def test_many_failed_events_are_replayed_once_the_reason_is_mended(
    bridge: Bridge, conductor: Conductor
) -> None:
    ids = [bridge.orders("later", {"n": number}) for number in range(5)]
    for event_id in ids:
        bridge.wait_for_event(event_id, "failed")
    conductor.register(unique("registered_later"), [set_variable("note", n="${workflow.input.n}")])
    many = ("events", "replay", "--status", "failed", "--webhook", "later", "--since", "2h")
    assert "5 events would be replayed" in bridge.cli(*many, "--dry-run")
    assert bridge.cli(*many, "--rate", "50/s") == "5 of 5 events replayed\n"
    replays = [event for event in bridge.events("later") if event.replay_of in ids]
    assert len(replays) == 5
    for event in replays:
        bridge.wait_for_event(event.id, "delivered")
    assert bridge.cli(*many, "--rate", "50/s") == "0 of 5 events replayed\n"
    assert len(bridge.events("later")) == 10
    for event in replays:
        assert len(started_by(conductor, unique("registered_later"), event.id)) == 1


def looping(conductor: Conductor) -> str:
    """A workflow that takes two events, one after the other."""
    conductor.register(
        unique("one_target_loop"),
        [
            {
                "name": "loop",
                "taskReferenceName": "loop",
                "type": "DO_WHILE",
                "inputParameters": {},
                "loopCondition": "if ($.loop['iteration'] < 2) { true; } else { false; }",
                "loopOver": [wait_for_webhook("wait", {"$.kind": "go"})],
            }
        ],
    )
    workflow_id = conductor.start(unique("one_target_loop"))
    conductor.wait_for_task(workflow_id, "wait__1")
    return workflow_id


def test_one_target_of_several_is_replayed_and_no_other(
    bridge: Bridge, conductor: Conductor
) -> None:
    conductor.register(
        unique("one_target_known"), [set_variable("note", kind="${workflow.input.kind}")]
    )
    loops = [looping(conductor) for _ in range(3)]
    event_id = bridge.orders("several", {"kind": "go"})
    bridge.wait_for_event(event_id, "failed")
    targets = bridge.targets(event_id)
    assert sorted(target.state for target in targets) == ["done"] * 4 + ["failed"]
    for workflow_id in loops:
        conductor.wait_for_task(workflow_id, "wait__2")

    conductor.register(
        unique("one_target_missing"), [set_variable("note", kind="${workflow.input.kind}")]
    )
    place = next(number for number, target in enumerate(targets, 1) if target.state == "failed")
    start = bridge.cli("events", "replay", event_id, "--yes", "--target", str(place)).strip()
    bridge.wait_for_event(start, "delivered")
    assert [target.kind for target in bridge.targets(start)] == ["start"]
    assert len(started_by(conductor, unique("one_target_missing"), start)) == 1
    assert started_by(conductor, unique("one_target_known"), start) == []
    assert bridge.event(event_id).resolved_by == start
    assert "Resolved by replay" in bridge.cli("events", "show", event_id)

    place = next(
        number for number, target in enumerate(targets, 1) if target.workflow_id == loops[1]
    )
    completion = bridge.cli("events", "replay", event_id, "--yes", "--target", str(place)).strip()
    bridge.wait_for_event(completion, "delivered")
    conductor.wait_for_status(loops[1])
    assert [target.workflow_id for target in bridge.targets(completion)] == [loops[1]]
    assert [conductor.status(loop) for loop in loops] == ["RUNNING", "COMPLETED", "RUNNING"]
    assert len(list(outputs(conductor.workflow(loops[1]), "wait__2"))) == 1


def test_receiving_deciding_and_calling_are_spans_of_the_senders_trace(
    bridge: Bridge, conductor: Conductor, collector: tuple[str, list[Any]]
) -> None:
    _, spans = collector
    conductor.register(unique("traced"), [set_variable("note", n="${workflow.input.n}")])
    trace = uuid.uuid4().hex

    def mine() -> dict[str, Any]:
        return {span.name: span for span in spans if span.trace_id.hex() == trace}

    headers = {"X-Api-Key": API_KEY, "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    event_id = accepted(bridge.post("traced", {"n": 1}, headers))
    bridge.wait_for_event(event_id, "delivered")
    wait_for(lambda: mine().keys() >= {"receive", "decide", "start"}, "the spans arrive")
    told = mine()
    assert told["decide"].parent_span_id == told["start"].parent_span_id == told["receive"].span_id
    [workflow] = started_by(conductor, unique("traced"), event_id)
    assert trace in workflow["input"]["_webhook"]["headers"]["traceparent"]
    assert f'"trace_id": "{trace}"' in (bridge.folder / "worker.log").read_text()
