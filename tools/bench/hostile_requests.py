"""What strangers send to a relay on the open internet: hostile requests, over real sockets, and the
answers to them."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Protocol

from tools.servers import PATIENCE

NO_HTTP = frozenset({400, 414, 417, 431, 501})
"""The server's own answers to what isn't HTTP, or beyond its limits."""
ANSWERS = frozenset({200, 400, 401, 403, 404, 405, 413, 415, 429}) | NO_HTTP
"""Statuses that a stranger may see, of the HTTP table or the server's; 200 is for pages without
secrets."""
LONGEST = PATIENCE
"""Seconds until an answer counts as missing."""

_METHODS = (
    "POST",
    "GET",
    "PUT",
    "HEAD",
    "OPTIONS",
    "TRACE",
    "post",
    "P\xffST",
    "PRI",
    "CONNECT",
    "",
)
_VERSIONS = ("1.1", "1.0", "2.0", "0.9", "9", "1.1 ", "x")
_HEADERS = (
    b"X-Api-Key: \xff\xfe", b"X y: z", b"X: \0", b"Host:", b"Host: a\r\nHost: b", b": x", b"Cookie: " + b"a=b; " * 500,
    b"X-Hub-Signature-256: sha256=" + b"0" * 64, b"Authorization: Bearer a.b.c", b"Expect: 100-continue", b"Expect: x",
    b"Connection: close", b"Connection: keep-alive, Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA",
    b"X-Forwarded-For: 127.0.0.1", b"X: a\r\n b", b"SCRIPT_NAME: /x", b"X:" + b"y" * 20_000,
    b"Content-Encoding: gzip", b"Content-Type: application/json; charset=utf-16",
    b"Content-Type: multipart/form-data; boundary=b", b"Content-Type: application/x-www-form-urlencoded",
)  # fmt: skip
_WRONG_LENGTHS = (
    b"Content-Length: -1",
    b"Content-Length: +2",
    b"Content-Length: 99999999999",
    b"Content-Length: 1\r\nContent-Length: 2",
    b"Content-Length: 2\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: gzip",
)
_BODIES = (
    b"", b"{}", b"[" * 3000, b'{"a":' * 300, b"\0", b"\xff" * 100, b"1" * 5000, b'"\\ud800"', b'{"a":NaN}', b"&" * 3000,
    b"--b\r\n\r\n", b"payload=%7B", b'{"\\u0000":1}', b"x" * 70_000,
)  # fmt: skip


def request(choose: random.Random, paths: tuple[str, ...]) -> bytes:
    """A hostile request, or two."""
    body = choose.choice(_BODIES)
    if choose.random() < 0.02:
        return bytes(choose.randrange(256) for _ in range(choose.randrange(200))) + b"\r\n\r\n"
    method = "POST" if choose.random() < 0.7 else choose.choice(_METHODS)
    version = "1.1" if choose.random() < 0.8 else choose.choice(_VERSIONS)
    path = choose.choice(paths) + choose.choice(
        ("", "", "", "?a=%00", "?" + "a=1&" * 900, "/..", "%2e%2e", "#x")
    )
    lines = [f"{method} {path} HTTP/{version}".encode("latin-1"), b"Host: h"]
    lines += choose.sample(_HEADERS, choose.choice((0, 0, 1, 1, 2, 4)))
    framing = choose.random()
    if framing < 0.7:
        lines.append(b"Content-Length: %d" % len(body))
    elif framing < 0.85:
        lines.append(b"Transfer-Encoding: chunked")
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    else:
        lines.append(choose.choice(_WRONG_LENGTHS))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def statuses(port: int, sent: bytes, pieces: int = 1, hang_up: bool = False) -> list[int]:
    """Sends it on a connection of its own and ends it; the statuses of the answers, 0 where none
    came in `LONGEST`."""
    with socket.create_connection(("127.0.0.1", port), timeout=LONGEST) as connection:
        size = max(1, -(-len(sent) // pieces))
        with suppress(OSError):  # it may answer and close before all of it is sent
            for begin in range(0, len(sent), size):
                connection.sendall(sent[begin : begin + size])
            if hang_up:
                return []
            connection.shutdown(socket.SHUT_WR)
        received = b""
        try:
            while piece := connection.recv(65536):
                received += piece
        except TimeoutError:
            return [0]
        except OSError:  # reset under what was still being sent
            pass
    return [status for status in _statuses(received) if status != 100]


def _statuses(received: bytes) -> Iterator[int]:
    while received.startswith(b"HTTP/1."):
        yield int(received[9:12])
        head, _, rest = received.partition(b"\r\n\r\n")
        length = next(
            (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")),
            b":0",
        )
        body = int(length.split(b":")[1])
        # An answer to HEAD has no body.
        received = rest[body:] if not rest.startswith(b"HTTP/1.") else rest


def attack(port: int, number: int, seed: int, paths: tuple[str, ...]) -> Counter[int]:
    """Sends this many hostile requests, one after the other; returns how often each status came, -1
    for no answer."""
    choose = random.Random(seed)
    found: Counter[int] = Counter()
    for _ in range(number):
        sent = request(choose, paths)
        if choose.random() < 0.1:
            sent += request(choose, paths)
        hang_up = choose.random() < 0.03
        answers = statuses(port, sent, choose.choice((1, 1, 1, 2, 5)), hang_up)
        if not hang_up:
            found.update(answers or [-1])
    return found


class Stop(Protocol):
    """An event, of threads or of processes."""

    def wait(self, timeout: float) -> bool:
        """Whether it is set, at the latest after so many seconds."""


_HEAD = b"POST /webhook/bench HTTP/1.1\r\nHost: h\r\n"
_ROUND = 1.0
"""Seconds in which each connection sends one byte."""
_PARTS = 20


def trickle(port: int, number: int, stop: Stop) -> None:
    """Keeps this many connections open until `stop`: a third send a head byte by byte, a third a
    body, a third nothing. Those that the relay closes are opened again."""
    connections: list[socket.socket | None] = [None] * number
    try:
        while True:
            for part in range(_PARTS):
                for place in range(part, number, _PARTS):
                    connections[place] = _one_byte_more(port, place % 3, connections[place])
                if stop.wait(_ROUND / _PARTS):
                    return
    finally:
        for connection in connections:
            if connection is not None:
                connection.close()


def _one_byte_more(port: int, kind: int, connection: socket.socket | None) -> socket.socket | None:
    try:
        if connection is None:
            connection = socket.create_connection(("127.0.0.1", port), timeout=LONGEST)
            connection.sendall((_HEAD, _HEAD + b"Content-Length: 1000\r\n\r\n", b"")[kind])
            connection.setblocking(False)
        elif kind == 2:
            if connection.recv(1) == b"":
                raise ConnectionError
        else:
            connection.sendall(b"x")
    except BlockingIOError:  # nothing has come
        pass
    except OSError:
        if connection is not None:
            connection.close()
        return None
    return connection


def send_endless_heads(port: int, number: int, stop: Stop) -> None:
    """Opens this many connections again and again until `stop`; each sends a head of 1.5 MB."""
    head = b"GET /healthz HTTP/1.1\r\n" + (b"X: " + b"y" * 16_000 + b"\r\n") * 96
    is_over = threading.Event()

    def send() -> None:
        while not is_over.wait(0.25):
            with (
                suppress(OSError),
                socket.create_connection(("127.0.0.1", port), timeout=LONGEST) as connection,
            ):
                for begin in range(0, len(head), 8192):
                    connection.sendall(head[begin : begin + 8192])
                while connection.recv(65536):
                    pass

    threads = [threading.Thread(target=send) for _ in range(number)]
    for thread in threads:
        thread.start()
    while not stop.wait(1):
        pass
    is_over.set()
    for thread in threads:
        thread.join()


def healthz_latencies(port: int, seconds: float) -> list[float]:
    """Milliseconds of GETs of ``/healthz``, one after the other and each on a connection of its
    own, in order."""
    found: list[float] = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        assert statuses(port, b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n") == [
            200
        ]
        found.append(1000 * (time.perf_counter() - began))
        time.sleep(0.005)
    return sorted(found)
