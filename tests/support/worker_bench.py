"""A bench for tests of the loop: workers on one store and one simulated Conductor."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.webhooks import Definitions, Webhook
from store.records import NewEvent
from store.sqlite import SqliteStore, open_store
from tests.support.settings import settings_with
from tests.support.simulated import SimulatedConductor
from worker.context import Context
from worker.health import Health
from worker.leader.leader import Leader, Tuning
from worker.leader.worker import Worker


class Watcher:
    """Definitions that a test changes."""

    def __init__(self) -> None:
        self.current = Definitions(
            (Webhook.model_validate({"name": "w", "receivers": {"flow": "any"}}),)
        )
        self.forced = self.checked = 0

    def check(self) -> bool:
        self.checked += 1
        return False

    def force(self) -> None:
        self.forced += 1


TUNING = Tuning(once_key_gap=0)


class Bench:
    """Workers on one store and one simulated Conductor."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store: SqliteStore = open_store(f"sqlite:///{folder}/bridge.db")
        self.conductor = SimulatedConductor(
            lambda: int(time.time() * 1000), known=frozenset({"flow"})
        )
        self.source = Watcher()
        self.clock: Any = time
        self.conductor_url = "http://localhost:8080/api"
        self.made: list[Worker] = []

    def worker(self) -> Worker:
        made = settings_with(
            bridge_database=f"sqlite:///{self.folder}/bridge.db",
            bridge_poll_interval="50ms",
            bridge_discovery_interval="100ms",
            conductor_server_url=self.conductor_url,
        )
        source: Any = self.source
        conductor: Any = self.conductor
        context = Context(
            made, self.store, conductor, source, Health(self.store.leadership), self.clock
        )
        worker = Worker(context, tuning=TUNING)
        self.made.append(worker)
        return worker

    def deciding(self) -> Worker:
        worker = self.worker()
        assert worker.elect()
        return worker

    def wait(self) -> str:
        return self.conductor.schedule(self.conductor.begin("flow").id, "wait", {}).id

    def arrive(self, id_: str = "event") -> None:
        now = int(time.time() * 1000)
        self.store.deliveries.append([NewEvent(id_, "w", now, "{}", {}, {}, now + 600_000)])

    def state(self, task_id: str) -> str | None:
        task = self.store.queries.task(task_id)
        return task.state if task else None

    def close(self) -> None:
        for worker in self.made:
            worker.end_term()
            worker.close()
        self.store._connections.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def leader_of(worker: Worker) -> Leader:
    assert worker.leader is not None
    return worker.leader
