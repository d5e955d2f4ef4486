"""Peers as the open internet has them, over real sockets: slow, silent, hasty, hostile, and many at
once."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from statistics import median

import pytest

from relay.http.bodies import LONGEST
from store.sql.event_search import EventFilter
from store.sqlite import SqliteStore, open_store
from tests.support.chance import in_time
from tests.support.relay_process import KEY, PATIENT, Answers, Process, connect, request, serving
from tools.bench.hostile_requests import ANSWERS, NO_HTTP, attack
from tools.servers import PATIENCE, eventually
from tools.servers.http_server import Handler, HttpServer
from tools.servers.namespace import Namespace
from tools.servers.processes import Failed

DEFINITIONS = f"""webhooks:
  - {{name: one, headers: {{X-Api-Key: {KEY}}}, dedup: {{header: X-Id}}, receivers: {{a: any}}}}
  - {{name: topic, platform: aws-sns, receivers: {{a: any}}}}
  - {{name: parts, headers: {{X-Api-Key: {KEY}}}, split: true, receivers: {{a: any}}}}
"""
LARGE = f"""\
  - {{name: large, headers: {{X-Api-Key: {KEY}}}, respond: {{body: {"x" * 500_000}}}, receivers: {{a: any}}}}
"""


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with serving(tmp_path_factory.mktemp("peers"), DEFINITIONS + LARGE, **PATIENT) as process:
        yield process


@pytest.fixture(scope="module")
def usual(relay: Process) -> float:
    """How long twelve honest deliveries take while there are no peers."""
    return relay.seconds()


@pytest.fixture
def store(relay: Process) -> SqliteStore:
    return open_store(f"sqlite:///{relay.folder}/b.db")


def status_at_end(relay: Process, raw: bytes) -> int:
    """The status of the one answer to this, after which the connection must end."""
    with connect(relay) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        answers = Answers(connection)
        status = answers.status()
        assert answers.ended()
    return status


def test_no_senders_word_about_paths_and_schemes_is_believed(relay: Process) -> None:
    more = "SCRIPT_NAME: /elsewhere\r\nPATH_INFO: /elsewhere\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n"
    with connect(relay) as connection:
        connection.sendall(request(more=more))
        assert Answers(connection).next()[0] == 200


def test_larger_and_chunked_bodies_are_served_too(relay: Process) -> None:
    large = json.dumps({"text": "x" * 300_000}).encode()
    chunked = request().replace(
        b"Content-Length: 2\r\n\r\n{}", b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    )
    with connect(relay) as connection:
        answers = Answers(connection)
        for one in (request(large), chunked, request()):
            connection.sendall(one)
            assert answers.next()[0] == 200


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
    assert status_at_end(relay, raw) in NO_HTTP


def test_whoever_hangs_up_before_the_answer_harms_nobody(relay: Process) -> None:
    for _ in range(50):
        with connect(relay) as connection:
            connection.sendall(request())
    assert [relay.status("POST", "/webhook/one", b"{}") for _ in range(12)] == [200] * 12


def test_slow_senders_hold_up_nobody_and_get_their_answer(relay: Process) -> None:
    whole = request(b'{"a": 1}')
    began = time.monotonic()
    slow = [connect(relay) for _ in range(150)]
    try:
        for connection in slow:
            connection.sendall(whole[:-3])
        assert [relay.status("POST", "/webhook/one", b"{}") for _ in range(12)] == [200] * 12
        for number, connection in enumerate(slow):
            if number % 2:
                connection.sendall(whole[-3:])
            connection.shutdown(socket.SHUT_WR)
        answers = [Answers(connection).next()[0] for connection in slow]
        assert answers == [400, 200] * 75 or time.monotonic() - began > LONGEST
    finally:
        for connection in slow:
            connection.close()


def test_idle_connections_hold_up_nobody(relay: Process) -> None:
    idle = [connect(relay) for _ in range(150)]
    try:
        with connect(relay) as connection:
            for _ in range(3):
                connection.sendall(request())
                assert Answers(connection).next()[0] == 200
    finally:
        for connection in idle:
            connection.close()


def answers_at_once(relay: Process, usual: float) -> bool:
    """Whether honest senders get their answer at once: a peer can hold a place for 15 s and more."""
    return relay.seconds() < 10 + 10 * usual


@pytest.mark.measured
def test_half_open_old_peers_hold_up_nobody(relay: Process, usual: float) -> None:
    """They announce an empty body, get their answer, and never close."""
    stay = [connect(relay) for _ in range(400)]
    try:
        for connection in stay:
            connection.sendall(b"POST /webhook/one HTTP/1.0\r\nContent-Length: 0\r\n\r\n")
        in_time(answers_at_once(relay, usual))
        assert {Answers(connection).next()[0] for connection in stay} == {401}
    finally:
        for connection in stay:
            connection.close()


def test_who_waits_for_a_100_gets_it_at_once_and_then_the_answer(relay: Process) -> None:
    whole = request(b'{"a": 1}', more="Expect: 100-continue\r\n")
    with connect(relay) as connection:
        # Without an answer it would be waited for, for as long as a body may take.
        connection.sendall(whole[:-8])
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(whole[-8:])
        assert Answers(connection).next()[0] == 200


@pytest.mark.measured
def test_trickled_heads_and_bodies_hold_up_nobody(relay: Process, usual: float) -> None:
    whole = request(b'{"a": "' + b"x" * 100 + b'"}')
    began = time.monotonic()
    peers = [connect(relay) for _ in range(60)]
    try:
        for number in range(20):
            for position, connection in enumerate(peers):
                # In the head, or in the body.
                begin = number + (0 if position % 2 else len(whole) - 50)
                connection.sendall(
                    whole[begin : begin + 1] if number or position % 2 else whole[: begin + 1]
                )
        in_time(answers_at_once(relay, usual))
        for position, connection in enumerate(peers):
            connection.sendall(whole[20:] if position % 2 else whole[len(whole) - 30 :])
        assert {Answers(connection).next()[0] for connection in peers} == {
            200
        } or time.monotonic() - began > LONGEST
    finally:
        for connection in peers:
            connection.close()


def test_many_pipelined_requests_are_answered_in_turn_also_when_the_answers_are_read_late(
    relay: Process,
) -> None:
    with connect(relay) as connection:
        for number in range(300):
            connection.sendall(request(more=f"X-Id: pipe{number % 150}\r\n"))
        answers = Answers(connection)
        found = [answers.next() for _ in range(300)]
    assert {status for status, _ in found} == {200}
    assert [body["eventId"] for _, body in found[:150]] == [
        body["eventId"] for _, body in found[150:]
    ]


@pytest.mark.parametrize("more", ["", "Connection: close\r\n"])
def test_a_body_that_is_too_large_is_refused_and_its_sender_sees_that(
    more: str, relay: Process
) -> None:
    """Also one that sends all of it before it reads: the connection must not be reset under its
    answer."""
    with connect(relay) as connection:
        connection.sendall(request(b"x" * 20_000_000, more=more))
        assert Answers(connection).next()[0] == 413


def test_a_connection_is_of_use_again_after_a_body_that_was_not_read(relay: Process) -> None:
    with connect(relay) as connection:
        answers = Answers(connection)
        connection.sendall(request(b"x" * 3_000_000, path="/webhook/nobody") + request())
        assert [answers.next()[0], answers.next()[0]] == [404, 200]


def takes_no_more(store: SqliteStore) -> bool:
    """Whether the relay has taken deliveries to `large`, and none for a moment."""
    chosen = EventFilter(webhook="large", limit=1000)
    before = len(store.queries.events(chosen))
    time.sleep(0.2)
    return 0 < before == len(store.queries.events(chosen))


def test_whoever_never_reads_holds_up_nobody(
    relay: Process, usual: float, store: SqliteStore
) -> None:
    """The answers are more than the kernel takes for a peer: four megabytes and a little."""
    peers = [connect(relay) for _ in range(8)]
    try:
        for connection in peers:
            connection.sendall(request(path="/webhook/large") * 20)
        assert eventually(lambda: takes_no_more(store))
        assert eventually(lambda: answers_at_once(relay, usual))
    finally:
        for connection in peers:
            connection.close()


def test_strangers_get_answers_of_the_table_whatever_they_send(
    relay: Process, usual: float
) -> None:
    """``python -m tools.bench.strangers`` does so 100,000 times."""
    paths = (
        "/webhook/one",
        "/webhook/parts",
        "/webhook/topic",
        "/webhook/nobody",
        "/healthz",
        "/nothing",
        "*",
    )
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda seed: attack(relay.port, 250, seed, paths), range(4)))
    assert {status for count in counts for status in count} <= ANSWERS
    assert answers_at_once(relay, usual)


@pytest.fixture
def slow_link() -> Iterator[Namespace]:
    """Where the relay is reached over a slow and lossy link."""
    try:
        with Namespace(links=1) as namespace:
            namespace.slow_down()
            yield namespace
    except Failed as error:
        pytest.skip(str(error))


READER = """
import socket, sys
host, port, body = sys.argv[1], int(sys.argv[2]), sys.stdin.buffer.read()
with socket.socket() as connection:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(50)
    connection.connect((host, port))
    connection.sendall(body)
    connection.shutdown(socket.SHUT_WR)
    while piece := connection.recv(2000):
        sys.stdout.buffer.write(piece)
"""


def test_a_large_answer_arrives_whole_over_a_slow_link(
    relay: Process, slow_link: Namespace
) -> None:
    sent = request(json.dumps(list(range(10_000))).encode(), path="/webhook/parts")
    here = slow_link.here[0]
    command = [*slow_link.within, sys.executable, "-c", READER, here, str(relay.port)]
    end = time.monotonic() + PATIENCE
    head = b"HTTP/1.1 503"
    # As a busy disk may be, for so many events.
    while head.startswith(b"HTTP/1.1 503") and time.monotonic() < end:
        done = subprocess.run(command, input=sent, capture_output=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr.decode()
        head, answer = done.stdout.split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 200"), head
    assert len(set(json.loads(answer)["eventIds"])) == 10_000


@pytest.fixture
def own_relay(tmp_path: Path) -> Iterator[Process]:
    """A relay that a test may stop."""
    process = Process(tmp_path)
    # One process: of several, one that is still starting misses a SIGTERM.
    process.start_ready(DEFINITIONS, GUNICORN_CMD_ARGS="--workers 1")
    yield process
    if process.process is not None and process.process.poll() is None:
        process.process.kill()
        process.process.wait(PATIENCE)


def test_a_body_under_way_is_answered_after_sigterm_and_idle_connections_delay_nothing(
    own_relay: Process,
) -> None:
    whole = request(b'{"a": 1}')
    idle = [connect(own_relay) for _ in range(20)]
    under_way: list[socket.socket] = []
    try:
        for connection in idle:
            connection.sendall(whole)
            assert Answers(connection).next()[0] == 200
        # Only now: a connection that sends no head for five seconds is closed.
        for _ in range(6):
            under_way.append(connect(own_relay))
            under_way[-1].sendall(whole[:-3])
        own_relay.seconds()  # so the relay has read what came before
        assert own_relay.process is not None
        own_relay.process.terminate()
        assert eventually(lambda: "Handling signal: term" in own_relay.log.read_text())
        for connection in under_way:
            connection.sendall(whole[-3:])
        assert [Answers(connection).next()[0] for connection in under_way] == [200] * 6
        assert own_relay.process.wait(PATIENCE) == 0
        assert "Worker exiting" in own_relay.log.read_text(), (
            "what doesn't end by itself is killed after 20 s"
        )
    finally:
        for connection in (*idle, *under_way):
            connection.close()


@pytest.mark.measured
@pytest.mark.parametrize("path", ["/webhook/one", "/readyz"])
def test_a_locked_store_is_answered_with_503_in_time_however_many_wait(
    path: str, own_relay: Process
) -> None:
    def ask(number: int) -> tuple[int, float]:
        time.sleep(number * 0.02)  # they don't all come at once
        with connect(own_relay) as connection:
            began = time.monotonic()
            connection.sendall(
                request() if path != "/readyz" else b"GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n"
            )
            return Answers(connection).next()[0], time.monotonic() - began

    with ThreadPoolExecutor(60) as pool:
        usual = max(seconds for _, seconds in pool.map(ask, range(60)))
    with closing(sqlite3.connect(own_relay.folder / "b.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        if path == "/readyz":  # what each process found last is answered for a second
            in_a_row: list[int] = []
            assert eventually(
                lambda: in_a_row.append(own_relay.status("GET", path)) or in_a_row[-9:] == [503] * 9
            )  # type: ignore[func-returns-value]

        with ThreadPoolExecutor(60) as pool:
            found = list(pool.map(ask, range(60)))
        assert {status for status, _ in found} == {503}
        # Of most: the machine itself may stall once.
        waits = [seconds for _, seconds in found]
        in_time(
            median(waits) < 4 + 5 * usual, "promised are 2.5 seconds on a machine that isn't busy"
        )
        in_time(max(waits) < 20 + 5 * usual, "each in turn would take over a minute")
        other.execute("ROLLBACK")
    assert own_relay.seconds()


def test_who_waits_for_a_vendors_key_lets_the_others_through(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    asked, answer = threading.Event(), threading.Event()

    class Mirror(Handler):
        def do_GET(self) -> None:
            asked.set()
            answer.wait(4)
            self.say(404)

    mirror = HttpServer(Mirror)
    message = {
        "Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:eu-central-1:1:t", "Message": "m",
        "Timestamp": "2025-10-09T08:53:20.000Z", "SignatureVersion": "2", "Signature": "AAAA",
        "SigningCertURL": "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem",
    }  # fmt: skip
    relay = Process(tmp_path_factory.mktemp("keys"))
    try:
        relay.start_ready(DEFINITIONS, BRIDGE_KEY_MIRROR=mirror.url)
        with connect(relay) as waiting:
            waiting.sendall(request(json.dumps(message).encode(), path="/webhook/topic"))
            assert asked.wait(PATIENCE)
            # More than once for each process, and on new connections.
            assert [relay.status("POST", "/webhook/one", b"{}") for _ in range(12)] == [200] * 12
            assert not answer.is_set()
            answer.set()
            assert Answers(waiting).next()[0] == 503
        assert relay.stop() == 0
    finally:
        answer.set()
        mirror.stop()
        if relay.process is not None and relay.process.poll() is None:
            relay.process.kill()
            relay.process.wait(PATIENCE)
