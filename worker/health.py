"""The worker's liveness and readiness, served over HTTP next to its metrics."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

import structlog
from prometheus_client import make_wsgi_app

from config.process import serve_metrics
from store.clock import MonotonicClock
from store.errors import StoreUnavailable
from store.sql.database import Leadership

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = structlog.get_logger()

STUCK_AFTER = 60.0
"""Seconds without a beat after which a thread counts as stuck. Its longest single step, a call to
Conductor or a write to a locked store, takes a fraction of that."""
_AFTER_BUG = 0.5
"""Seconds before a thread goes on after an unforeseen error."""
OVERDUE = 60.0
"""Seconds for which an event may be undecided, or a target due, before it counts as overdue."""
STANDSTILL = 60.0
"""Seconds without progress on anything overdue after which the worker counts as stuck."""


class Progress:
    """Watches what is overdue, and whether any of it makes progress. Thread-safe."""

    def __init__(self, clock: MonotonicClock = time):
        self._clock = clock
        self._overdue: frozenset[str] = frozenset()
        self._since = clock.monotonic()
        self._led_at = float("-inf")

    def leads(self) -> None:
        """This worker is leader now: if nothing makes progress, it is the one that is stuck."""
        self._led_at = self._clock.monotonic()

    def see(self, overdue: Collection[str]) -> None:
        """Takes what `store.sql.queries.Queries.overdue` returns; anything no longer in it has made
        progress."""
        seen = frozenset(overdue)
        if not seen or self._overdue - seen:
            self._since = self._clock.monotonic()
        self._overdue = seen

    @property
    def stuck_for(self) -> float:
        """Seconds without progress although something is overdue; 0 if there is no standstill.

        Also 0 for a follower, as the leader reports it. A worker whose terms keep ending at once
        with an error does count as leader.
        """
        now = self._clock.monotonic()
        seconds = now - self._since
        is_stuck = self._overdue and seconds >= STANDSTILL and now - self._led_at < STANDSTILL
        return seconds if is_stuck else 0.0


class Health:
    """What the worker's own threads report. Thread-safe."""

    def __init__(self, leadership: Leadership, clock: MonotonicClock = time):
        self._leadership = leadership
        self._clock = clock
        self._beats: dict[str, float] = {}
        self.progress = Progress(clock)

    def beat(self, thread: str) -> None:
        """Records that the thread is making progress."""
        self._beats[thread] = self._clock.monotonic()

    def keep_on(self, thread: str, is_over: Callable[[], bool], once: Callable[[], None]) -> None:
        """Does `once` again and again until `is_over`, also after an unforeseen error.

        Only what ends without one is progress: a thread that keeps failing counts as stuck.
        """
        self.beat(thread)
        while not is_over():
            try:
                once()
            except Exception:
                log.exception(f"{thread} failed unexpectedly; going on")
                time.sleep(_AFTER_BUG)
            else:
                self.beat(thread)

    def stuck(self) -> list[str]:
        """The threads without a beat for `STUCK_AFTER` seconds."""
        now = self._clock.monotonic()
        return [thread for thread, at in list(self._beats.items()) if now - at > STUCK_AFTER]

    def problems(self) -> list[str]:
        """Why the worker isn't ready; empty if it is."""
        problems = [f"{thread} is stuck" for thread in self.stuck()]
        if seconds := self.progress.stuck_for:
            problems.append(
                f"nothing was decided or called for {seconds:.0f} s although something is overdue"
            )
        try:
            self._leadership.leader()
        except StoreUnavailable as error:
            problems.append(f"the store can't be read: {error}")
        return problems


def application(health: Health) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    """The WSGI application: /metrics, /healthz (alive: no thread is stuck), /readyz (and the store
    can be read, and what is due gets done)."""
    metrics = make_wsgi_app()

    def respond(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/healthz":
            problems = [f"{thread} is stuck" for thread in health.stuck()]
        elif path == "/readyz":
            problems = health.problems()
        else:
            served: Iterable[bytes] = metrics(environ, start_response)
            return served
        status = "200 OK"
        answer: dict[str, object] = {"status": "ok"}
        if problems:
            status = "503 Service Unavailable"
            answer = {"status": "unavailable", "problems": problems}
        body = json.dumps(answer).encode()
        start_response(
            status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        )
        return [body]

    return respond


def serve(address: str, health: Health) -> WSGIServer | None:
    """Serves at ``HOST:PORT`` on a separate thread; ``off`` for nowhere.

    Returns the server, so that tests can stop it. A port in use only causes a warning.
    """
    if address == "off":
        return None
    try:
        return serve_metrics(address, application(health))
    except OSError as error:
        log.warning(
            "can't listen on the metrics port; set BRIDGE_WORKER_METRICS to another address, or"
            " to off",
            address=address,
            error=str(error),
        )
        return None
