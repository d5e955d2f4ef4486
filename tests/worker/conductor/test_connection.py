"""Connections to Conductor, against a peer that plays given bytes."""

from __future__ import annotations

import gzip
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from unittest import mock

import pytest

from testkit import PATIENCE
from worker.conductor.connection import Answer, Connection, Deadlines, _Parser
from worker.conductor.errors import ConductorError, Garbled, NotTrusted, OutcomeUnknown, Unreachable
from worker.conductor.transport import tls_context

_REQUEST = b"POST /api/workflow HTTP/1.1\r\nHost: conductor\r\nContent-Length: 2\r\n\r\n{}"
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
_LARGEST = 1000


class Peer:
    """Answers each request with the next of its `answers`; after one that ends with None it hangs up."""

    def __init__(self) -> None:
        self.answers: list[tuple[bytes | None, ...]] = []
        self.requests: list[tuple[int, bytes]] = []
        """The number of its connection, and its bytes."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self.url = f"http://127.0.0.1:{self.address[1]}/api"
        self.tls: ssl.SSLContext | None = None
        self.hung_up = threading.Event()
        self._peers: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                self._peers.append(peer)
                threading.Thread(target=self._serve, args=(len(self._peers), peer), daemon=True).start()

    def _serve(self, number: int, peer: socket.socket) -> None:
        with suppress(OSError), self._secured(peer) as peer, peer.makefile("rb") as requests:
            while request := requests.read(len(_REQUEST)):
                self.requests.append((number, request))
                for part in self.answers.pop(0):
                    if part is None:
                        peer.shutdown(socket.SHUT_RDWR)
                        self.hung_up.set()
                        return
                    peer.sendall(part)

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
def connection(peer: Peer) -> Iterator[Connection]:
    connection = Connection(peer.url, None)
    yield connection
    connection.close()


def _exchange(connection: Connection, seconds: float = PATIENCE) -> Answer:
    """Waits that long at most for the answer."""
    now = time.monotonic()
    return connection.exchange(_REQUEST, Deadlines(now + PATIENCE, now + PATIENCE, now + seconds), _LARGEST)


def test_an_answer_has_its_status_headers_and_body(peer: Peer, connection: Connection) -> None:
    head = b"HTTP/1.1 404 Not Found\r\nDate: today\r\nVia: a\r\nvia: b\r\nContent-Length: 4\r\n\r\n"
    peer.answers = [(head, b"go", b"ne")]
    headers = {"date": "today", "via": "a, b", "content-length": "4"}
    assert _exchange(connection) == Answer(404, "Not Found", headers, bytearray(b"gone"))


@pytest.mark.parametrize(
    "answer",
    [
        (_OK + b"w1",),
        (_OK, b"w", b"1"),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nw1",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nw\r\n", b"1\r\n1\r\n0\r\n\r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", _OK + b"w1"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + _OK + b"w1",),
        (b"HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nw1",),
    ],
)
def test_however_an_answer_is_framed_the_next_request_has_the_same_connection(
    peer: Peer, connection: Connection, answer: tuple[bytes, ...]
) -> None:
    peer.answers = [answer, answer]
    answers = [_exchange(connection) for _ in range(2)]
    assert [(one.status, one.body) for one in answers] == [(200, b"w1")] * 2
    assert all("link" not in one.headers for one in answers), "that was an early hint's"
    assert peer.connections == [1, 1]


@pytest.mark.parametrize(
    "answer",
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nw1",),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nw1",),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"w1", None),
        (b"HTTP/1.0 200 OK\r\n\r\nw1", None),
        (_OK + b"w1" + _OK + b"w2",),
        (_OK + b"w1 and more",),
    ],
)
def test_after_some_answers_the_next_request_has_a_connection_of_its_own(
    peer: Peer, connection: Connection, answer: tuple[bytes | None, ...]
) -> None:
    """Answers that nobody asked for would otherwise be those of the next requests."""
    peer.answers = [answer, (_OK + b"w9",)]
    assert [_exchange(connection).body for _ in range(2)] == [b"w1", b"w9"]
    assert peer.connections == [1, 2]


def test_a_connection_that_the_server_has_closed_carries_no_request(peer: Peer, connection: Connection) -> None:
    peer.answers = [(_OK + b"w1", None), (_OK + b"w2",)]
    assert _exchange(connection).body == b"w1"
    assert peer.hung_up.wait(PATIENCE)
    assert _exchange(connection).body == b"w2"
    assert peer.connections == [1, 2]


@pytest.mark.parametrize(
    "answer",
    [
        (None,),
        (b"HTTP/1.1 200 OK\r\nContent-", None),
        (_OK, b"w", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nw\r\n", None),
        (b"HTTP/1.1 100 Continue\r\n\r\n", None),
    ],
)
def test_half_an_answer_is_none_and_its_request_is_not_repeated(
    peer: Peer, connection: Connection, answer: tuple[bytes | None, ...]
) -> None:
    peer.answers = [answer, (_OK + b"w2",)]
    with pytest.raises(OSError, match=r"closed the connection|reset"):
        _exchange(connection)
    assert _exchange(connection).body == b"w2"
    assert peer.connections == [1, 2]


@pytest.mark.parametrize("answer", [b"220 mail.example.com ESMTP\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"])
def test_what_is_not_http_is_no_answer(peer: Peer, connection: Connection, answer: bytes) -> None:
    peer.answers = [(answer,), (_OK + b"w2",)]
    with pytest.raises(OutcomeUnknown, match="isn't HTTP"):
        _exchange(connection)
    assert _exchange(connection).body == b"w2"
    assert peer.connections == [1, 2]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1001,
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 10_000_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Long: " + b"x" * 10_000_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 500_000,
    ],
)
def test_an_answer_that_is_too_large_is_not_read_to_its_end(peer: Peer, connection: Connection, answer: bytes) -> None:
    peer.answers = [(answer,)]
    with pytest.raises(Garbled, match="more than"):
        _exchange(connection)


def test_an_answer_in_small_pieces_is_not_too_large(peer: Peer, connection: Connection) -> None:
    peer.answers = [(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *(b"1\r\nx\r\n",) * 1000, b"0\r\n\r\n")]
    assert _exchange(connection).body == b"x" * 1000


def _packed(encoding: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n%b" % (encoding, len(body), body)


def test_a_reason_that_arrives_in_parts_is_whole(peer: Peer, connection: Connection) -> None:
    peer.answers = [(b"HTTP/1.1 404 Not ", b"Found\r\nContent-Length: 0\r\n\r\n")]
    parts: list[bytes] = []
    feed = _Parser.feed

    def byte_by_byte(parser: _Parser, data: bytes) -> None:
        for byte in data:
            parts.append(bytes([byte]))
            feed(parser, parts[-1])

    with mock.patch.object(_Parser, "feed", byte_by_byte):
        answer = _exchange(connection)
    assert len(parts) > 40
    assert (answer.status, answer.reason, answer.headers) == (404, "Not Found", {"content-length": "0"})


def _gzip(data: bytes) -> bytes:
    # Without the time: it would be in the names of tests, which must be the same in each of pytest's processes.
    return gzip.compress(data, mtime=0)


@pytest.mark.parametrize("encoding", [b"gzip", b"GZIP", b"x-gzip"])
def test_a_packed_answer_is_unpacked(peer: Peer, connection: Connection, encoding: bytes) -> None:
    peer.answers = [(_packed(encoding, _gzip(b"w1")),)]
    assert _exchange(connection).body == b"w1"


@pytest.mark.parametrize(
    ("encoding", "body", "unpacked"),
    [
        (b"gzip", _gzip(b"w") + _gzip(b"1"), b"w1"),
        (b"gzip", b"", b""),
        (b"", b"w1", b"w1"),
        (b"identity", b"w1", b"w1"),
    ],
)
def test_all_of_an_answer_is_unpacked(
    peer: Peer, connection: Connection, encoding: bytes, body: bytes, unpacked: bytes
) -> None:
    peer.answers = [(_packed(encoding, body),)]
    assert _exchange(connection).body == unpacked


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (b"gzip", _gzip(b"x" * 1_000_000)),
        (b"gzip", _gzip(b"x") * 1_001),
        (b"gzip", _gzip(b"w") + _gzip(b"1")[:-4]),
        (b"gzip", _gzip(b"w1") + b"and more"),
        (b"gzip", _gzip(b"w1")[:-4]),
        (b"gzip", b"w1"),
        (b"br", b"w1"),
    ],
)
def test_what_cannot_be_unpacked_is_no_answer(peer: Peer, connection: Connection, encoding: bytes, body: bytes) -> None:
    peer.answers = [(_packed(encoding, body),)]
    with pytest.raises(Garbled):
        _exchange(connection)


def test_an_answer_that_comes_before_all_of_the_request_is_sent_is_read(
    peer: Peer, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from a proxy for which a body is too large."""
    peer.answers = [(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n", None)]
    send = socket.socket.sendall

    def break_off(sock: socket.socket, data: memoryview) -> None:
        send(sock, data)
        if data == _REQUEST:
            assert peer.hung_up.wait(PATIENCE)
            raise BrokenPipeError

    monkeypatch.setattr(socket.socket, "sendall", break_off)
    assert _exchange(connection).status == 413


def test_a_server_that_does_not_speak_tls_is_not_reached(peer: Peer) -> None:
    """Nothing was sent, so nothing is in doubt."""
    connection = Connection(peer.url.replace("http:", "https:"), tls_context())
    peer.answers = [(b"HTTP/1.1 400 Bad Request\r\n\r\n", None)]
    with pytest.raises(Unreachable, match="no connection") as raised:
        _exchange(connection)
    assert isinstance(raised.value.__cause__, (ssl.SSLError, ConnectionError))


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64 + ".example"])
def test_a_host_without_an_address_is_not_reached(host: str) -> None:
    with pytest.raises(Unreachable, match="no connection"):
        _exchange(Connection(f"http://{host}/api", None))


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://conductor/api", "conductor"),
        ("http://conductor:8080/api", "conductor:8080"),
        ("http://user:password@[::1]:8080/api", "[::1]:8080"),
        ("http://conductor:80/api", "conductor"),
        ("http://conductor:443/api", "conductor:443"),
        ("http://conductor.example.com./api", "conductor.example.com"),
        ("http://conductor.example.com.:8080/api", "conductor.example.com:8080"),
        ("http://[fe80::1%25eth0]:8080/api", "[fe80::1]:8080"),
        ("http://[fe80::1%25eth0]/api", "[fe80::1]"),
    ],
)
def test_the_host_is_named_with_an_unusual_port_and_without_a_user(url: str, host: str) -> None:
    """Proxies compare this name with those that they serve."""
    assert Connection(url, None).host == host


def test_by_tls_the_usual_port_is_another() -> None:
    assert Connection("https://conductor:443/api", tls_context()).host == "conductor"
    assert Connection("https://conductor:80/api", tls_context()).host == "conductor:80"


def _certified(folder: Path, name: str) -> ssl.SSLContext:
    """A server of that name, whose certificate is `certificate` in the folder and its own authority."""
    subject = f"-subj /CN=conductor -addext subjectAltName=DNS:{name}"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes {subject} -keyout key -out certificate"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(folder / "certificate", folder / "key")
    return serving


def test_a_certificate_that_nobody_vouches_for_is_told_from_a_server_that_is_down(peer: Peer, tmp_path: Path) -> None:
    peer.tls = _certified(tmp_path, "localhost")
    url = f"https://localhost:{peer.address[1]}/api"
    with pytest.raises(NotTrusted, match=r"^its certificate isn't trusted: self-signed certificate$"):
        _exchange(Connection(url, tls_context()))
    trusting = tls_context()
    trusting.load_verify_locations(tmp_path / "certificate")
    with pytest.raises(NotTrusted, match="certificate is not valid for '127"):
        _exchange(Connection(url.replace("localhost", "127.0.0.1"), trusting))


def test_a_certificate_is_checked_against_the_name_without_the_dot_at_its_end(
    peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resolver looks for such a name as it is, without the domains that it otherwise tries; no certificate has the
    dot."""
    names: list[str | None] = []
    peer.tls = _certified(tmp_path, "conductor.example")
    peer.tls.sni_callback = lambda _socket, name, _context: names.append(name)
    asked: list[str] = []
    connect = socket.create_connection

    def to_the_peer(address: tuple[str, int], seconds: float) -> socket.socket:
        asked.append(address[0])
        return connect(peer.address, seconds)

    monkeypatch.setattr(socket, "create_connection", to_the_peer)
    trusting = tls_context()
    trusting.load_verify_locations(tmp_path / "certificate")
    connection = Connection("https://conductor.example./api", trusting)
    peer.answers = [(_OK + b"w1",)]
    assert _exchange(connection).body == b"w1"
    assert (asked, names) == (["conductor.example."], ["conductor.example"])
    connection.close()


def test_a_silent_server_is_given_up(peer: Peer, connection: Connection) -> None:
    peer.answers = [(b"HTTP/1.1 200 OK\r\n",)]
    with pytest.raises(TimeoutError):
        _exchange(connection, seconds=0.2)


def test_after_an_error_nothing_is_kept(peer: Peer, connection: Connection) -> None:
    peer.answers = [(_OK + b"w1 and",), (b"HTTP/1.1 200 OK\r\n",), (_OK + b"w3",)]
    assert _exchange(connection).body == b"w1"
    with pytest.raises((ConductorError, OSError)):
        _exchange(connection, seconds=0.2)
    assert _exchange(connection).body == b"w3"
