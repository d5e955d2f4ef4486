"""The worker says over HTTP whether it is alive and ready."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from store.protocols import StoreUnavailable
from worker.health import STUCK_AFTER, Health, serve
from worker.progress import STANDSTILL


class Worker:
    """A worker's health under a clock of its own, served on a free port."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.store_error: Exception | None = None
        self.health = Health(self.check_store, lambda: self.now)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.server = serve(f"127.0.0.1:{self.port}", self.health)
        assert self.server is not None

    def check_store(self) -> None:
        if self.store_error:
            raise self.store_error

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def status(self, path: str) -> int:
        return self.get(path)[0]


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    assert worker.server is not None
    worker.server.shutdown()
    worker.server.server_close()


def test_a_worker_whose_threads_get_on_is_alive_and_ready(worker: Worker) -> None:
    worker.health.beat("the loop")
    worker.now += STUCK_AFTER
    assert worker.get("/healthz") == (200, '{"status": "ok"}')
    assert worker.status("/readyz") == 200


def test_a_thread_that_is_stuck_is_named_until_it_gets_on(worker: Worker) -> None:
    worker.health.beat("the loop")
    worker.health.beat("the caller")
    worker.now += STUCK_AFTER + 1
    worker.health.beat("the caller")
    status, text = worker.get("/healthz")
    assert (status, json.loads(text)["problems"]) == (503, ["the loop is stuck"])
    assert worker.status("/readyz") == 503
    worker.health.beat("the loop")
    assert worker.status("/healthz") == worker.status("/readyz") == 200


def test_without_its_store_a_worker_is_alive_and_not_ready(worker: Worker) -> None:
    worker.store_error = StoreUnavailable("the disk is gone")
    assert worker.status("/healthz") == 200
    status, text = worker.get("/readyz")
    assert status == 503
    assert "the disk is gone" in text


def test_a_worker_in_which_nothing_moves_that_is_overdue_is_alive_and_not_ready(worker: Worker) -> None:
    for _ in range(2):
        worker.health.progress.decides()
        worker.health.progress.see(["event 1"])
        assert worker.status("/readyz") == 200
        worker.now += STANDSTILL - 1
    worker.health.progress.decides()
    worker.now += 1
    status, text = worker.get("/readyz")
    assert status == 503
    assert "nothing was decided or called for 1" in text
    assert worker.status("/healthz") == 200, "it isn't restarted: another error wouldn't be mended by that"
    worker.health.progress.see(["event 2"])
    assert worker.status("/readyz") == 200


def test_metrics_are_served_beside_it(worker: Worker) -> None:
    status, text = worker.get("/metrics")
    assert status == 200
    assert "bridge_" in text or "python_info" in text


def test_an_address_that_is_taken_is_only_worth_a_warning(worker: Worker) -> None:
    assert serve(f"127.0.0.1:{worker.port}", worker.health) is None


def test_off_serves_nothing(worker: Worker) -> None:
    assert serve("off", worker.health) is None
