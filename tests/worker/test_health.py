"""The worker says over HTTP whether it is alive and ready."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from store.errors import StoreUnavailable
from tests.support.clock import Clock
from tools.servers import PATIENCE
from worker import health
from worker.health import STANDSTILL, STUCK_AFTER, Health, Progress, serve


class Worker:
    """A worker's health under a clock of its own, served on a free port."""

    def __init__(self) -> None:
        self.clock = Clock(1000.0)
        self.store_error: Exception | None = None
        self.health = Health(self, self.clock)  # type: ignore[arg-type]
        self.server = serve("127.0.0.1:0", self.health)
        assert self.server is not None
        self.port = self.server.server_port

    def leader(self) -> None:
        if self.store_error:
            raise self.store_error

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE) as answer:
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
    worker.clock.seconds += STUCK_AFTER
    assert worker.get("/healthz") == (200, '{"status": "ok"}')
    assert worker.status("/readyz") == 200


def test_a_thread_that_is_stuck_is_named_until_it_gets_on(worker: Worker) -> None:
    worker.health.beat("the loop")
    worker.health.beat("the executor")
    worker.clock.seconds += STUCK_AFTER + 1
    worker.health.beat("the executor")
    status, text = worker.get("/healthz")
    assert (status, json.loads(text)["problems"]) == (503, ["the loop is stuck"])
    assert worker.status("/readyz") == 503
    worker.health.beat("the loop")
    assert worker.status("/healthz") == worker.status("/readyz") == 200


def test_a_thread_goes_on_after_an_unforeseen_error_and_counts_as_stuck_while_it_fails(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_AFTER_BUG", 0)
    passes = [True, False, False, True]
    seen: list[list[str]] = []

    def is_over() -> bool:
        seen.append(worker.health.stuck())
        return not passes

    def once() -> None:
        worker.clock.seconds += STUCK_AFTER
        if not passes.pop(0):
            raise RuntimeError("a bug")

    worker.health.keep_on("the thread", is_over, once)
    assert seen == [[], [], [], ["the thread"], []]


def test_without_its_store_a_worker_is_alive_and_not_ready(worker: Worker) -> None:
    worker.store_error = StoreUnavailable("the disk is gone")
    assert worker.status("/healthz") == 200
    status, text = worker.get("/readyz")
    assert status == 503
    assert "the disk is gone" in text


def test_a_worker_in_which_nothing_moves_that_is_overdue_is_alive_and_not_ready(
    worker: Worker,
) -> None:
    for _ in range(2):
        worker.health.progress.leads()
        worker.health.progress.see(["event 1"])
        assert worker.status("/readyz") == 200
        worker.clock.seconds += STANDSTILL - 1
    worker.health.progress.leads()
    worker.clock.seconds += 1
    status, text = worker.get("/readyz")
    assert status == 503
    assert "nothing was decided or called for 1" in text
    assert worker.status("/healthz") == 200, (
        "it isn't restarted: another error wouldn't be mended by that"
    )
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


# --- progress ---


class Overdue:
    """A worker's progress, which looks every ten seconds at what is overdue."""

    def __init__(self) -> None:
        self.clock = Clock(1000.0)
        self.progress = Progress(self.clock)
        self.progress.leads()

    def later(self, seconds: float, *overdue: str) -> float:
        """What the progress says after this time, in which it looked every ten seconds."""
        end = self.clock.seconds + seconds
        while self.clock.seconds < end:
            self.clock.seconds += 10
            self.progress.leads()
            self.progress.see(overdue)
        return self.progress.stuck_for


@pytest.fixture
def overdue() -> Overdue:
    return Overdue()


def test_it_is_stuck_when_what_is_overdue_stays_so(overdue: Overdue) -> None:
    assert overdue.later(10, "event 1", "target 2 0") == 0
    assert overdue.later(STANDSTILL - 20, "event 1", "target 2 0") == 0
    assert overdue.later(10, "event 1", "target 2 0", "event 9") >= STANDSTILL
    assert overdue.later(STANDSTILL, "event 1", "target 2 0", "event 9") >= 2 * STANDSTILL - 10


def test_it_is_not_stuck_while_anything_moves(overdue: Overdue) -> None:
    for number in range(100):
        assert overdue.later(30, "event 1", f"target 2 {number}") == 0


def test_it_is_not_stuck_without_anything_overdue(overdue: Overdue) -> None:
    overdue.later(2 * STANDSTILL, "event 1")
    assert overdue.later(10) == 0
    assert overdue.later(10 * STANDSTILL) == 0
    assert overdue.later(STANDSTILL - 10, "event 1") == 0


def test_only_the_worker_that_decides_says_so_or_that_did_a_moment_ago(overdue: Overdue) -> None:
    assert overdue.later(2 * STANDSTILL, "event 1") > 0
    overdue.clock.seconds += STANDSTILL - 1
    assert overdue.progress.stuck_for > 0, "its terms may end as they begin"
    overdue.clock.seconds += 1
    assert overdue.progress.stuck_for == 0
