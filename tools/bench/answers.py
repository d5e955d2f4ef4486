"""How soon senders that wait for a workflow are answered after its end, by the clock of a real
Conductor server."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.bench.figures import Figure
from tools.servers.backends import chosen_kind, new_conductor
from tools.servers.client import Conductor
from tools.servers.postgres import Postgres
from tools.servers.processes import Failed, bridge_environment, free_port, start_relay, start_worker

TOKEN = "bench-secret-0123456789"
_WORKFLOW = "bench_answers"
_DEFINITIONS = f"""webhooks:
  - name: ask
    headers: {{X-Token: {TOKEN}}}
    starts: [{{workflow: {_WORKFLOW}}}]
    respond: {{wait: 60s, output: $.id}}
"""
GOAL = 200
"""Milliseconds."""


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    at_a_time: int = 100
    seconds: float = 30.0
    """For how long senders send."""
    lasts: int = 3
    """Seconds that a workflow lasts."""
    warm_up: float = 20.0
    """Seconds of the same that don't count."""


def measure(folder: Path, say: Callable[[str], None], effort: Effort = Effort()) -> list[Figure]:
    """Starts a server and measures on it, with each store."""
    server = new_conductor(folder / "conductor", say=say)
    server.start()
    try:
        return measure_on(server.url, folder, say, effort)
    finally:
        server.stop()


def measure_on(
    url: str, folder: Path, say: Callable[[str], None], effort: Effort = Effort()
) -> list[Figure]:
    """Measures on the server with that API."""
    conductor = Conductor(url)
    wait = {
        "name": "wait",
        "taskReferenceName": "wait",
        "type": "WAIT",
        "inputParameters": {"duration": f"{effort.lasts} seconds"},
    }
    conductor.register(_WORKFLOW, [wait], outputParameters={"id": "${workflow.workflowId}"})
    postgres = Postgres(durable=True).start()
    try:
        found = []
        for kind, database in (
            ("sqlite", f"sqlite:///{folder}/answers.db"),
            ("postgres", postgres.new_database("answers")),
        ):
            say(f"Measuring: answers, the store on {kind}\n")
            found.append(_measure_with(kind, database, url, conductor, folder, effort))
        return found
    finally:
        postgres.stop()


def _measure_with(
    kind: str,
    database: str,
    url: str,
    conductor: Conductor,
    folder: Path,
    effort: Effort,
) -> Figure:
    definitions = folder / "answers.yaml"
    definitions.write_text(_DEFINITIONS, encoding="utf-8")
    environment = bridge_environment(
        bridge_webhooks=str(definitions),
        bridge_database=database,
        bridge_relay_metrics="off",
        bridge_worker_metrics="off",
        conductor_server_url=url,
        port=str(free_port()),
    )
    relay = start_relay(environment, folder / f"answers-relay-{kind}.log")
    worker = start_worker(environment, folder / f"answers-worker-{kind}.log")
    try:
        senders = _Senders(int(environment["PORT"]), effort)
        answers = senders.run()
    finally:
        worker.stop()
        relay.stop()
    ended_at = {workflow_id: _ended_at(conductor, workflow_id) for _, workflow_id in answers}
    late = sorted(1000 * at - ended_at[workflow_id] for at, workflow_id in answers)
    if not late or senders.failures:
        raise Failed(
            f"of the senders that waited, {len(senders.failures)} got no answer: {senders.failures[:3]}"
        )
    median, p95, p99 = (late[int(len(late) * share)] for share in (0.5, 0.95, 0.99))
    details = f"{len(late)} answers: median {median:.0f}, 95 % {p95:.0f}, 99 % {p99:.0f}, worst {late[-1]:.0f} ms"
    what = f"answer after a workflow's end, {effort.at_a_time} at a time, {kind}, Conductor on {chosen_kind()}: ms (95 %)"
    return Figure("answers", what, p95, f"<= {GOAL}", details)


def _ended_at(conductor: Conductor, workflow_id: str) -> float:
    found: dict[str, Any] = conductor.call("GET", f"/workflow/{workflow_id}?includeTasks=false")
    return float(found["endTime"])


class _Senders:
    """Each sends as soon as it has its answer, on a connection of its own."""

    def __init__(self, port: int, effort: Effort) -> None:
        self._port = port
        self._effort = effort
        self.failures: list[str] = []
        self._answers: list[tuple[float, str]] = []
        self._begin = time.monotonic() + effort.warm_up
        self._end = self._begin + effort.seconds

    def run(self) -> list[tuple[float, str]]:
        """When each answer was there, in Unix seconds, and what it said."""
        threads = [
            threading.Thread(target=self._send, args=(number,))
            for number in range(self._effort.at_a_time)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self._answers

    def _send(self, number: int) -> None:
        # Spread over the time that a workflow lasts: otherwise they would start and end together.
        time.sleep(self._effort.lasts * number / self._effort.at_a_time)
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=90)
        count = 0
        while (sent := time.monotonic()) < self._end:
            count += 1
            body = json.dumps({"sender": number, "count": count})
            connection.request(
                "POST", "/webhook/ask", body, {"X-Token": TOKEN, "Content-Type": "application/json"}
            )
            answer = connection.getresponse()
            text = answer.read().decode()
            at = time.time()
            if answer.status != 200:
                self.failures.append(f"{answer.status} {text[:200]}")
            elif sent >= self._begin:
                self._answers.append((at, text))
        connection.close()
