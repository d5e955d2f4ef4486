"""A real worker ends soon after SIGTERM, whatever hangs, and leaves nothing behind that others don't find."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from store.open import open_store
from store.records import Decision, NewEvent, NewTarget
from store.sql.store import Store
from testkit import PATIENCE
from testkit.processes import Child, bridge_environment
from testkit.proxy import Proxy
from tests.store.contract.makers import ME
from worker.__main__ import HardStop

pytestmark = pytest.mark.slow


class StandIn(ThreadingHTTPServer):
    """A Conductor without tasks; the calls of `hanging` paths get no answer."""

    daemon_threads = True

    def __init__(self, hanging: str) -> None:
        self.hung = threading.Event()
        self.answered = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            server: StandIn

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                if hanging and re.search(hanging, f"{self.command} {self.path}"):
                    self.server.hung.set()
                    time.sleep(3600)  # longer than `PATIENCE`: whoever waits for the answer never stops
                body = json.dumps({} if "correlated" in self.path or "search" in self.path else []).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                self.server.answered.set()

            do_POST = do_PUT = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/api"


class Stopped:
    """A worker, its store with one start to be made, and the means to stop it."""

    def __init__(self, folder: Path, database: str, hanging: str = "") -> None:
        self.folder = folder
        self.conductor = StandIn(hanging)
        self.database = database
        (folder / "webhooks.yaml").write_text(
            "webhooks: [{name: w, headers: {X-Key: a-secret-value-of-length}, receivers: {flow: any}}]"
        )
        self.store: Store = open_store(database)
        now = self.store.now()
        self.store.deliveries.append([NewEvent("event", "w", now, "{}", {}, {}, now)])
        assert self.store.leadership.elect("me", 60)
        decision = Decision("event", "pending", "no", (NewTarget("start", "flow", correlation_id="event"),))
        self.store.decisions.decide(ME, [decision], [], now, 0)
        self.store.leadership.resign(ME)
        self.worker: Child | None = None

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

    def state(self) -> str:
        [target] = self.store.queries.targets_of(["event"])
        return target.state

    def end(self) -> None:
        if self.worker is not None:
            self.worker.kill()
        self.conductor.shutdown()
        self.conductor.server_close()
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


def test_a_call_that_hangs_is_left_to_be_looked_up(new: Callable[..., Stopped]) -> None:
    stopped = new(hanging="POST /api/workflow$")
    stopped.start()
    stopped.wait_until(stopped.conductor.hung.is_set)
    assert stopped.stop() == 0
    assert stopped.state() == "claimed", "whoever claims it next looks it up"
    assert stopped.store.leadership.leader() is None


def test_a_conductor_that_answers_nothing_holds_it_up_only_so_long(new: Callable[..., Stopped]) -> None:
    stopped = new(hanging=".")
    stopped.start()
    stopped.wait_until(stopped.conductor.hung.is_set)
    assert stopped.stop() == 0


def test_a_sqlite_database_that_somebody_has_locked_holds_it_up_only_so_long(new: Callable[..., Stopped]) -> None:
    stopped = new(hanging="POST /api/workflow$")
    stopped.start()
    stopped.wait_until(stopped.conductor.hung.is_set)
    with closing(sqlite3.connect(stopped.folder / "bridge.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert stopped.stop() == 0
        other.execute("ROLLBACK")
    assert stopped.state() == "claimed"


@pytest.mark.parametrize("how", ["away", "frozen"])
def test_a_postgresql_that_is_away_or_answers_nothing_holds_it_up_only_so_long(
    new: Callable[..., Stopped], postgres_url: str, how: str
) -> None:
    port = int(re.search(r":(\d+)/", postgres_url)[1])  # type: ignore[index]
    proxy = Proxy(port)
    proxy.open()
    stopped = new(postgres_url)
    stopped.start(postgres_url.replace(f":{port}/", f":{proxy.port}/"))
    stopped.wait_until(stopped.conductor.answered.is_set)
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


FULL_LOG = """
import os, time
from config.logs import configure_logging
from worker import __main__ as worker
configure_logging("json", "worker")
worker.HARD_STOP_AFTER = 0.0
os.set_blocking(2, False)
try:
    while True:
        os.write(2, b"x" * 4096)
except BlockingIOError:
    os.set_blocking(2, True)
stop = worker.HardStop()
stop.watch()
stop.begin()
time.sleep(3600)
"""


def test_a_worker_whose_log_nobody_reads_ends_too() -> None:
    with subprocess.Popen([sys.executable, "-c", FULL_LOG], stderr=subprocess.PIPE) as process:
        try:
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


def test_a_process_that_never_ends_is_ended_nine_seconds_after_the_signal() -> None:
    hard_stop = HardStop()
    hard_stop.begin()
    with mock.patch("os._exit") as leave, mock.patch("time.sleep") as sleep:
        hard_stop.run()
    leave.assert_called_once_with(0)
    sleep.assert_called_once_with(9.0)
