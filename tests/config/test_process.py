"""What every process has: the bell that signal handlers may ring, and the server of its metrics."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.request import urlopen
from wsgiref.simple_server import WSGIServer

import pytest

from config import process
from config.process import WakeUp, serve_metrics
from relay import metrics
from tests.support.descriptors import is_written_elsewhere
from tools.servers import PATIENCE


def test_it_stays_rung_until_it_is_cleared() -> None:
    wakeup = WakeUp()
    assert not wakeup.wait(0)
    wakeup.ring()
    wakeup.ring()
    assert wakeup.wait(PATIENCE)
    assert wakeup.wait(PATIENCE)
    wakeup.clear()
    assert not wakeup.wait(0)
    wakeup.close()


def test_it_wakes_who_waits() -> None:
    wakeup = WakeUp()
    threading.Timer(0.01, wakeup.ring).start()
    assert wakeup.wait(PATIENCE)
    wakeup.close()


def test_it_may_be_rung_as_often_as_one_likes_and_when_it_is_closed() -> None:
    wakeup = WakeUp()
    for _ in range(100_000):
        wakeup.ring()
    wakeup.clear()
    assert not wakeup.wait(0)
    wakeup.close()
    wakeup.close()
    wakeup.ring()


def test_a_ring_that_is_overtaken_by_the_closing_reaches_no_other_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wakeup = WakeUp()
    assert not is_written_elsewhere(monkeypatch, wakeup.ring, wakeup.close)


Serve = Callable[..., WSGIServer]


def application(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"bridge_up 1"]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[WSGIServer] = []

    def serve(of: Callable[..., WSGIServer], *given: Any) -> WSGIServer:
        servers.append(of(*given))
        return servers[-1]

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_application_is_served_at_an_address_or_a_name(serve: Serve, host: str) -> None:
    port = serve(serve_metrics, f"{host}:0", application).server_port
    with urlopen(f"http://{host}:{port}/", timeout=PATIENCE) as answer:
        assert answer.read() == b"bridge_up 1"


def test_a_name_of_both_kinds_is_served_at_its_ipv4_address(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo

    def both(host: str, port: str, **more: Any) -> list[Any]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
            *resolve(host, port, **more),
        ]

    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", both)
        server = serve(serve_metrics, "localhost:0", application)
    with urlopen(f"http://127.0.0.1:{server.server_port}/", timeout=PATIENCE) as answer:
        assert answer.read() == b"bridge_up 1"


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_the_relays_metrics_are_served_at_an_address_in_brackets_too(serve: Serve) -> None:
    port = serve(metrics.serve, "[::1]:0").server_port
    with urlopen(f"http://[::1]:{port}/metrics", timeout=PATIENCE) as answer:
        assert b"bridge_deliveries" in answer.read()


def test_a_peer_that_sends_no_request_is_left_without_a_word(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(process._Handler, "timeout", 0.01)
    port = serve(serve_metrics, "127.0.0.1:0", application).server_port
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as peer:
        assert peer.recv(1) == b""
    assert capsys.readouterr().err == ""
