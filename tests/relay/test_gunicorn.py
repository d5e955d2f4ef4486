"""The relay as it is shipped: gunicorn with its configuration, real processes and signals."""

from __future__ import annotations

import http.client
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from admin.cli.processes import command_of
from tools.servers import PATIENCE, eventually
from tools.servers.processes import Child, bridge_environment, free_port

KEY = "0123456789abcdef"


def definitions(name: str) -> str:
    return f"webhooks: [{{name: {name}, headers: {{X-Api-Key: {KEY}}}, receivers: {{a: any}}}}]\n"


class Process:
    """A relay under gunicorn."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.port, self.metrics_port = free_port(), free_port()
        self.file = folder / "webhooks.yaml"
        self.log = folder / "log"
        self.child: Child | None = None
        self.body = b""

    def start(self, **settings: str) -> None:
        environment = bridge_environment(
            bridge_webhooks=str(self.file),
            bridge_database=f"sqlite:///{self.folder}/b.db",
            bridge_relay_metrics=f"127.0.0.1:{self.metrics_port}",
            port=str(self.port),
        )
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "-c",
            "relay/gunicorn_settings.py",
            "relay:create_app()",
        ]
        self.child = Child("the relay", command, self.log, environment | settings)

    def start_ready(self, text: str, **settings: str) -> None:
        """Starts it with these definitions, and waits until it is ready."""
        self.file.write_text(text)
        self.start(**settings)
        assert self.child is not None
        self.child.wait_until(lambda: self.status("GET", "/readyz") == 200)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """It, once it was started."""
        assert self.child is not None
        return self.child.process

    def status(
        self, method: str, path: str, body: bytes | None = None, port: int | None = None
    ) -> int:
        """The status of an answer; 0 without one."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=PATIENCE)
        try:
            connection.request(
                method, path, body, {"X-Api-Key": KEY, "Content-Type": "application/json"}
            )
            response = connection.getresponse()
            self.body = response.read()
            return response.status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def seconds(self, *ports: int) -> float:
        """How long twelve honest deliveries take, on new connections and so in every process.

        They come at these ports in turn, or at its own.
        """
        began = time.monotonic()
        for _, port in zip(range(12), itertools.cycle(ports or (self.port,)), strict=False):
            assert self.status("POST", "/webhook/one", b"{}", port) == 200
        return time.monotonic() - began

    def stop(self) -> int:
        assert self.child is not None
        return self.child.stop()

    def kill(self) -> None:
        """kill -9 of it and its workers at once, if it was started: a worker that is left would
        accept connections for a second more, even those meant for the next relay."""
        if self.child is not None:
            self.child.kill()


@contextmanager
def serving(folder: Path, text: str, **settings: str) -> Iterator[Process]:
    """A relay with these definitions, which stops well in the end."""
    process = Process(folder)
    process.start_ready(text, **settings)
    yield process
    assert process.stop() == 0
    assert "Traceback" not in process.log.read_text()


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path)
    process.file.write_text(definitions("one"))
    yield process
    process.kill()


def test_it_serves_reloads_survives_and_stops(relay: Process) -> None:
    relay.start()
    assert eventually(lambda: relay.status("GET", "/readyz") == 200), relay.log.read_text()
    assert relay.status("POST", "/webhook/one", b"{}") == 200
    assert eventually(
        lambda: (
            relay.status("GET", "/metrics", port=relay.metrics_port) == 200
            and b"bridge_deliveries_total" in relay.body
        )
    )

    relay.file.write_text(definitions("two"))  # by itself
    assert eventually(lambda: relay.status("POST", "/webhook/two", b"{}") == 200)
    assert eventually(lambda: relay.status("POST", "/webhook/one", b"{}") == 503)

    relay.file.write_text(
        "webhooks: ["
    )  # broken: neither a signal nor a new worker makes it lose what it has
    relay.process.send_signal(signal.SIGHUP)
    workers = subprocess.run(
        ["pgrep", "-P", str(relay.process.pid)], capture_output=True, text=True, check=True
    )
    for pid in workers.stdout.split():
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            continue
    assert eventually(lambda: relay.status("POST", "/webhook/two", b"{}") == 200)
    assert eventually(
        lambda: (
            relay.status("GET", "/metrics", port=relay.metrics_port) == 200
            and b'bridge_definitions_ok{process="relay"} 0.0' in relay.body
        )
    )

    relay.file.write_text(definitions("three"))
    relay.process.send_signal(signal.SIGHUP)
    assert eventually(lambda: relay.status("POST", "/webhook/three", b"{}") == 200)

    assert relay.stop() == 0
    log = relay.log.read_text()
    assert "Traceback" not in log
    assert KEY not in log


def test_definitions_that_cannot_be_used_end_the_start(relay: Process) -> None:
    relay.file.write_text("webhooks: [")
    relay.start()
    assert relay.process.wait(PATIENCE) != 0
    said = relay.log.read_text()
    assert "webhooks.yaml:1: " in said
    assert "Traceback" not in said


@pytest.mark.parametrize("port", ["abc", "99999", "-1"])
def test_a_port_that_is_none_is_told_with_its_setting(port: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        command_of("relay"),
        cwd=tmp_path,
        env=os.environ | {"PORT": port},
        capture_output=True,
        text=True,
        check=False,
    )
    said = f"the relay can't start:\nPORT: '{port}' is not a port; write a number from 1 to 65535\n"
    assert (ended.returncode, ended.stderr) == (1, said)


def test_the_port_may_be_set_in_dotenv_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=of-dotenv\n", encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "PORT"}
    for given, used in (({}, "of-dotenv"), ({"PORT": "of-environment"}, "of-environment")):
        ended = subprocess.run(
            command_of("relay"),
            cwd=tmp_path,
            env=environment | given,
            capture_output=True,
            text=True,
            check=False,
        )
        assert f"PORT: '{used}' is not a port" in ended.stderr


def test_a_metrics_port_that_is_taken_is_only_a_warning(relay: Process) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", relay.metrics_port))
        other.listen()
        relay.start()
        assert eventually(lambda: relay.status("POST", "/webhook/one", b"{}") == 200)
        assert eventually(lambda: "can't listen on the metrics port" in relay.log.read_text())
        assert relay.stop() == 0
