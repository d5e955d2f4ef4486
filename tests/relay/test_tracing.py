"""A received event carries the trace that it belongs to."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from events import tracing
from tests.events.test_tracing import PARENT, TRACE, recording
from tests.relay.bridge import MakeRelay


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    yield from recording()


def test_a_received_event_carries_the_context_of_its_span(spans: InMemorySpanExporter, make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "w", "verifier": "none"})
    relay.post("w", json.dumps({"card": "4111"}), PARENT)
    relay.post("w", "{}")
    joined, own = spans.get_finished_spans()
    first, second = relay.events()
    assert first.headers["traceparent"] == f"00-{TRACE}-{joined.context.span_id:016x}-01"
    assert tracing.in_logs(second.headers) == {"trace_id": f"{own.context.trace_id:032x}"}
    assert joined.attributes == {"webhook_bridge.webhook": "w", "webhook_bridge.events": 1}
    assert "4111" not in joined.to_json()


def test_without_spans_an_event_keeps_the_senders_context(make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "w", "verifier": "none"})
    relay.post("w", "{}", PARENT)
    assert relay.event().headers["traceparent"] == PARENT["traceparent"]
