"""A cheap load generator: requests on a few connections, one process, no library in between."""

from __future__ import annotations

import hmac
import json
import selectors
import socket
import time
import uuid
from dataclasses import dataclass

from tools.servers import PATIENCE

SECRET = "bench-secret-0123456789"
BODY = json.dumps(
    {
        "ref": "refs/heads/main",
        "repository": {"id": 42, "full_name": "octo/hello", "private": False},
        "commits": [
            {"id": f"{number:040x}", "message": "x" * 120, "added": ["a", "b"]}
            for number in range(8)
        ],
        "pad": "y" * 420,
    }
).encode()
"""About 2 KB, as a push event is; a delivery's own id is put in front of it, since one body is one
event."""


WARM_UP = 1.0
"""Seconds of load before the measurement."""


@dataclass(frozen=True)
class Load:
    """What a run of the load generator measured."""

    rate: float
    """Answers a second."""
    p50: float
    """Milliseconds."""
    p99: float
    worst: float
    failures: int
    """Answers other than 200, and broken connections."""
    answers: int
    """All of them, with those of the warm-up."""


def request(path: str, delivery: str) -> bytes:
    """A signed GitHub delivery with that id."""
    body = b'{"delivery": "%b", %b' % (delivery.encode(), BODY[1:])
    signature = hmac.digest(SECRET.encode(), body, "sha256").hex()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nX-GitHub-Event: push\r\n"
        f"X-GitHub-Delivery: {delivery}\r\nX-Hub-Signature-256: sha256={signature}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


_APART = 0.02
"""Seconds: connections that all come in one moment may all be accepted by one of the server's
processes."""


def run(
    port: int, path: str, seconds: float, connections: int = 16, warm_up: float = WARM_UP
) -> Load:
    """Posts to the path on this machine's port as fast as the answers come, and measures after the
    warm-up.

    It goes on until it has an answer to measure: on a busy machine a short run may otherwise end
    without one.
    """
    prefix = uuid.uuid4().hex[:20]
    counter = 0
    selector = selectors.EpollSelector()
    sent: dict[socket.socket, float] = {}
    buffers: dict[socket.socket, bytes] = {}

    def connect() -> None:
        connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(True)
        selector.register(connection, selectors.EVENT_READ)
        post(connection)

    def post(connection: socket.socket) -> None:
        nonlocal counter
        counter += 1
        buffers[connection] = b""
        data = request(path, f"{prefix}{counter:016d}")
        sent[connection] = time.perf_counter()
        connection.sendall(data)

    for _ in range(connections):
        connect()
        time.sleep(_APART)
    begin = time.perf_counter() + warm_up
    end = begin + seconds
    times: list[float] = []
    failures = answers = 0
    while (now := time.perf_counter()) < end or (not times and now < end + PATIENCE):
        for key, _ in selector.select(max(end - now, 0.1)):
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            try:
                received = connection.recv(65536)
            except OSError:
                received = b""
            if not received:
                failures += 1
                selector.unregister(connection)
                connection.close()
                connect()
                continue
            buffers[connection] += received
            answer = _complete(buffers[connection])
            if answer is None:
                continue
            done = time.perf_counter()
            answers += 1
            if done >= begin:
                times.append(done - sent[connection])
                failures += not answer.startswith(b"HTTP/1.1 200")
            if b"connection: close" in answer.lower():
                selector.unregister(connection)
                connection.close()
                connect()
            else:
                post(connection)
    for key in list(selector.get_map().values()):
        assert isinstance(key.fileobj, socket.socket)
        key.fileobj.close()
    times.sort()
    return Load(
        rate=len(times) / max(seconds, now - begin),
        p50=1000 * times[len(times) // 2],
        p99=1000 * times[int(len(times) * 0.99)],
        worst=1000 * times[-1],
        failures=failures,
        answers=answers,
    )


def _complete(buffer: bytes) -> bytes | None:
    """The head of the answer, once all of it is there."""
    head, separator, rest = buffer.partition(b"\r\n\r\n")
    if not separator:
        return None
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return head if len(rest) >= int(value) else None
    return head
