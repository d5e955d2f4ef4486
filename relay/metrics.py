"""The relay's metrics, for Prometheus. Under gunicorn all workers share them
(PROMETHEUS_MULTIPROC_DIR)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    make_wsgi_app,
)
from prometheus_client.multiprocess import MultiProcessCollector

from config.process import serve_metrics
from relay.concurrency import run_in_thread

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer
    from wsgiref.types import StartResponse, WSGIEnvironment

# A separate registry, so that tests of several processes can share one interpreter.
_registry = CollectorRegistry()
_deliveries = Counter(
    "bridge_deliveries", "Deliveries by outcome", ["webhook", "outcome", "code"], registry=_registry
)
_committed = Counter(
    "bridge_events_committed", "Events committed to the store", ["webhook"], registry=_registry
)
_seconds = Histogram(
    "bridge_relay_request_seconds",
    "Time from a delivery's arrival to its answer",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=_registry,
)
_waits = Counter(
    "bridge_waits",
    "Deliveries that waited for a workflow, by outcome",
    ["webhook", "outcome"],
    registry=_registry,
)
_waiting = Gauge(
    "bridge_senders_waiting",
    "Senders waiting for the end of a workflow",
    multiprocess_mode="livesum",
    registry=_registry,
)
_definitions_ok = Gauge(
    "bridge_definitions_ok",
    "1 while the webhook definitions on disk are the ones in use, 0 while they are broken",
    ["process"],
    multiprocess_mode="livemin",
    registry=_registry,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST


def count_deliveries(webhook: str, outcome: str, code: int, number: int = 1) -> None:
    """Counts deliveries. `webhook` must be a name from the definitions, or empty: labels must stay
    few."""
    # A process's first counters create its files; no delivery fails if that fails.
    with suppress(OSError):
        _deliveries.labels(webhook, outcome, str(code)).inc(number)


def count_committed(webhook: str, number: int) -> None:
    """Counts events committed to the store."""
    with suppress(OSError):
        _committed.labels(webhook).inc(number)


def observe_request(seconds: float) -> None:
    """Records how long a delivery took."""
    with suppress(OSError):
        _seconds.observe(seconds)


def count_wait(webhook: str, outcome: str) -> None:
    """Counts a delivery that waited for a workflow, by how that ended."""
    with suppress(OSError):
        _waits.labels(webhook, outcome).inc()


@contextmanager
def waiting() -> Iterator[None]:
    """A sender waits."""
    with suppress(OSError):
        _waiting.inc()
    try:
        yield
    finally:
        with suppress(OSError):
            _waiting.dec()


def set_definitions_ok(ok: bool) -> None:
    """Sets whether the definitions on disk are in use."""
    with suppress(OSError):
        _definitions_ok.labels("relay").set(1 if ok else 0)


def exposition() -> bytes:
    """All metrics, of all workers, in Prometheus's text format."""
    return generate_latest(_all_workers())


def _all_workers() -> CollectorRegistry:
    """Collects every worker's counts at each scrape; outside gunicorn there is only this process."""
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return _registry
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def serve(address: str) -> WSGIServer:
    """Serves the metrics at ``HOST:PORT`` on a separate thread, until the server is shut down and
    closed.

    Raises OSError if it can't listen on the address.
    """
    return serve_metrics(address, _scraped)


def _scraped(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Each webhook has counts of its own: with thousands, putting them together takes a while."""
    return run_in_thread(lambda: make_wsgi_app(_all_workers())(environ, start_response))
