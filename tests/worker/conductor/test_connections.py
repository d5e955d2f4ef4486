"""Connections to Conductor, against a peer that plays given bytes."""

from __future__ import annotations

import gzip
import socket
import ssl
import subprocess
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from store.clock import SteadyClock
from tools.servers import PATIENCE, eventually
from worker.conductor.api import Api
from worker.conductor.client import Conductor
from worker.conductor.connections import Connection, current
from worker.conductor.errors import Garbled, OutcomeUnknown, Refused, Unreachable
from worker.conductor.server import Server

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n"
_LARGEST = 1000


class Peer:
    """Answers each request with the next of its `answers`; after one that ends with None it hangs
    up."""

    def __init__(self) -> None:
        self.answers: list[tuple[bytes | None, ...]] = []
        self.requests: list[tuple[int, bytes]] = []
        """The number of its connection, and its head."""
        self.bodies: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.tls: ssl.SSLContext | None = None
        self.behind_tunnel: ssl.SSLContext | None = None
        """Of the server that it reaches as a proxy."""
        self.pause = 0.0
        """Seconds after each part of an answer."""
        self.was_reset = threading.Event()
        self.hung_up = threading.Event()
        self._peers: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                self._peers.append(peer)
                threading.Thread(
                    target=self._serve, args=(len(self._peers), peer), daemon=True
                ).start()

    def _serve(self, number: int, peer: socket.socket) -> None:
        try:
            with self._secured(peer) as peer:
                self._answer(number, peer)
        except ConnectionResetError:
            self.was_reset.set()
        except OSError:
            pass

    def _answer(self, number: int, peer: socket.socket) -> None:
        with peer.makefile("rb") as requests:
            while head := b"".join(iter(requests.readline, b"\r\n")):
                body = requests.read(2) if head.startswith(b"POST") else b""
                self.requests.append((number, head))
                self.bodies.append(body)
                for part in self.answers.pop(0):
                    if part is None:
                        peer.shutdown(socket.SHUT_RDWR)
                        self.hung_up.set()
                        return
                    peer.sendall(part)
                    time.sleep(self.pause)
                if head.startswith(b"CONNECT ") and self.behind_tunnel is not None:
                    with self.behind_tunnel.wrap_socket(peer, server_side=True) as server:
                        self._answer(number, server)
                    return

    def _secured(self, peer: socket.socket) -> socket.socket:
        return peer if self.tls is None else self.tls.wrap_socket(peer, server_side=True)

    def close(self) -> None:
        self._listener.close()
        for peer in self._peers:
            peer.close()

    @property
    def connections(self) -> list[int]:
        """Of each request, the number of its connection."""
        return [number for number, _ in self.requests]


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.close()


@pytest.fixture
def api(peer: Peer) -> Api:
    return api_of(peer.url)


def api_of(url: str, timeout: float = PATIENCE, **access: str) -> Api:
    return Api(Server(url, **access), timeout, SteadyClock())


def started(api: Api) -> Any:
    return api.call(api.workflows.start_workflow, "{}", largest=_LARGEST)


@pytest.mark.parametrize(
    "answer",
    [
        (_OK + b"w1",),
        (_OK, b"w", b"1"),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nw1",),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nw\r\n",
            b"1\r\n1\r\n0\r\n\r\n",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\n", _OK + b"w1"),
    ],
)
def test_however_an_answer_is_framed_the_next_request_has_the_same_connection(
    peer: Peer, api: Api, answer: tuple[bytes, ...]
) -> None:
    peer.answers = [answer, answer]
    assert [started(api) for _ in range(2)] == ["w1", "w1"]
    assert peer.connections == [1, 1]
    assert peer.bodies == [b"{}", b"{}"]


@pytest.mark.parametrize(
    "answer",
    [
        (None,),
        (b"HTTP/1.1 200 OK\r\nContent-", None),
        (_OK, b"w", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nw\r\n", None),
        (b"HTTP/1.1 100 Continue\r\n\r\n", None),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", _OK + b"w1"),
        (b"220 mail.example.com ESMTP\r\n",),
    ],
)
def test_what_is_no_complete_answer_is_none_and_its_request_is_not_repeated(
    peer: Peer, api: Api, answer: tuple[bytes | None, ...]
) -> None:
    peer.answers = [answer, (_OK + b"w2",)]
    with pytest.raises(OutcomeUnknown):
        started(api)
    assert started(api) == "w2", "and not what the first request is still answered"
    assert peer.connections == [1, 2]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1001,
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 10_000_000,
        b"HTTP/1.1 200 OK\r\n" + b"X-Many: x\r\n" * 1_000_000,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"
        + gzip.compress(b"x" * 1_000_000, mtime=0),
    ],
)
def test_an_answer_that_is_too_large_is_not_read_to_its_end(
    peer: Peer, api: Api, answer: bytes
) -> None:
    peer.answers = [(answer,)]
    with pytest.raises(OutcomeUnknown, match="more than"):
        started(api)


def test_what_cannot_be_unpacked_is_no_answer(peer: Peer, api: Api) -> None:
    peer.answers = [(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nw1",)]
    with pytest.raises(Garbled, match="unpacked"):
        started(api)


# --- a call's one deadline ---


TRICKLED = [
    (b"",),
    (b"HTTP/1.1 200 OK\r\nX-Long: ", *[b"-"] * 10_000),
    (b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 10_000),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", *[b"x"] * 10_000),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"1\r\nx\r\n"] * 10_000),
    (b"HTTP/1.1 100 Continue\r\n\r\n",) * 10_000,
]


@pytest.fixture
def _begins_when_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a call begins once its request is sent, however long the machine takes for that."""
    send = Connection.send

    def sent(connection: Connection, data: Any) -> None:
        call = current.get()
        call.ends = time.monotonic() + PATIENCE
        send(connection, data)
        call.ends = time.monotonic() + call.seconds

    monkeypatch.setattr(Connection, "send", sent)


@pytest.mark.usefixtures("_begins_when_sent")
@pytest.mark.parametrize("answer", TRICKLED)
def test_a_call_ends_in_time_and_is_reset_however_its_answer_trickles(
    peer: Peer, answer: tuple[bytes, ...]
) -> None:
    """Its claim counts on the time. Without the reset, what the network still owes would arrive
    later."""
    peer.answers, peer.pause = [answer], 0.02
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown, match=r"^Conductor gave no complete answer within 0\.3 s$"):
        started(api_of(peer.url, timeout=0.3))
    assert time.monotonic() - began < PATIENCE, "byte by byte it would be 200 seconds"
    assert peer.was_reset.wait(PATIENCE)


@pytest.mark.usefixtures("_begins_when_sent")
@pytest.mark.parametrize(
    "call",
    [Conductor.poll, Conductor.waiting_task, partial(Conductor.extend_lease, workflow_id="w")],
)
def test_a_call_without_a_complete_answer_resets_its_connection(
    peer: Peer, call: Callable[..., Any]
) -> None:
    peer.answers = [(b"",)]
    with pytest.raises(OutcomeUnknown, match="no complete answer"):
        call(Conductor(Server(peer.url), 1), "t1")
    assert peer.was_reset.wait(PATIENCE)


def test_an_answer_that_comes_before_all_of_the_request_is_sent_is_read(
    peer: Peer, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from a proxy for which a body is too large."""
    peer.answers = [(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n", None)]
    send = socket.socket.sendall

    def break_off(sock: socket.socket, data: bytes) -> None:
        send(sock, data)
        if data == b"{}":
            assert peer.hung_up.wait(PATIENCE)
            raise BrokenPipeError

    monkeypatch.setattr(socket.socket, "sendall", break_off)
    with pytest.raises(Refused, match="413"):
        started(api)


# --- who is reached ---


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64 + ".example"])
def test_a_host_without_an_address_is_not_reached(host: str) -> None:
    with pytest.raises(Unreachable, match="no connection"):
        started(api_of(f"http://{host}/api"))


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://conductor.example/api", "conductor.example"),
        ("http://user:password@conductor.example:8080/api", "conductor.example:8080"),
        ("http://[::1]:8080/api", "[::1]:8080"),
    ],
)
def test_a_proxy_is_asked_for_the_servers_name_with_its_port_and_without_a_user(
    peer: Peer, url: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"me:hidden%40@127.0.0.1:{peer.port}")
    peer.answers = [(_OK + b"w1",)]
    assert started(api_of(url)) == "w1"
    [(_, head)] = peer.requests
    lines = head.decode().split("\r\n")
    assert lines[0] == f"POST http://{host}/api/workflow HTTP/1.1"
    assert f"Host: {host}" in lines
    assert f"proxy-authorization: Basic {b64encode(b'me:hidden@').decode()}" in lines


def test_a_server_that_no_proxy_names_is_called_directly(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with pytest.raises(Unreachable, match="Unable to connect to proxy"):
        started(api_of(peer.url))
    monkeypatch.setenv("NO_PROXY", "example.com, 127.0.0.1")
    peer.answers = [(_OK + b"w1",)]
    assert started(api_of(peer.url)) == "w1"


@pytest.mark.parametrize(
    "answer",
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", None),
        (b"HTTP/1.1 200 ", None),
        (b"HTTP",),
    ],
)
def test_what_no_proxy_passes_on_has_not_happened(
    peer: Peer, answer: tuple[bytes | None, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{peer.port}")
    peer.answers = [answer]
    with pytest.raises(Unreachable, match="no connection"):
        started(api_of("https://conductor.example/api", timeout=5))
    eventually(lambda: peer.requests)  # it may have been read only after the time-out
    assert peer.requests[0][1].startswith(b"CONNECT conductor.example:443 ")


# --- TLS ---


def certified(folder: Path, name: str) -> str:
    """Makes a certificate that is its own authority, `name`.crt, and its key; the certificate's
    path."""
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.crt"
    subject = "-addext subjectAltName=DNS:localhost"
    subprocess.run(
        [*command.split(), *subject.split()], cwd=folder, check=True, capture_output=True
    )
    return str(folder / f"{name}.crt")


def serving(folder: Path, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    return context


def test_a_server_that_does_not_speak_tls_is_not_reached(peer: Peer) -> None:
    """Nothing was sent, so nothing is in doubt."""
    peer.answers = [(b"HTTP/1.1 400 Bad Request\r\n\r\n", None)]
    with pytest.raises(Unreachable, match="no connection"):
        started(api_of(peer.url.replace("http:", "https:")))


def test_a_certificate_is_trusted_once_its_authority_is_though_the_process_runs_on(
    peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a secret of Kubernetes, whose files are replaced while the pod runs."""
    old, new = certified(tmp_path, "old"), certified(tmp_path, "new")
    monkeypatch.setenv("SSL_CERT_FILE", old)
    peer.tls = serving(tmp_path, "new")
    api = api_of(f"https://localhost:{peer.port}/api")
    with pytest.raises(
        Unreachable,
        match=r"^its certificate isn't trusted: self-signed certificate \(.*SSL_CERT_FILE",
    ):
        started(api)
    Path(old).write_bytes(Path(new).read_bytes())
    peer.answers = [(_OK + b"w1",)]
    assert started(api) == "w1"
    with pytest.raises(Unreachable, match="certificate is not valid for '127"):
        started(api_of(f"https://127.0.0.1:{peer.port}/api"))


def test_a_server_that_asks_for_a_certificate_is_shown_ours(
    peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", certified(tmp_path, "server"))
    ours = certified(tmp_path, "client")
    peer.tls = serving(tmp_path, "server")
    peer.tls.verify_mode = ssl.CERT_REQUIRED
    peer.tls.load_verify_locations(ours)
    url = f"https://localhost:{peer.port}/api"
    # With TLS 1.3 it is refused only after its request.
    with pytest.raises((Unreachable, OutcomeUnknown)):
        started(api_of(url))
    peer.answers = [(_OK + b"w1",)]
    assert (
        started(api_of(url, certificate=ours, certificate_key=str(tmp_path / "client.key"))) == "w1"
    )


def test_by_https_a_proxy_only_makes_a_tunnel(
    peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", certified(tmp_path, "server"))
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:hidden@127.0.0.1:{peer.port}")
    peer.behind_tunnel = serving(tmp_path, "server")
    peer.answers = [(b"HTTP/1.1 200 OK\r\n\r\n",), (_OK + b"w1",), (_OK + b"w2",)]
    api = api_of("https://localhost/api")
    assert [started(api), started(api)] == ["w1", "w2"]
    (_, connect), *others = peer.requests
    assert connect.startswith(b"CONNECT localhost:443 ")
    assert b64encode(b"me:hidden") in connect
    assert [head.partition(b"\r\n")[0] for _, head in others] == [
        b"POST /api/workflow HTTP/1.1"
    ] * 2
    assert b64encode(b"me:hidden") not in b"".join(head for _, head in others)
