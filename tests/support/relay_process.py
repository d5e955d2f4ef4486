"""A relay as it is shipped, in processes of its own, and raw connections to it."""

from __future__ import annotations

import http.client
import itertools
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.servers import PATIENCE
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
        began, was_busy = time.monotonic(), False
        for _, port in zip(range(12), itertools.cycle(ports or (self.port,)), strict=False):
            status = self.status("POST", "/webhook/one", b"{}", port)
            if status == 503 and not was_busy:  # a disk may be, once
                was_busy = True
                status = self.status("POST", "/webhook/one", b"{}", port)
            assert status == 200
        return time.monotonic() - began

    def stop(self) -> int:
        assert self.child is not None
        return self.child.stop()

    def kill(self) -> None:
        """kill -9 of it and its workers at once, if it was started: a worker that is left would
        accept connections for a second more, even those meant for the next relay."""
        if self.child is not None:
            self.child.kill()


PATIENT = {"GUNICORN_CMD_ARGS": "--keep-alive 600"}
"""No head comes too late, and no connection is idle for too long, however slow the machine is."""


@contextmanager
def serving(folder: Path, text: str, **settings: str) -> Iterator[Process]:
    """A relay with these definitions, which stops well in the end."""
    process = Process(folder)
    process.start_ready(text, **settings)
    yield process
    assert process.stop() == 0
    assert "Traceback" not in process.log.read_text()


def connect(relay: Process) -> socket.socket:
    return socket.create_connection(("127.0.0.1", relay.port), timeout=PATIENCE)


def request(
    body: bytes = b"{}", more: str = "", path: str = "/webhook/one", version: str = "1.1"
) -> bytes:
    head = f"POST {path} HTTP/{version}\r\nHost: h\r\nX-Api-Key: {KEY}\r\nContent-Type: application/json\r\n{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Answers:
    """The answers that come on a connection, in turn."""

    def __init__(self, connection: socket.socket):
        self._file = connection.makefile("rb")

    def next(self) -> tuple[int, dict[str, str]]:
        """The next one's status and body."""
        status = int(self._file.readline().split()[1])
        headers = http.client.parse_headers(self._file)
        return status, json.loads(self._file.read(int(headers["Content-Length"])))

    def status(self) -> int:
        """The next one's status, whatever its body is."""
        status = int(self._file.readline().split()[1])
        self._file.read(int(http.client.parse_headers(self._file)["Content-Length"]))
        return status

    def ended(self) -> bool:
        """Whether the relay has closed the connection."""
        return self._file.read() == b""
