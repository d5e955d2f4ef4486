"""Trace context: one id from the platform's request to Conductor's call, in logs and, with the extra `otel`, as spans.

An event carries the W3C ``traceparent`` in its headers, so what relay and worker do for it belongs to one trace. Spans
are made only where OpenTelemetry's own variable names a place to send them to.
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
"""By which a request names its trace."""
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


def in_logs(headers: Mapping[str, str]) -> dict[str, str]:
    """``{"trace_id": …}`` for a line of the log, if the event came with a valid ``traceparent``."""
    match = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    return {"trace_id": match[1]} if match else {}


class Span:
    """One piece of work for one event; does nothing while no spans are made."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: Any = None, traceparent: str | None = None):
        self._span = span
        self.traceparent = traceparent
        """For what is to belong to this piece of work; None while no spans are made."""

    def set(self, **attributes: str | int | float | bool) -> None:
        """Says more of it. Never of a payload or a secret."""
        if self._span is not None:
            self._span.set_attributes(_named(attributes))


_NOTHING = nullcontext(Span())


class _Tracing:
    """OpenTelemetry, set up at the first span: threads of its own would not survive a fork."""

    def __init__(self) -> None:
        self.tracer: Any = None
        self.api: Any = None
        self.provider: Any = None
        """The one that was made here."""
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
    """Names the process in its spans; a `provider` takes the place of the one that exports."""
    global _process, _tracing
    if _tracing.provider is not None:
        _tracing.provider.shutdown()
    _process, _tracing = f"webhook-bridge-{process}", _Tracing()
    if provider is not None:
        _tracing.set_up(provider)


def flush() -> None:
    """Sends the spans that were made and not yet sent, within two seconds; what can't be sent is lost."""
    if _tracing.provider is not None:
        with suppress(Exception):
            _tracing.provider.force_flush(2000)


def _exporting(process: str) -> Any:
    """A provider that exports by OTLP over HTTP, as OpenTelemetry's variables say; None without the extra."""
    try:
        sdk = import_module("opentelemetry.sdk.trace")
        export = import_module("opentelemetry.sdk.trace.export")
        resources = import_module("opentelemetry.sdk.resources")
        otlp = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ImportError:
        structlog.get_logger().warning(
            "no spans: OpenTelemetry isn't installed; install the extra: pip install 'conductor-webhook-bridge[otel]'"
        )
        return None
    name = os.environ.get("OTEL_SERVICE_NAME") or process
    provider = sdk.TracerProvider(resource=resources.Resource.create({"service.name": name}))
    provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter()))
    return provider


def span(
    name: str, kind: Kind, headers: Mapping[str, str], **attributes: str | int | float | bool
) -> AbstractContextManager[Span]:
    """A span in the trace that the headers name, or in a new one. What is raised in it marks it as failed."""
    if not _tracing.tried:
        _tracing.set_up(process=_process)
    return _NOTHING if _tracing.tracer is None else _made(name, kind, headers, attributes)


@contextmanager
def _made(
    name: str, kind: Kind, headers: Mapping[str, str], attributes: Mapping[str, str | int | float | bool]
) -> Iterator[Span]:
    tracer, api = _tracing.tracer, _tracing.api
    propagator = import_module("opentelemetry.trace.propagation.tracecontext").TraceContextTextMapPropagator()
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
        # Without its text, which may hold what came.
        made.set_status(api.Status(api.StatusCode.ERROR, type(error).__name__))
        raise
    finally:
        made.end()


def _named(attributes: Mapping[str, str | int | float | bool]) -> dict[str, Any]:
    return {f"webhook_bridge.{name}": value for name, value in attributes.items()}
