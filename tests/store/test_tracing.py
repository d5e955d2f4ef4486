"""Trace context: valid ids in logs, spans that belong together, and OTLP to a real endpoint over
HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from store import tracing

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}


def recording() -> Iterator[InMemorySpanExporter]:
    """Spans end in memory, for the time of a test."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.configure("test", provider)
    yield exporter
    tracing.configure("test")


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    yield from recording()


@pytest.mark.parametrize(
    "header",
    [
        "",
        "x",
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        TRACE,
    ],
)
def test_only_a_valid_traceparent_is_in_logs(header: str) -> None:
    assert tracing.in_logs({"traceparent": header}) == {}
    assert tracing.in_logs({}) == {}
    assert tracing.in_logs(PARENT) == {"trace_id": TRACE}


def test_nothing_is_traced_unless_a_place_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tracing.ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    tracing.configure("test")
    with tracing.span("work", "INTERNAL", PARENT) as work:
        work.set(state="done")
    assert work.traceparent is None


def test_spans_belong_to_the_trace_of_the_headers(spans: InMemorySpanExporter) -> None:
    with tracing.span("receive", "SERVER", PARENT, webhook="w") as outer:
        assert outer.traceparent is not None
        with tracing.span("decide", "INTERNAL", {"traceparent": outer.traceparent}) as inner:
            inner.set(state="done")
    with (
        pytest.raises(ValueError, match="secret"),
        tracing.span("complete", "CLIENT", {"traceparent": "garbage"}),
    ):
        raise ValueError("secret")
    decide, receive, failed = spans.get_finished_spans()
    assert f"{receive.context.trace_id:032x}" == f"{decide.context.trace_id:032x}" == TRACE
    assert decide.parent is not None
    assert decide.parent.span_id == receive.context.span_id
    assert receive.attributes == {"webhook_bridge.webhook": "w"}
    assert failed.context.trace_id != receive.context.trace_id
    assert (failed.status.is_ok, failed.status.description) == (False, "ValueError")
    assert "secret" not in failed.to_json()
