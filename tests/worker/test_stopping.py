"""A real worker ends soon after SIGTERM, whatever hangs, and leaves nothing behind that others
don't find."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from unittest import mock

import pytest

from config.process import WakeUp
from store.open import open_store
from store.records import Decision, NewEvent, NewTarget
from store.sql.store import Store
from tests.support.deciding import decide as decide_all
from tests.support.makers import ME
from tests.support.stand_in import Answer, Request, StandIn
from tools.servers import PATIENCE
from tools.servers.processes import Child, bridge_environment
from tools.servers.proxy import Proxy
from worker.__main__ import end_after

pytestmark = pytest.mark.slow


class Stopped:
    """A worker, its store with one start to be made, and the means to stop it."""

    def __init__(self, folder: Path, database: str, hanging: str = "") -> None:
        """The calls of Conductor whose method and path fit `hanging` get no answer."""
        self.folder = folder
        self.hung, self.answered = threading.Event(), threading.Event()
        self.conductor = StandIn()
        self.conductor.answers = [partial(self.answer, hanging)]
        self.database = database
        (folder / "webhooks.yaml").write_text(
            "webhooks: [{name: w, headers: {X-Key: a-secret-value-of-length}, receivers: {flow: any}}]"
        )
        self.store: Store = open_store(database)
        now = self.store.now()
        self.store.deliveries.append([NewEvent("event", "w", now, "{}", {}, {}, now)])
        assert self.store.leadership.elect("me", 60)
        decision = Decision(
            "event", "pending", "no", (NewTarget("start", "flow", correlation_id="event"),)
        )
        decide_all(self.store, ME, [decision], now, 0)
        self.store.leadership.resign(ME)
        self.worker: Child | None = None

    def answer(self, hanging: str, asked: Request) -> Answer:
        """What a Conductor without tasks says."""
        if hanging and re.search(hanging, f"{asked.method} {asked.path}"):
            self.hung.set()
            time.sleep(3600)  # longer than `PATIENCE`: whoever waits for the answer never stops
        self.answered.set()
        return Answer({} if "correlated" in asked.path or "search" in asked.path else [])

    def start(self, database: str | None = None) -> None:
        environment = bridge_environment(
            bridge_webhooks=str(self.folder / "webhooks.yaml"),
            bridge_database=database or self.database,
            conductor_server_url=self.conductor.url,
            bridge_call_timeout="1h",
            bridge_worker_metrics="off",
        )
        log = self.folder / "worker.log"
        self.worker = Child("the worker", [sys.executable, "-m", "worker"], log, environment)

    def wait_until(self, condition: Callable[[], object]) -> None:
        assert self.worker is not None
        self.worker.wait_until(lambda: bool(condition()), timeout=PATIENCE)

    def stop(self) -> int:
        """Its exit code. Raises TimeoutExpired if it waits for what hangs."""
        assert self.worker is not None
        self.worker.signal(signal.SIGTERM)
        return self.worker.process.wait(PATIENCE)

    def end(self) -> None:
        if self.worker is not None:
            self.worker.kill()
        self.conductor.stop()
        self.store.close()


@pytest.fixture
def new(tmp_path: Path) -> Iterator[Callable[..., Stopped]]:
    made: list[Stopped] = []

    def make(database: str = "", hanging: str = "") -> Stopped:
        made.append(Stopped(tmp_path, database or f"sqlite:///{tmp_path}/bridge.db", hanging))
        return made[-1]

    yield make
    for one in made:
        one.end()


def test_a_conductor_that_answers_nothing_holds_it_up_only_so_long(
    new: Callable[..., Stopped],
) -> None:
    stopped = new(hanging=".")
    stopped.start()
    stopped.wait_until(stopped.hung.is_set)
    assert stopped.stop() == 0


@pytest.mark.parametrize("how", ["away", "frozen"])
def test_a_postgresql_that_is_away_or_answers_nothing_holds_it_up_only_so_long(
    new: Callable[..., Stopped], postgres_url: str, how: str
) -> None:
    port = int(re.search(r":(\d+)/", postgres_url)[1])  # type: ignore[index]
    proxy = Proxy(port)
    proxy.open()
    stopped = new(postgres_url)
    stopped.start(postgres_url.replace(f":{port}/", f":{proxy.port}/"))
    stopped.wait_until(stopped.answered.is_set)
    try:
        if how == "away":
            proxy.close()
            worker = stopped.worker
            assert worker is not None
            stopped.wait_until(lambda: "PostgreSQL" in worker.output())
        else:
            proxy.freeze()
        try:
            assert stopped.stop() == 0
        except subprocess.TimeoutExpired:
            pytest.fail("it waits for the store")
    finally:
        proxy.thaw()
        proxy.close()


def test_a_process_that_never_ends_is_ended_nine_seconds_after_the_signal() -> None:
    signalled = WakeUp()
    signalled.ring()
    with mock.patch("os._exit") as leave, mock.patch("worker.__main__.time") as module:
        end_after(signalled)
    leave.assert_called_once_with(0)
    module.sleep.assert_called_once_with(9.0)
