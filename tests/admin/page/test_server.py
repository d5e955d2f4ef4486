"""The server of the admin page, with an application of its own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from admin.page import server as serving
from admin.page.server import PageServer
from testkit import PATIENCE

LARGE = 20 * 1024 * 1024
"""Bytes: more than any buffer on the way holds."""
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Application:
    """Says how many requests it has begun to answer, and waits before the end of each."""

    def __init__(self, body: bytes = b"ok") -> None:
        self.body = body
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Event()

    def __call__(self, _environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.begun.release()
        assert self.may_end.wait(PATIENCE)
        start_response("200 OK", [("Content-Length", str(len(self.body)))])
        return [self.body]


@contextmanager
def served(application: Callable[..., Iterable[bytes]]) -> Iterator[tuple[PageServer, int]]:
    """A server that runs, and its port."""
    server = PageServer(application, "127.0.0.1", 0, 1000)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server, int(server._servers[0].effective_port)
    finally:
        server.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        for one in list(server._map.values()):
            getattr(one, "handle_close", one.close)()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_who_reads_no_answer_holds_no_thread_and_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    application = Application(b"a" * LARGE)
    application.may_end.set()
    with ExitStack() as stack:
        server, port = stack.enter_context(served(application))
        for _ in range(2 * serving._THREADS):
            stack.enter_context(connect(port)).sendall(REQUEST * 3)
            assert application.begun.acquire(timeout=PATIENCE)
        until(lambda: server._dispatcher.active_count == 0)
        with connect(port) as connection:
            connection.sendall(REQUEST)
            assert connection.recv(15) == b"HTTP/1.1 200 OK"
        monkeypatch.setattr(serving, "_SILENT", -60)  # whoever is silent has been so for long
        until(lambda: not server._servers[0].active_channels)


def test_what_is_being_answered_at_the_stop_is_answered_whole() -> None:
    application = Application(b"a" * LARGE)
    with served(application) as (server, port), connect(port) as connection:
        connection.sendall(REQUEST)
        assert application.begun.acquire(timeout=PATIENCE)
        server.stop()
        application.may_end.set()
        received = 0
        while part := connection.recv(1 << 20):
            received += len(part)
            if received > LARGE:
                break
        assert received > LARGE


def test_a_request_that_trickles_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(Application()) as (server, port), connect(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
        channels = server._servers[0].active_channels
        until(lambda: any(channel.request is not None for channel in channels.values()))
        (channel,) = channels.values()
        channel.moved = time.monotonic() + 3600  # it sends a byte now and then
        monkeypatch.setattr(serving, "_SILENT", -60)
        assert connection.recv(1) == b""


@pytest.mark.parametrize(("set_by", "passed", "stays"), [(86_400, 0, True), (-86_400, 60, False)])
def test_a_clock_that_is_set_neither_ends_connections_nor_keeps_them(
    monkeypatch: pytest.MonkeyPatch, set_by: int, passed: int, stays: bool
) -> None:
    """After `passed` seconds in which nothing came, while the wall clock was set."""
    server = PageServer(Application(), "127.0.0.1", 0, 1000)
    wall, steady = time.time, time.monotonic
    with ExitStack() as stack:
        stack.callback(lambda: [getattr(one, "handle_close", one.close)() for one in list(server._map.values())])
        connection = stack.enter_context(connect(int(server._servers[0].effective_port)))
        connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
        channels = server._servers[0].active_channels
        while not any(channel.request is not None for channel in channels.values()):
            server._turn()
        with monkeypatch.context() as patches:
            patches.setattr(time, "time", lambda: wall() + set_by)
            patches.setattr(time, "monotonic", lambda: steady() + passed)
            for _ in range(3):
                server._turn()
        assert bool(channels) is stays


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_are_answered_while_every_thread_waits_for_the_store(path: str) -> None:
    application = Application()
    waiting = application.__call__

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != path:
            return waiting(environ, start_response)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    with ExitStack() as stack:
        _, port = stack.enter_context(served(answer))
        stack.callback(application.may_end.set)
        for _ in range(2 * serving._THREADS):
            stack.enter_context(connect(port)).sendall(REQUEST)
        for _ in range(serving._THREADS):
            assert application.begun.acquire(timeout=PATIENCE)
        connection = stack.enter_context(connect(port))
        connection.sendall(REQUEST.replace(b" / ", f" {path} ".encode()))
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
