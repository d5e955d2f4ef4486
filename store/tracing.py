"""Trace context: one id from the platform's request to the call to Conductor, in logs and, with the
extra `otel`, as spans.

An event carries the W3C ``traceparent`` in its headers, so everything relay and worker do for it
belongs to one trace. Spans are created only if OpenTelemetry's own variable names an endpoint.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from importlib import import_module
from typing import Any, Literal

import structlog

Kind = Literal["SERVER", "INTERNAL", "CLIENT"]

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
TRACE_HEADERS = frozenset({"traceparent", "tracestate"})
"""The header in which a request names its trace."""
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?"
)


def in_logs(headers: Mapping[str, str]) -> dict[str, str]:
    """``{"trace_id": …}`` for a log line, if the event came with a valid ``traceparent``."""
    match = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    return {"trace_id": match[1]} if match else {}


class Span:
    """One piece of work for one event; does nothing if no spans are created."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: Any = None, traceparent: str | None = None):
        self._span = span
        self.traceparent = traceparent
        """The ``traceparent`` for work that belongs to this span; None if no spans are created."""

    def set(self, **attributes: str | int | float | bool) -> None:
        """Adds attributes. They must never hold payloads or secrets."""
        if self._span is not None:
            self._span.set_attributes(_named(attributes))


_NOTHING = nullcontext(Span())


class _Tracing:
    """OpenTelemetry, set up at the first span, since its threads wouldn't survive a fork."""

    def __init__(self) -> None:
        self.tracer: Any = None
        self.api: Any = None
        self.provider: Any = None
        """The provider that was created here."""
        self.tried = False

    def set_up(self, provider: Any = None, process: str = "") -> None:
        self.tried = True
        if provider is None:
            if not any(os.environ.get(name) for name in ENDPOINTS):
                return
            provider = self.provider = _exporting(process)
        if provider is None:
            return
        self.api = import_module("opentelemetry.trace")
        self.tracer = provider.get_tracer("conductor-webhook-bridge")


_tracing = _Tracing()
_process = "webhook-bridge"


def configure(process: str, provider: Any = None) -> None:
    """Names the process in its spans; `provider` replaces the one that exports."""
    global _process, _tracing
    if _tracing.provider is not None:
        _tracing.provider.shutdown()
    _process, _tracing = f"webhook-bridge-{process}", _Tracing()
    if provider is not None:
        _tracing.set_up(provider)


def flush() -> None:
    """Sends the spans that haven't been sent yet, within two seconds; what can't be sent is lost."""
    if _tracing.provider is not None:
        with suppress(Exception):
            _tracing.provider.force_flush(2000)


def _exporting(process: str) -> Any:
    """A provider that exports by OTLP over HTTP, configured by OpenTelemetry's variables; None
    without the extra."""
    try:
        sdk = import_module("opentelemetry.sdk.trace")
        export = import_module("opentelemetry.sdk.trace.export")
        resources = import_module("opentelemetry.sdk.resources")
        otlp = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ImportError:
        structlog.get_logger().warning(
            "no spans: OpenTelemetry isn't installed; pip install '.[otel]' in a checkout, or"
            " 'WHEEL[otel]'"
        )
        return None
    name = os.environ.get("OTEL_SERVICE_NAME") or process
    provider = sdk.TracerProvider(resource=resources.Resource.create({"service.name": name}))
    provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter()))
    return provider


def span(
    name: str, kind: Kind, headers: Mapping[str, str], **attributes: str | int | float | bool
) -> AbstractContextManager[Span]:
    """A span in the trace that the headers name, or in a new one. An exception marks it as failed."""
    if not _tracing.tried:
        _tracing.set_up(process=_process)
    return _NOTHING if _tracing.tracer is None else _made(name, kind, headers, attributes)


@contextmanager
def _made(
    name: str,
    kind: Kind,
    headers: Mapping[str, str],
    attributes: Mapping[str, str | int | float | bool],
) -> Iterator[Span]:
    tracer, api = _tracing.tracer, _tracing.api
    propagator = import_module(
        "opentelemetry.trace.propagation.tracecontext"
    ).TraceContextTextMapPropagator()
    made = tracer.start_span(
        name,
        context=propagator.extract(dict(headers)),
        kind=api.SpanKind[kind],
        attributes=_named(attributes),
        start_time=time.time_ns(),
    )
    carrier: dict[str, str] = {}
    propagator.inject(carrier, context=api.set_span_in_context(made))
    try:
        yield Span(made, carrier.get("traceparent"))
    except BaseException as error:
        # Without its text, which may contain received data.
        made.set_status(api.Status(api.StatusCode.ERROR, type(error).__name__))
        raise
    finally:
        made.end()


def _named(attributes: Mapping[str, str | int | float | bool]) -> dict[str, Any]:
    return {f"webhook_bridge.{name}": value for name, value in attributes.items()}
