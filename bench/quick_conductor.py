"""``python -m bench.quick_conductor PORT``: a fake Conductor that answers at once, at a cost of microseconds."""

from __future__ import annotations

import asyncio
import json
import sys

_HEAD_ENDS = b"\r\n\r\n"


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
            kind, body = _answer(method, path.partition(b"?")[0])
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(body), body)
            )


def _answer(method: bytes, path: bytes) -> tuple[bytes, bytes]:
    """The type and body."""
    text, of_json = b"text/plain", b"application/json"
    if path == b"/called":
        return text, b"%d" % _Server.called
    parts = path.split(b"/")
    if method == b"POST" and path == b"/api/workflow":
        _Server.called += 1
        return text, b"workflow-%d" % _Server.called
    if path.endswith(b"/COMPLETED"):  # /api/tasks/WORKFLOW/REFERENCE/COMPLETED
        _Server.called += 1
        return text, task_of(parts[3].decode()).encode()
    if method == b"POST" and path.endswith(b"/correlated"):
        return of_json, b"{}"  # nothing was started before
    if b"search" in path:
        return of_json, b'{"totalHits": 0, "results": []}'
    if len(parts) == 4 and parts[2] == b"tasks":
        return of_json, json.dumps({"taskId": parts[3].decode(), "status": "IN_PROGRESS"}).encode()
    return of_json, b"[]"


def task_of(workflow_id: str) -> str:
    """The id of the one task that waits in a workflow."""
    return f"task-of-{workflow_id}"


async def _main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Server, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
