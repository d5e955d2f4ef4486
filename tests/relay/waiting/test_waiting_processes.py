"""Senders that wait at a relay of real processes: many at once, impatient ones, and what becomes of
them at its end."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store.answers import Answer
from store.sqlite import SqliteStore, open_store
from tests.support.relay_process import KEY, PATIENT, Process, serving
from tools.servers import PATIENCE, eventually

DEFINITIONS = f"""webhooks:
  - name: ask
    headers: {{X-Api-Key: {KEY}}}
    dedup: {{header: X-Id}}
    receivers: {{a: any}}
    respond: {{wait: 60s, output: $.reply}}
  - {{name: other, headers: {{X-Api-Key: {KEY}}}, receivers: {{a: any}}}}
"""
MANY = 300


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with serving(tmp_path_factory.mktemp("waiting"), DEFINITIONS, **PATIENT) as process:
        yield process


@pytest.fixture
def store(relay: Process) -> SqliteStore:
    return open_store(f"sqlite:///{relay.folder}/b.db")


class Asking:
    """A sender on a connection of its own, whose deliveries wait."""

    def __init__(self, relay: Process):
        self.socket = socket.create_connection(("127.0.0.1", relay.port), timeout=PATIENCE)
        self._file = self.socket.makefile("rb")

    def ask(self, id_: str | None = None) -> None:
        more = "" if id_ is None else f"X-Id: {id_}\r\n"
        head = f"POST /webhook/ask HTTP/1.1\r\nHost: h\r\nX-Api-Key: {KEY}\r\nContent-Type: application/json\r\n{more}"
        self.socket.sendall(f"{head}Content-Length: 2\r\n\r\n{{}}".encode())

    def answer(self) -> tuple[int, str]:
        status = int(self._file.readline().split()[1])
        headers = http.client.parse_headers(self._file)
        return status, self._file.read(int(headers["Content-Length"])).decode()

    def hang_up(self) -> None:
        self._file.close()
        self.socket.close()


Ask = Callable[..., Asking]
"""Makes a delivery to a relay, which may have an id."""


@pytest.fixture
def ask() -> Iterator[Ask]:
    """Makes deliveries that wait. At the test's end, however it ends, all of them hang up."""
    made: list[Asking] = []

    def ask(relay: Process, id_: str | None = None) -> Asking:
        made.append(Asking(relay))
        made[-1].ask(id_)
        return made[-1]

    yield ask
    for one in made:
        one.hang_up()


def open_events(store: SqliteStore, number: int) -> list[str]:
    """The events with an answer to come, once there are so many."""
    assert eventually(lambda: len(store.answers.open(store.now())) == number)
    return [one.event_id for one in store.answers.open(store.now())]


def metric(relay: Process, name: str) -> float:
    """Its value; 0 before anybody serves it."""
    relay.status("GET", "/metrics", port=relay.metrics_port)
    found = re.search(rf"^{re.escape(name)} (\S+)$", relay.body.decode(), re.MULTILINE)
    return 0.0 if found is None else float(found[1])


def end(store: SqliteStore, ids: list[str]) -> None:
    """Their workflows answer, each with its event's id."""
    store.answers.record([Answer(id_, "COMPLETED", "w1", json.dumps(id_)) for id_ in ids])


def test_many_wait_without_holding_up_others_and_each_gets_its_own_answer(
    relay: Process, store: SqliteStore, ask: Ask
) -> None:
    waiting: list[Asking] = []
    for number in range(MANY):  # one by one: at once, a slow disk's are answered 503
        waiting.append(ask(relay))
        ids = open_events(store, number + 1)
    assert eventually(lambda: metric(relay, "bridge_senders_waiting") == MANY)
    assert relay.status("POST", "/webhook/other", b"{}") == 200
    end(store, ids)
    answers = [one.answer() for one in waiting]
    assert {status for status, _ in answers} == {200}
    assert {body for _, body in answers} == set(ids)
    assert eventually(lambda: metric(relay, "bridge_senders_waiting") == 0)
    assert eventually(
        lambda: metric(relay, 'bridge_waits_total{outcome="completed",webhook="ask"}') == MANY
    )
    waiting[0].ask()  # on the same connection
    end(store, open_events(store, 1))
    assert waiting[0].answer()[0] == 200


def test_a_killed_relay_loses_nothing_and_a_stopped_one_answers_at_once(
    tmp_path: Path, ask: Ask
) -> None:
    relay = Process(tmp_path)
    relay.start_ready(DEFINITIONS)
    store = open_store(f"sqlite:///{tmp_path}/b.db")
    try:
        asked = ask(relay, "d1")
        [event_id] = open_events(store, 1)
        relay.kill()
        assert asked.socket.recv(1) == b""

        relay.start_ready(DEFINITIONS)
        again = ask(relay, "d1")
        assert eventually(lambda: metric(relay, "bridge_senders_waiting") == 1)
        end(store, [event_id])
        assert again.answer() == (200, event_id)

        waiting = [ask(relay) for _ in range(5)]
        ids = open_events(store, 5)
        assert eventually(lambda: metric(relay, "bridge_senders_waiting") == 5)
        relay.process.send_signal(signal.SIGTERM)
        answers = [one.answer() for one in waiting]
        assert {status for status, _ in answers} == {202}
        assert {json.loads(body)["eventId"] for _, body in answers} == set(ids)
        assert relay.process.wait(PATIENCE) == 0
    finally:
        store.close()
        relay.kill()
