"""What only a real Conductor server can show: the last mile, throughput, start-up and a soak."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conductor.client.configuration.configuration import Configuration
from conductor.client.http.api.task_resource_api import TaskResourceApi
from conductor.client.http.api_client import ApiClient

from store.records import NewEvent, Task, Term, new_event_id
from store.sqlite import open_store
from tools.bench.figures import Figure, median, spread
from tools.bench.full_store import FINISHED, fill
from tools.servers import PATIENCE
from tools.servers.client import Conductor, wait_for, wait_for_webhook
from tools.servers.conductor import ConductorServer
from tools.servers.processes import (
    Child,
    bridge_environment,
    children_of,
    free_port,
    start_relay,
    start_worker,
)

SECRET = "bench-secret-0123456789"
THREADS = 16
SOAK_RATE = 300
_DEFINITIONS = f"""webhooks:
  - name: bench
    signature: {{secret: {SECRET}, header: X-Signature}}
    receivers: {{bench_waits: any}}
    hold: HOLD
"""


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    last_miles: int = 60
    tasks: int = 500
    """Of one round of throughput."""
    rounds: int = 3
    stored: int = 100_000
    """Tasks and held events that a worker finds as it begins."""
    finished: int = FINISHED
    """Events of a full store."""
    soak_events: int = 18_000
    """Five a second for an hour."""


class Bridge:
    """Relay and worker, as they are shipped, with a store of their own."""

    def __init__(self, folder: Path, url: str, hold: str = "10m", **settings: str):
        folder.mkdir()
        definitions = folder / "webhooks.yaml"
        definitions.write_text(_DEFINITIONS.replace("HOLD", hold), encoding="utf-8")
        self.folder = folder
        self.database = folder / "bridge.db"
        self.environment = bridge_environment(
            bridge_webhooks=str(definitions),
            bridge_database=f"sqlite:///{self.database}",
            bridge_relay_metrics="off",
            bridge_worker_metrics="off",
            conductor_server_url=url,
            port=str(free_port()),
            **settings,
        )
        self.port = int(self.environment["PORT"])
        self.relay: Child | None = None
        self.worker: Child | None = None
        self._senders: list[Sender] = []

    def start(self) -> Bridge:
        self.relay = start_relay(self.environment, self.folder / "relay.log")
        self.worker = start_worker(self.environment, self.folder / "worker.log")
        return self

    def sender(self) -> Sender:
        """A new one, for one thread."""
        self._senders.append(Sender(self.port))
        return self._senders[-1]

    def stop(self) -> None:
        for sender in self._senders:
            sender.close()
        for child in (self.worker, self.relay):
            if child is not None:
                child.stop()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=10) as connection:
            return connection.execute(sql).fetchall()

    def waiting(self) -> int:
        """The tasks of this program's workflows that wait."""
        sql = "SELECT count(*) FROM tasks WHERE state = 'waiting' AND workflow IN ('bench_waits', 'bench_bare')"
        return int(self.query(sql)[0][0])


class Sender:
    """Posts signed events on one connection."""

    def __init__(self, port: int):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    def send(self, payload: dict[str, Any]) -> float:
        """Posts the event; when its answer was there, in Unix seconds."""
        body = json.dumps(payload).encode()
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Signature": signature}
        self._connection.request("POST", "/webhook/bench", body, headers)
        answer = self._connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        return time.time()


def measure(folder: Path, say: Callable[[str], None]) -> list[Figure]:
    """Starts a server and measures on it."""
    server = ConductorServer(folder / "conductor", say=say)
    server.start()
    try:
        return measure_on(server.url, folder, say)
    finally:
        server.stop()


def measure_on(
    url: str, folder: Path, say: Callable[[str], None], effort: Effort = Effort()
) -> list[Figure]:
    """Measures on the server with that API."""
    conductor = Conductor(url)
    _register(conductor)
    figures: list[Figure] = []
    for name, part in (
        ("last mile", last_mile),
        ("last mile, full store", last_mile_on_a_full_store),
        ("throughput", throughput),
        ("start-up", start_up),
        ("soak", soak),
    ):
        say(f"Measuring: {name}\n")
        bridge = Bridge(
            folder / name.replace(",", "").replace(" ", "-"), url, **_SETTINGS.get(name, {})
        )
        try:
            figures += part(bridge, conductor, effort)
        finally:
            bridge.stop()
    empty, full = figures[:2]
    what = f"with {effort.finished:,} old events / with none"
    return [*figures, Figure("last mile", what, full.value / empty.value, "<= 1.3")]


def _register(conductor: Conductor) -> None:
    matches = {"$.kind": "bench", "$.number": "${workflow.input.number}"}
    for name in ("bench_waits", "bench_bare"):
        conductor.register(name, [wait_for_webhook("wait_ref", matches)])


_SETTINGS = {"soak": {"hold": "2s", "bridge_retention": "5s"}}


def bare_completion(url: str) -> Callable[[str, str], None]:
    """What a worker of conductor-python does to complete a task by its reference name."""
    api = TaskResourceApi(ApiClient(Configuration(server_api_url=url)))

    def complete(workflow_id: str, number: str) -> None:
        api.update_task1({"kind": "bench", "number": number}, workflow_id, "wait_ref", "COMPLETED")

    return complete


def last_mile_on_a_full_store(bridge: Bridge, conductor: Conductor, effort: Effort) -> list[Figure]:
    """The same with two million finished events and a hundred thousand other tasks that wait."""
    fill(f"sqlite:///{bridge.database}", effort.finished, effort.stored)
    what = f"answer to completion / one bare completion, with {effort.finished:,} old events"
    return last_mile(bridge, conductor, effort, what)


def last_mile(
    bridge: Bridge,
    conductor: Conductor,
    effort: Effort,
    what: str = "answer to completion / one bare completion",
) -> list[Figure]:
    """From the relay's answer to the workflow's end, beside one completion with the plain client;
    in turn."""
    bridge.start()
    sender = bridge.sender()
    complete = bare_completion(conductor.url)
    ours, bare = [], []
    for _ in range(effort.last_miles):
        number = uuid.uuid4().hex
        ids = {name: conductor.start(name, number=number) for name in ("bench_waits", "bench_bare")}
        wait_for(lambda: bridge.waiting() == 2, "the worker knows both tasks", every=0.02)
        time.sleep(0.1)
        answered = sender.send({"kind": "bench", "number": number})
        ended = conductor.wait_for_status(ids["bench_waits"])["endTime"]
        ours.append(ended - 1000 * answered)
        time.sleep(0.1)
        began = time.time()
        complete(ids["bench_bare"], number)
        bare.append(1000 * (time.time() - began))
        wait_for(lambda: _forget(bridge), "the store forgets the bare task")
    details = f"{spread(ours, ' ms')} against {spread(bare, ' ms')}"
    return [Figure("last mile", what, median(ours) / median(bare), "<= 4", details)]


def _forget(bridge: Bridge) -> bool:
    """Takes the bare task out of the count of waiting tasks: the worker will find out by itself,
    but later."""
    with sqlite3.connect(bridge.database, timeout=10) as connection:
        connection.execute(
            "UPDATE tasks SET state = 'gone' WHERE workflow = 'bench_bare' AND state = 'waiting'"
        )
    return bridge.waiting() == 0


def throughput(bridge: Bridge, conductor: Conductor, effort: Effort) -> list[Figure]:
    """500 waiting tasks and 500 events at once, beside a bare pool of as many completions; three
    times, in turn."""
    bridge.start()
    complete = bare_completion(conductor.url)
    ours, bare = [], []
    for _ in range(effort.rounds):
        numbers = [uuid.uuid4().hex for _ in range(effort.tasks)]
        with ThreadPoolExecutor(8) as pool:
            ids = list(
                pool.map(lambda number: conductor.start("bench_bare", number=number), numbers)
            )
        began = time.perf_counter()
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(complete, ids, numbers))
        bare.append(effort.tasks / (time.perf_counter() - began))
        _forget(bridge)
        with ThreadPoolExecutor(8) as pool:
            ids = list(
                pool.map(lambda number: conductor.start("bench_waits", number=number), numbers)
            )
        wait_for(
            lambda: (
                bridge.query(
                    "SELECT count(*) FROM tasks WHERE workflow = 'bench_waits' AND state = 'waiting'"
                )[0][0]
                == effort.tasks
            ),
            "all tasks wait",
        )
        began_at = time.time()
        with ThreadPoolExecutor(8) as pool:
            local = threading.local()

            def send(number: str, local: threading.local = local) -> None:
                if not hasattr(local, "sender"):
                    local.sender = bridge.sender()
                local.sender.send({"kind": "bench", "number": number})

            list(pool.map(send, numbers))
        wait_for(
            lambda: (
                bridge.query("SELECT count(*) FROM events WHERE status != 'delivered'")[0][0] == 0
            ),
            "all delivered",
            timeout=120,
        )
        last = max(
            conductor.call("GET", f"/workflow/{workflow_id}?includeTasks=false")["endTime"]
            for workflow_id in ids
        )
        ours.append(effort.tasks / (last / 1000 - began_at))
    ratio = median([one / other for one, other in zip(ours, bare, strict=True)])
    details = f"{spread(ours, '/s')} against {spread(bare, '/s')}"
    return [
        Figure(
            "throughput", f"{effort.tasks} events / a bare pool's rate", ratio, ">= 0.8", details
        )
    ]


def start_up(bridge: Bridge, conductor: Conductor, effort: Effort) -> list[Figure]:
    """From the worker's start to its first decision, with 100,000 stored waiting tasks and as many
    held events."""
    store = open_store(f"sqlite:///{bridge.database}")
    now = int(time.time() * 1000)
    store.leadership.elect("bench", 60)
    for first in range(0, effort.stored, 1000):
        tasks = [
            Task(
                f"t{n}",
                f"w{n}",
                "bench_waits",
                "wait_ref",
                {"$.kind": "other", "$.number": n},
                now - 1000,
            )
            for n in range(first, min(first + 1000, effort.stored))
        ]
        store.tasks.adopt(Term("bench"), tasks, now)
    text = "x" * 300
    for first in range(0, effort.stored, 200):
        store.deliveries.append(
            [
                NewEvent(
                    new_event_id(),
                    "bench",
                    now,
                    json.dumps({"kind": "bench", "number": n, "text": text}),
                    {},
                    {},
                    now + 3_600_000,
                )
                for n in range(first, min(first + 200, effort.stored))
            ]
        )
    with sqlite3.connect(bridge.database, timeout=10) as connection:
        # Faster than by decisions.
        connection.execute("UPDATE events SET held = 1, decided_at = received_at")
    store.leadership.resign(Term("bench"))
    event = NewEvent(
        new_event_id(), "bench", now + 1, json.dumps({"kind": "new"}), {}, {}, now + 3_600_000
    )
    store.deliveries.append([event])
    began = time.perf_counter()
    bridge.worker = start_worker(bridge.environment, bridge.folder / "worker.log")

    def decided() -> bool:
        found = store.queries.event(event.id)
        return found is not None and found.decided_at is not None

    wait_for(decided, "the first decision", timeout=120, every=0.02)
    seconds = time.perf_counter() - began
    what = f"seconds until a worker with {effort.stored:,} tasks and events decides"
    return [Figure("start-up", what, seconds, "<= 10")]


def soak(bridge: Bridge, conductor: Conductor, effort: Effort) -> list[Figure]:
    """An hour's worth of events: memory, file handles and the database half-way and at the end."""
    bridge.start()
    assert bridge.relay is not None and bridge.worker is not None
    groups = {"relay": bridge.relay.pid, "worker": bridge.worker.pid}
    sender = bridge.sender()
    early: dict[str, float] = {}
    began = time.perf_counter()
    for number in range(effort.soak_events):
        sender.send({"kind": "soak", "number": number, "text": "x" * 500})
        if number == effort.soak_events // 2:
            early = _footprint(groups, bridge.database)
        ahead = number / SOAK_RATE - (time.perf_counter() - began)
        if ahead > 0:
            time.sleep(ahead)
    late = _footprint(groups, bridge.database)
    return [
        Figure(
            "soak",
            f"{name}, at the end / half-way",
            late[name] / early[name],
            "<= 1.25",
            f"{late[name]:.0f} at the end",
        )
        for name in early
    ]


def _footprint(groups: dict[str, int], database: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, leader in groups.items():
        pids = [leader, *children_of(leader)]
        memory = [
            int(line.split()[1])
            for pid in pids
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if line.startswith("VmRSS")
        ]
        found[f"{name}'s memory (KB)"] = sum(memory)
        found[f"{name}'s file handles"] = sum(
            len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids
        )
    found["database and its log (KB)"] = sum(
        file.stat().st_size / 1024
        for file in database.parent.glob(f"{database.name}*")
        if file.is_file()
    )
    return found
