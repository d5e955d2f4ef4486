"""How requests reach the application: whole ones together, the others each for itself, over real sockets."""

from __future__ import annotations

import http.client
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from events.records import EventFilter
from events.sqlite import SqliteStore, open_store
from relay.server import _STAY
from tests.relay.test_gunicorn import KEY, Process, eventually

DEFINITIONS = f"""webhooks:
  - {{name: one, headers: {{X-Api-Key: {KEY}}}, dedup: {{header: X-Id}}, receivers: {{a: any}}}}
  - {{name: topic, platform: aws-sns, receivers: {{a: any}}}}
"""


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    process = Process(tmp_path_factory.mktemp("server"))
    process.file.write_text(DEFINITIONS)
    process.start()
    assert eventually(lambda: process.status("GET", "/readyz") == 200), process.log.read_text()
    yield process
    assert process.stop() == 0
    assert "Traceback" not in process.log.read_text()


@pytest.fixture
def store(relay: Process) -> Iterator[SqliteStore]:
    store = open_store(f"sqlite:///{relay.folder}/b.db")
    yield store
    store.close()


def connect(relay: Process) -> socket.socket:
    return socket.create_connection(("127.0.0.1", relay.port), timeout=20)


def request(body: bytes = b"{}", more: str = "", path: str = "/webhook/one", version: str = "1.1") -> bytes:
    head = f"POST {path} HTTP/{version}\r\nHost: h\r\nX-Api-Key: {KEY}\r\nContent-Type: application/json\r\n{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Answers:
    """The answers that come on a connection, in turn."""

    def __init__(self, connection: socket.socket):
        self._file = connection.makefile("rb")

    def next(self) -> tuple[int, dict[str, str]]:
        """The next one's status and body."""
        status = int(self._file.readline().split()[1])
        headers = http.client.parse_headers(self._file)
        return status, json.loads(self._file.read(int(headers["Content-Length"])))

    def ended(self) -> bool:
        """Whether the relay has closed the connection."""
        return self._file.read() == b""


def test_every_delivery_of_many_connections_at_once_is_stored_once_and_gets_its_own_answer(
    relay: Process, store: SqliteStore
) -> None:
    def deliver(sender: int) -> list[tuple[str, str, bool]]:
        pauses = random.Random(sender)
        connection = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=60)  # it sends head and body apart
        found = []
        for number in range(100):
            if number % 2:  # about as long as the relay awaits the next request before it leaves that to its poller
                time.sleep(pauses.uniform(0.5, 1.5) * _STAY)
            id_ = f"many-{sender // 2}-{number}"  # two senders each deliver the same
            headers = {"X-Api-Key": KEY, "X-Id": id_, "Content-Type": "application/json"}
            connection.request("POST", "/webhook/one", json.dumps({"id": id_}), headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
            assert response.status == 200
            found.append((id_, answer["eventId"], answer.get("duplicate", False)))
            if number % 10 == sender % 10:
                connection.close()  # the next request opens it again
        connection.close()
        return found

    with ThreadPoolExecutor(24) as pool:
        answers = [one for found in pool.map(deliver, range(24)) for one in found]

    events = {event.id: event for event in store.events(EventFilter(webhook="one", limit=10_000))}
    assert len(answers) == 2400
    assert sum(duplicate for _, _, duplicate in answers) == 1200
    assert len({event_id for _, event_id, _ in answers}) == 1200
    for id_, event_id, _ in answers:
        assert json.loads(events[event_id].payload)["id"] == id_
        assert events[event_id].delivery_id == id_


def test_requests_that_are_sent_without_waiting_are_answered_in_turn(relay: Process) -> None:
    with connect(relay) as connection:
        connection.sendall(request(more="X-Id: p1\r\n") + request(b"{") + request(more="X-Id: p1\r\n"))
        answers = Answers(connection)
        first, second, third = answers.next(), answers.next(), answers.next()
    assert (first[0], second[0], third[0]) == (200, 400, 200)
    assert third[1] == {"eventId": first[1]["eventId"], "duplicate": True}


@pytest.mark.parametrize("cut", [1, 30, -2, -1])
def test_a_request_that_comes_in_pieces_is_answered_once_it_is_whole(cut: int, relay: Process) -> None:
    whole = request(b'{"a": 1}')
    with connect(relay) as connection:
        for piece in (whole[:cut], whole[cut:], whole):  # then a whole one on the same connection
            connection.sendall(piece)
            time.sleep(0.05)
        answers = Answers(connection)
        assert [answers.next()[0], answers.next()[0]] == [200, 200]


def test_larger_and_chunked_bodies_and_old_clients_are_served_too(relay: Process) -> None:
    large = json.dumps({"text": "x" * 300_000}).encode()
    chunked = request().replace(
        b"Content-Length: 2\r\n\r\n{}", b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    )
    expecting = request(more="Expect: 100-continue\r\n")
    with connect(relay) as connection:
        answers = Answers(connection)
        for one in (request(large), chunked, request()):
            connection.sendall(one)
            assert answers.next()[0] == 200
        connection.sendall(expecting)
        assert connection.recv(12) == b"HTTP/1.1 100"
    for last in (request(version="1.0"), request(more="Connection: close\r\n")):
        with connect(relay) as connection:
            connection.sendall(last)
            answers = Answers(connection)
            assert answers.next()[0] == 200
            assert answers.ended()


@pytest.mark.parametrize(
    "raw",
    [
        request(more="X y: z\r\n"),
        request(more="X: \0\r\n"),
        request(more="Content-Length: 1\r\n"),
        request(more="Transfer-Encoding: chunked\r\n"),
        request(more="Transfer-Encoding: gzip\r\n"),
        request(path="/webhook/one two"),
        b"\r\n" + request(version="9"),
        request().replace(b"POST", b"P\xffST"),
    ],
)
def test_what_is_no_http_is_refused_also_when_it_comes_whole(raw: bytes, relay: Process) -> None:
    with connect(relay) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        answers = Answers(connection)
        status, body = answers.next()
        assert 400 <= status < 500
        assert set(body) == {"error", "message"}
        assert answers.ended()


def test_whoever_hangs_up_before_the_answer_harms_nobody(relay: Process) -> None:
    for _ in range(50):
        with connect(relay) as connection:
            connection.sendall(request())
    assert [relay.status("POST", "/webhook/one", b"{}") for _ in range(12)] == [200] * 12


def test_slow_senders_hold_no_thread_and_get_their_answer(relay: Process) -> None:
    whole = request(b'{"a": 1}')
    slow = [connect(relay) for _ in range(150)]  # more than there are threads
    try:
        for connection in slow:
            connection.sendall(whole[:-3])
        assert [relay.status("POST", "/webhook/one", b"{}") for _ in range(12)] == [200] * 12
        for number, connection in enumerate(slow):
            if number % 2:
                connection.sendall(whole[-3:])
            connection.shutdown(socket.SHUT_WR)
        assert [Answers(connection).next()[0] for connection in slow] == [400, 200] * 75
    finally:
        for connection in slow:
            connection.close()


def test_idle_connections_hold_no_thread(relay: Process) -> None:
    idle = [connect(relay) for _ in range(150)]  # more than there are threads
    try:
        with connect(relay) as connection:
            for _ in range(3):
                connection.sendall(request())
                assert Answers(connection).next()[0] == 200
    finally:
        for connection in idle:
            connection.close()


def test_who_waits_for_a_vendors_key_lets_the_others_through(tmp_path_factory: pytest.TempPathFactory) -> None:
    asked, answer = threading.Event(), threading.Event()

    class Mirror(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.set()
            answer.wait(4)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    mirror = ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    threading.Thread(target=mirror.serve_forever, daemon=True).start()
    message = {
        "Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:eu-central-1:1:t", "Message": "m",
        "Timestamp": "2025-10-09T08:53:20.000Z", "SignatureVersion": "2", "Signature": "AAAA",
        "SigningCertURL": "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem",
    }  # fmt: skip
    relay = Process(tmp_path_factory.mktemp("keys"))
    relay.file.write_text(DEFINITIONS)
    try:
        relay.start(BRIDGE_KEY_MIRROR=f"http://127.0.0.1:{mirror.server_port}")
        assert eventually(lambda: relay.status("GET", "/readyz") == 200), relay.log.read_text()
        with connect(relay) as waiting:
            waiting.sendall(request(json.dumps(message).encode(), path="/webhook/topic"))
            assert asked.wait(20)
            # More than once for each process, and on new connections.
            assert [relay.status("POST", "/webhook/one", b"{}") for _ in range(12)] == [200] * 12
            assert not answer.is_set()
            answer.set()
            assert Answers(waiting).next()[0] == 503
        assert relay.stop() == 0
    finally:
        answer.set()
        mirror.shutdown()
        mirror.server_close()
        if relay.process is not None and relay.process.poll() is None:
            relay.process.kill()
            relay.process.wait(30)
