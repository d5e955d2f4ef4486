"""The server of the admin page, with an application of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from admin import __main__ as page
from tools.servers import PATIENCE
from tools.servers.processes import free_port

LARGE = 20 * 1024 * 1024
"""Bytes: more than any buffer on the way holds."""
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@contextmanager
def served(body: bytes) -> Iterator[int]:
    """The port of a server that runs."""

    def application(
        _environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    port = free_port()
    server = page.make_server(application, "127.0.0.1", port)  # type: ignore[arg-type]
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield port
    finally:
        # In the process a signal ends it; the loop ends as well when nothing is left to be served.
        server.task_dispatcher.shutdown()
        for channel in list(server.active_channels.values()):
            channel.handle_close()
        server.close()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def test_who_reads_no_answer_holds_no_thread() -> None:
    with ExitStack() as stack:
        port = stack.enter_context(served(b"a" * LARGE))
        for _ in range(page._THREADS + 1):
            stack.enter_context(connect(port)).sendall(REQUEST)
        with connect(port) as connection:
            connection.sendall(REQUEST)
            assert connection.recv(15) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("beginning", [b"", b"GET / HTTP/1.1\r\nHost: "])
def test_a_connection_that_falls_silent_is_closed(
    monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    monkeypatch.setattr(page, "_SILENT", 1)
    with served(b"ok") as port, connect(port) as connection:
        connection.sendall(beginning)
        assert connection.recv(1) == b""
