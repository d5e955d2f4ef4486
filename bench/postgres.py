"""PostgreSQL beside SQLite on the same machine, in turn: ingest, last mile; two workers beside one; and what idles."""

from __future__ import annotations

import contextlib
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import backlog, load, processor, writes
from bench.fake_conductor import called, fake_conductor
from bench.figures import Figure, median, spread
from store.open import open_store
from store.records import Decision, NewEvent, NewTarget, Term, new_event_id
from testkit import PATIENCE
from testkit.postgres import Postgres
from testkit.processes import Child, Failed, bridge_environment, free_port, start_relay, start_worker

_CALL = 0.005
"""Seconds until Conductor answers a call."""
DEFINITIONS = f"""webhooks:
  - name: bench
    platform: github
    secret: {load.SECRET}
    starts: [{{workflow: bench}}]
"""


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    rounds: int = 3
    seconds: float = 4.0
    """Of load."""
    calls: int = 1500
    miles: int = 60
    idle: float = 10.0
    """Seconds."""
    lives: int = writes.EVENTS
    """Events whose lives are counted."""
    settling: float = 5.0
    """Seconds until processes that have begun do nothing more of themselves."""


def measure(folder: Path, say: Callable[[str], None], effort: Effort = Effort()) -> list[Figure]:
    """All of it."""
    definitions = folder / "postgres-webhooks.yaml"
    definitions.write_text(DEFINITIONS, encoding="utf-8")
    server = Postgres(durable=True).start()
    try:
        with fake_conductor(folder, _CALL) as (_, conductor):
            place = _Place(folder, definitions, conductor, server, effort)
            say("Measuring: ingest, on PostgreSQL and on SQLite\n")
            found = [ingest(place)]
            say("Measuring: the last mile, on PostgreSQL and on SQLite\n")
            found.append(last_mile(place))
            say("Measuring: two workers beside one\n")
            found.append(two_workers(place))
            say("Measuring: what idles\n")
            found.append(idle(place))
        return found + writes.measure(say, effort.lives)
    finally:
        server.stop()


class _Place:
    """Where bridges run: each call of `environment` is for a store of its own."""

    def __init__(self, folder: Path, definitions: Path, conductor: str, server: Postgres, effort: Effort) -> None:
        self.folder = folder
        self._definitions = definitions
        self.conductor = conductor
        self.effort = effort
        self._server = server

    def environment(self, kind: str) -> dict[str, str]:
        port = free_port()
        url = self._server.new_database("bench") if kind == "postgres" else f"sqlite:///{self.folder}/{port}.db"
        return bridge_environment(
            bridge_webhooks=str(self._definitions),
            bridge_database=url,
            bridge_relay_metrics="off",
            bridge_worker_metrics="off",
            bridge_log_format="json",
            conductor_server_url=f"{self.conductor}/api",
            port=str(port),
        )

    def log(self, name: str) -> Path:
        return self.folder / f"{name}-{free_port()}.log"


def ingest(place: _Place) -> Figure:
    """Deliveries a second, with relays of both kinds up and loaded in turn."""
    environments = {kind: place.environment(kind) for kind in ("sqlite", "postgres")}
    rates: dict[str, list[float]] = {kind: [] for kind in environments}
    relays = [start_relay(environment, place.log("relay")) for environment in environments.values()]
    try:
        for _ in range(place.effort.rounds):
            for kind, environment in environments.items():
                rates[kind].append(load.run(int(environment["PORT"]), "/webhook/bench", place.effort.seconds).rate)
    finally:
        for relay in relays:
            relay.stop()
    ratios = [ours / theirs for ours, theirs in zip(rates["postgres"], rates["sqlite"], strict=True)]
    detail = f"{spread(rates['postgres'], '/s')} against {spread(rates['sqlite'], '/s')}"
    return Figure("postgres", "ingest, beside SQLite", median(ratios), ">= 0.8", detail)


def last_mile(place: _Place) -> Figure:
    """From the relay's answer to the call at Conductor, one event at a time, on each of the two in turn."""
    environments = {kind: place.environment(kind) for kind in ("sqlite", "postgres")}
    times: dict[str, list[float]] = {kind: [] for kind in environments}
    children: list[Child] = []
    try:
        for environment in environments.values():
            children += [
                start_relay(environment, place.log("relay")),
                start_worker(environment, place.log("worker")),
            ]
        time.sleep(place.effort.settling)
        for _ in range(place.effort.miles):
            for kind, environment in environments.items():
                before = called(place.conductor)
                answered = deliver(int(environment["PORT"]))
                _until(lambda before=before: called(place.conductor) > before, 0.0005)  # type: ignore[misc]
                times[kind].append((time.monotonic() - answered) * 1000)
                time.sleep(0.05)
    finally:
        for child in reversed(children):
            child.stop()
    ratio = median(times["postgres"]) / median(times["sqlite"])
    detail = f"{median(times['postgres']):.3g} ms against {median(times['sqlite']):.3g}"
    return Figure("postgres", "last mile, beside SQLite", ratio, "<= 1.5", detail)


def two_workers(place: _Place) -> Figure:
    """Calls a second of two workers on one store beside those of one, Conductor answering after five milliseconds."""
    rates = {number: [_rate(place, number) for _ in range(place.effort.rounds)] for number in (1, 2)}
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    detail = f"{spread(rates[2], '/s')} against {spread(rates[1], '/s')}"
    return Figure("postgres", "calls of two workers, beside one", median(ratios), ">= 1.7", detail)


def _rate(place: _Place, workers: int) -> float:
    environment = place.environment("postgres")
    store = open_store(environment["BRIDGE_DATABASE"])
    assert store.leadership.elect("bench", 60)
    now, calls = store.now(), place.effort.calls
    for first in range(0, calls, 500):
        ids = [new_event_id() for _ in range(min(500, calls - first))]
        backlog.append(store, [NewEvent(id_, "bench", now, '{"a": 1}', {}, {}, now, delivery_id=id_) for id_ in ids])
        made = [Decision(id_, "pending", "no", (NewTarget("start", "bench", correlation_id=id_),)) for id_ in ids]
        store.decisions.decide(Term("bench"), made, [], now, None, 0)
    store.leadership.resign(Term("bench"))
    store.close()
    before = called(place.conductor)
    children = [start_worker(environment, place.log("worker")) for _ in range(workers)]
    try:
        _until(lambda: called(place.conductor) >= before + calls // 10, 0.01)
        began, first_seen = time.monotonic(), called(place.conductor)
        _until(lambda: called(place.conductor) >= before + calls * 9 // 10, 0.01)
        return (called(place.conductor) - first_seen) / (time.monotonic() - began)
    finally:
        for child in children:
            child.stop()


def idle(place: _Place) -> Figure:
    """Parts of a core that the busiest process takes while nothing comes."""
    environment = place.environment("postgres")
    relay = start_relay(environment, place.log("relay"))
    workers = [start_worker(environment, place.log("worker")) for _ in range(2)]
    try:
        time.sleep(place.effort.settling)
        pids = [pid for child in (relay, *workers) for pid in processor.family(child.pid)]
        before = {pid: processor.seconds(pid) for pid in pids}
        time.sleep(place.effort.idle)
        shares = {pid: 100 * (processor.seconds(pid) - before[pid]) / place.effort.idle for pid in pids}
    finally:
        for child in (relay, *workers):
            child.stop()
    return Figure("postgres", "idle: % of a core, the busiest process", max(shares.values()), "<= 1")


def _until(condition: Callable[[], bool], nap: float) -> None:
    """Raises Failed if that takes minutes."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise Failed("the workers call nothing at the fake Conductor")
        time.sleep(nap)


def deliver(port: int) -> float:
    """Posts one delivery; when it was answered."""
    data = load.request("/webhook/bench", new_event_id())
    head, _, body = data.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    request = urllib.request.Request(f"http://127.0.0.1:{port}/webhook/bench", body, headers)
    with contextlib.closing(urllib.request.urlopen(request, timeout=PATIENCE)) as answer:
        answer.read()
    return time.monotonic()
