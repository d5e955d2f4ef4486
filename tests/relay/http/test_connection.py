"""Heads are collected once and up to a bound, and bodies come in turns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gevent
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from gevent import socket, ssl
from gunicorn.config import Config
from gunicorn.http import get_parser
from gunicorn.http.errors import LimitRequestHeaders, NoMoreData

from relay.http.connection import LARGEST_HEAD, Connection, Places, TooMuchFraming
from relay.http.memory import Memory, Overloaded
from testkit import PATIENCE
from tests.relay.certificates import certificate
from tests.worker.clock import Clock


class Peer:
    """A socket that a sender's pieces come from; the parser may read less at a time."""

    def __init__(self, *pieces: bytes):
        self._pieces = list(pieces)
        self.read = 0
        self.shut: list[int] = []

    def recv(self, size: int) -> bytes:
        if not self._pieces:
            return b""
        piece, self._pieces[0] = self._pieces[0][:size], self._pieces[0][size:]
        if not self._pieces[0]:
            self._pieces.pop(0)
        self.read += len(piece)
        return piece

    def shutdown(self, how: int) -> None:
        self.shut.append(how)


def config() -> Config:
    made = Config()
    made.set("limit_request_field_size", 16380)
    return made


class Served:
    """The requests of a connection, as gunicorn's worker reads them."""

    def __init__(self, *pieces: bytes, memory: Memory | None = None):
        self.memory = memory or Memory()
        self.peer = Peer(*pieces)
        self.connection = Connection(self.peer, self.memory)
        self.looks = 0
        receive = self.connection.recv

        def counted(size: int) -> bytes:
            self.looks += 1
            return receive(size)

        self.connection.recv = counted  # type: ignore[method-assign]
        self._parser = get_parser(config(), self.connection, ("127.0.0.1", 1))

    def next(self) -> tuple[str, bytes]:
        """The next request's path and body."""
        request: Any = next(self._parser)
        self.connection.head_is_read()
        body = request.body.read()
        self.connection.request_is_over()
        return request.path, body


def pieces(whole: bytes, size: int) -> list[bytes]:
    return [whole[begin : begin + size] for begin in range(0, len(whole), size)]


REQUESTS = (
    b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
    b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n"
    b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX: t\r\n\r\n"
    b"POST /d HTTP/1.1\r\nContent-Length: 4\r\nHost: h\r\n\r\n\r\n\r\n"
    b"\r\nPOST /e HTTP/1.1\r\nContent-Length: 3\r\nHost: h\r\n\r\n\r\n\r"
    b"GET /f HTTP/1.1\r\nHost: h\r\n\r\n"
)


@pytest.mark.parametrize("size", range(1, 60))
def test_requests_are_the_same_in_whatever_pieces_they_come(size: int) -> None:
    served = Served(*pieces(REQUESTS, size))
    found = [served.next() for _ in range(6)]
    assert found == [
        ("/a", b"hello"),
        ("/b", b""),
        ("/c", b"abcde"),
        ("/d", b"\r\n\r\n"),
        ("/e", b"\r\n\r"),
        ("/f", b""),
    ]
    with pytest.raises(StopIteration):
        served.next()
    assert served.memory.held == 0


def test_the_parser_looks_at_a_head_once_however_it_trickles() -> None:
    head = b"GET /a HTTP/1.1\r\n" + b"".join(b"X-%d: %b\r\n" % (n, b"y" * 600) for n in range(90)) + b"\r\n"
    served = Served(*pieces(head, 1))
    assert served.next() == ("/a", b"")
    assert served.looks == 1


@pytest.mark.parametrize("field", [b"X: " + b"y" * 16_000 + b"\r\n", b"Y" * 5000, b"\r", b"a:b\r\n"])
@pytest.mark.parametrize("size", [7, 8192])
def test_no_more_of_a_head_is_read_than_it_may_have(field: bytes, size: int) -> None:
    endless = b"GET /a HTTP/1.1\r\n" + field * (2 * LARGEST_HEAD // len(field))
    served = Served(*pieces(endless, size))
    with pytest.raises(LimitRequestHeaders):
        served.next()
    assert served.peer.read <= LARGEST_HEAD + 8192
    assert served.looks == 1


@pytest.mark.parametrize("size", [1, 100])
def test_a_line_that_ends_otherwise_is_refused_at_once(size: int) -> None:
    served = Served(*pieces(b"GET /a HTTP/1.1\n" + b"X: y\n" * 1000, size))
    with pytest.raises(Exception, match=r"[Bb]are LF"):
        served.next()
    assert served.peer.read < 200


def test_a_head_that_breaks_off_is_none() -> None:
    with pytest.raises(NoMoreData):
        Served(b"GET /a HTTP/1.1\r\nHost").next()


def test_what_a_request_has_sent_is_held_until_it_is_over() -> None:
    memory = Memory()
    served = Served(b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n", *pieces(b"x" * 100_000, 9000), memory=memory)
    request: Any = next(served._parser)
    served.connection.head_is_read()
    request.body.read(50_000)
    assert 50_000 <= memory.held <= 110_000
    served.connection.discard()
    request.body.read()
    assert memory.held == 0


def test_what_is_given_back_is_held_once() -> None:
    memory = Memory()
    connection = Connection(Peer(REQUESTS), memory)
    whole = connection.receive_some()
    connection.request_is_over()
    assert memory.held == 0
    connection.unread(whole[50:])
    assert connection.receive_some() == whole[50:]
    assert memory.held == len(whole) - 50
    connection.unread(whole[50:])
    connection.recv(8192)
    assert memory.held == len(whole) - 50


def test_who_gives_way_gets_no_further() -> None:
    served = Served(*pieces(REQUESTS, 10))
    receive = served.peer.recv

    def meanwhile(size: int) -> bytes:
        if served.peer.read > 30:
            served.connection.give_way()
        return receive(size)

    served.peer.recv = meanwhile  # type: ignore[method-assign]
    with pytest.raises(Overloaded):
        served.next()
    assert served.peer.shut
    assert served.peer.read <= 50


def test_chunks_of_hardly_any_content_are_refused() -> None:
    """A chunk of one byte costs its sender six and the parser the work of a large one."""
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    served = Served(head, b"1\r\nx\r\n" * 200_000)
    request: Any = next(served._parser)
    served.connection.head_is_read()
    served.connection.expect(64 * 1024)
    with pytest.raises(TooMuchFraming):
        request.body.read(64 * 1024)
    assert served.peer.read < 300_000


def test_an_extension_without_an_end_is_refused() -> None:
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    served = Served(head, b"1;" + b"e" * 10_000 + b"\r\nx\r\n", *[b"1;" + b"e" * 10_000 + b"\r\nx\r\n"] * 500)
    request: Any = next(served._parser)
    served.connection.head_is_read()
    served.connection.expect(64 * 1024)
    with pytest.raises(TooMuchFraming):
        request.body.read(64 * 1024)
    assert served.peer.read < 300_000


def test_usual_chunks_come_whole() -> None:
    content = b"x" * 1_000_000
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces(content, 20)) + b"0\r\n\r\n"
    served = Served(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", chunks)
    request: Any = next(served._parser)
    served.connection.head_is_read()
    found = b""
    while True:
        served.connection.expect(64 * 1024)
        piece = request.body.read(64 * 1024)
        found += piece
        if not piece:
            break
    assert found == content


def test_of_too_many_connections_the_one_that_waits_longest_ends() -> None:
    places = Places(10)
    peers = [Peer(b"GET /a HTTP/1.1\r\n") for _ in range(12)]
    connections = [Connection(peer, Memory()) for peer in peers]
    for connection in connections[:9]:
        places.take(connection)
    places.take(connections[0])  # has had a request, and waits for another
    places.take(connections[9])
    assert [bool(peer.shut) for peer in peers[:9]] == [False, True] + [False] * 7
    places.leave(connections[2])
    places.take(connections[10])
    places.take(connections[11])
    assert [bool(peer.shut) for peer in peers] == [False, True, False, True] + [False] * 8
    assert connections[3].recv(100) == b""  # who has asked for nothing gets no answer


@pytest.mark.parametrize("begun", [b"", b"POST /a HTTP/1.1\r\n"])
def test_who_waits_in_gevent_as_he_gives_way_is_told_to_come_again(begun: bytes) -> None:
    """gevent ends the wait with an error of its own, which was logged, and answered 400 in the midst of a body."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = Connection(ours, Memory())
        theirs.sendall(begun)
        reading = gevent.spawn(connection.recv, 8192)
        gevent.sleep(0)
        gevent.sleep(0)
        connection.give_way()
        if begun:
            with pytest.raises(Overloaded):
                reading.get(timeout=PATIENCE)
        else:
            assert reading.get(timeout=PATIENCE) == b""
        ours.sendall(b"an answer")
        assert theirs.recv(100) == b"an answer"


def test_a_tls_peer_that_never_reads_is_given_up_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.http.connection.LONGEST_ANSWER", 0.2)
    monkeypatch.setattr("relay.http.connection.ssl", ssl)  # as the relay's worker has it
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = tmp_path / "pem"
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(private.private_bytes(*form) + certificate(private))
    serving, asking = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    serving.load_cert_chain(pem)
    asking.check_hostname, asking.verify_mode = False, ssl.CERT_NONE
    ours, theirs = socket.socketpair()
    client = gevent.spawn(asking.wrap_socket, theirs)
    peer = serving.wrap_socket(ours, server_side=True)
    client.join()
    connection = Connection(peer, Memory())
    connection.head_is_read()
    connection.body_is_read()
    connection.sendall(bytes(8 * 1024 * 1024))
    with gevent.Timeout(10), client.get(), peer, pytest.raises(BrokenPipeError):
        connection.finish(None)


@pytest.mark.parametrize("early", [False, True])
def test_an_answer_that_nobody_reads_takes_no_memory_once_others_need_it(
    early: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a workflow answers may be large, and its sender may never read it."""
    monkeypatch.setattr("relay.http.connection._LAST_CHANCE", 0.1)
    clock = Clock()
    memory = Memory(10_000_000, clock)
    pairs = [socket.socketpair() for _ in range(9)]

    def serve(ours: Any) -> None:
        connection = Connection(ours, memory)
        connection.head_is_read()
        connection.body_is_read()
        connection.hold(5_000_000)
        if early:
            gevent.sleep(0)  # the others come before the answer is sent
        connection.sendall(bytes(5_000_000))
        try:
            connection.finish(None)
        except BrokenPipeError:
            ended.append(ours)
        finally:
            connection.request_is_over()

    ended: list[Any] = []
    serving = []
    for ours, _ in pairs:
        serving.append(gevent.spawn(serve, ours))
        gevent.sleep(0.0 if early else 0.01)
        clock.seconds += 2
    with gevent.Timeout(PATIENCE):
        while len(ended) < 6:
            gevent.sleep(0.01)
    assert memory.held <= 15_000_000
    for _, theirs in pairs:
        theirs.close()
    gevent.joinall(serving)
    for ours, _ in pairs:
        ours.close()
    assert memory.held == 0
