"""A received event carries the trace that it belongs to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.store.test_tracing import PARENT, TRACE, recording
from tests.support.relay import MakeRelay


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    yield from recording()


def test_a_strangers_trace_is_not_joined_so_its_flag_samples_nothing(
    spans: InMemorySpanExporter, make_relay: MakeRelay
) -> None:
    relay = make_relay({"name": "w", "verifier": "none"})
    relay.post("w", "{}", {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-00", "tracestate": "a=b"})
    [own] = spans.get_finished_spans()
    assert f"{own.context.trace_id:032x}" != TRACE
    assert relay.event().headers["traceparent"].startswith(f"00-{own.context.trace_id:032x}-")
    assert "tracestate" not in relay.event().headers


@pytest.mark.parametrize("follow", [True, False])
def test_without_spans_an_event_keeps_the_senders_context_if_it_is_to_be_followed(
    make_relay: MakeRelay, follow: bool
) -> None:
    relay = make_relay({"name": "w", "verifier": "none"}, bridge_follow_traces=follow)
    relay.post("w", "{}", PARENT)
    assert relay.event().headers.get("traceparent") == (PARENT["traceparent"] if follow else None)
