"""``python -m tools.bench.fake_conductor PORT``: answers at once, at a cost of microseconds."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.servers import PATIENCE
from tools.servers.processes import Child, free_port, status_of

_HEAD_ENDS = b"\r\n\r\n"
_numbers = itertools.count(1)


class _Server(asyncio.Protocol):
    called = 0
    """Completions and starts so far."""

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(_HEAD_ENDS)) >= 0:
            head = self._received[:end]
            _, given, rest = head.lower().partition(b"content-length:")
            size = end + len(_HEAD_ENDS) + (int(rest.split(b"\r\n", 1)[0]) if given else 0)
            if len(self._received) < size:
                return
            self._received = self._received[size:]
            method, path, _ = head.split(b" ", 2)
            kind, body, is_call = _answer(method, path.partition(b"?")[0])
            answer = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (
                kind,
                len(body),
                body,
            )
            _Server.called += is_call
            self._transport.write(answer)


def _answer(method: bytes, path: bytes) -> tuple[bytes, bytes, bool]:
    """The type and body, and whether this is a start or completion."""
    text, of_json = b"text/plain", b"application/json"
    if path == b"/called":
        return text, b"%d" % _Server.called, False
    parts = path.split(b"/")
    if method == b"POST" and path == b"/api/workflow":
        return text, b"workflow-%d" % next(_numbers), True
    if path.endswith(b"/COMPLETED"):  # /api/tasks/WORKFLOW/REFERENCE/COMPLETED
        return text, task_of(parts[3].decode()).encode(), True
    if method == b"POST" and path.endswith(b"/correlated"):
        return of_json, b"{}", False  # nothing was started before
    if b"search" in path:
        return of_json, b'{"totalHits": 0, "results": []}', False
    if len(parts) == 4 and parts[2] == b"tasks":
        return (
            of_json,
            json.dumps({"taskId": parts[3].decode(), "status": "IN_PROGRESS"}).encode(),
            False,
        )
    return of_json, b"[]", False


def task_of(workflow_id: str) -> str:
    """The id of the one task that waits in a workflow."""
    return f"task-of-{workflow_id}"


@contextmanager
def fake_conductor(folder: Path) -> Iterator[str]:
    """Runs it. Yields its URL."""
    port = free_port()
    command = [sys.executable, "-m", "tools.bench.fake_conductor", str(port)]
    child = Child("the fake Conductor", command, folder / "fake-conductor.log", os.environ)
    url = f"http://127.0.0.1:{port}"
    try:
        child.wait_until(lambda: status_of(f"{url}/called") == 200)
        yield url
    finally:
        child.kill()


def called(url: str) -> int:
    """The completions and starts that the fake Conductor at this URL has answered."""
    with urllib.request.urlopen(f"{url}/called", timeout=PATIENCE) as answer:
        return int(answer.read())


async def _main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Server, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
