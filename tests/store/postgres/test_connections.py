"""Connections break, hang and are shared; what was answered stands, and what wasn't is answered in
time."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from store.clock import SteadyClock
from store.errors import StoreUnavailable
from store.open import open_store
from store.postgres import PostgresStore
from store.postgres.address import Address
from store.postgres.connections import Connection, Connections
from store.records import Decision, NewEvent, Target, new_event_id
from store.reports import Reports
from store.sql import rows
from tests.support import deciding
from tests.support.chance import in_time
from tests.support.deciding import adopt
from tests.support.makers import ME, completion, decide, ids, start, task
from tests.support.postgres_backend import Unhurried, all_the_time
from tools.servers import PATIENCE
from tools.servers.pgbouncer import PgBouncer
from tools.servers.postgres import Postgres
from tools.servers.processes import Failed

NOW = 1_700_000_000_000


@pytest.fixture
def store(migrated_url: str, unhurried: None) -> Iterator[PostgresStore]:
    store = open_store(migrated_url)
    assert isinstance(store, PostgresStore)
    store._connections.wait_limits = Unhurried()  # a notification that is late is dropped
    yield store
    store.close()


def event(delivery_id: str | None = None) -> NewEvent:
    return NewEvent(new_event_id(), "w", NOW, "{}", {}, {}, NOW, delivery_id)


def stored(url: str) -> list[str]:
    with psycopg.connect(url) as database:
        return [
            row[0] for row in database.execute("SELECT id FROM webhook_bridge.events ORDER BY seq")
        ]


def cut_all(url: str) -> None:
    """Ends every session on the database but our own, as a restart does."""
    with psycopg.connect(url) as database:
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid != pg_backend_pid()"
        )


def test_statements_sent_together_see_what_is_committed_whatever_the_servers_default(
    migrated_url: str,
) -> None:
    with psycopg.connect(migrated_url, autocommit=True) as other:
        other.execute(
            f"ALTER DATABASE {other.info.dbname} SET default_transaction_isolation = 'repeatable read'"
        )
        with closing(Connections(Address.parse(migrated_url))) as connections:
            connections.read("SELECT 1")
            levels = connections.read_together(
                ("SELECT 1", ()), ("SHOW transaction_isolation", ())
            )[1]
    assert levels == [("read committed",)]


# --- news ---


def heard(url: str, action: Callable[[], object], number: int) -> int:
    """How many notifications come of an action. So many are waited for, as it need not have sent
    them yet."""
    with psycopg.connect(url, autocommit=True) as database:
        database.execute("LISTEN webhook_bridge_events")
        action()
        found = (
            sum(1 for _ in database.notifies(timeout=PATIENCE, stop_after=number)) if number else 0
        )
        database.execute("SELECT 1")  # what was sent before is here by now
        return found + sum(1 for _ in database.notifies(timeout=0))


def test_a_commit_is_told_and_a_duplicate_tells_nobody(
    store: PostgresStore, migrated_url: str
) -> None:
    assert heard(migrated_url, lambda: store.deliveries.append([event("d")]), 1) == 1

    def duplicate() -> None:
        assert store.deliveries.append([event("d")])[0].duplicate

    assert heard(migrated_url, duplicate, 0) == 0


# --- round trips ---


def messages(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> int:
    """How many the connection sends that the action uses."""
    waits: Counter[Connection] = Counter()
    wait = Connection.wait

    def counted(connection: Connection, *given: Any, **more: Any) -> Any:
        waits[connection] += 1
        return wait(connection, *given, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Connection, "wait", counted)
        action()
    return waits.most_common(1)[0][1]  # the pool may be opening another one meanwhile


def test_a_decision_is_three_messages_its_writes_are_one(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several writes a host that is cut off may send the first ones, and hold the decider's row
    for good."""
    # Its thread may use the same connection.
    monkeypatch.setattr(store.signals, "notify", lambda _: None)
    assert store.leadership.elect("me", 10**6)
    adopt(store, ME, [task()], NOW)
    one = event()
    store.deliveries.append([one])
    assert messages(monkeypatch, lambda: decide(store, one.id, start(), completion(), claim=2)) == 3


# --- the clock ---


class Halting(SteadyClock):
    """The clock of a virtual machine, which stands still while that is halted."""

    halted = 0
    """Milliseconds so far."""

    def now(self) -> float:
        return super().now() - self.halted


def claimed_by_another(store: PostgresStore) -> Target:
    assert store.leadership.elect("me", 10**6)
    now = store.now()
    store.deliveries.append([NewEvent("e", "w", now, "{}", {}, {}, now)])
    [target] = deciding.decide(store, ME, [Decision("e", "pending", "no", (start(),))], now, 1)
    return target


def test_a_machine_that_was_halted_knows_the_time_as_soon_as_it_has_claimed(
    store: PostgresStore, migrated_url: str
) -> None:
    """It then sees that the claim is old, and renews it before the call."""
    target = claimed_by_another(store)
    store.claims.give_back("me", [target], 0)
    clock = Halting()
    with closing(PostgresStore(Connections(Address.parse(migrated_url), clock))) as behind:
        behind.reports.read()
        clock.halted = 20_000
        [target] = behind.claims.claim("behind", behind.now(), 0, 1)
        assert target.claimed_at is not None
        assert behind.now() - target.claimed_at >= 15_000


# --- broken ---


def test_connections_that_broke_while_they_were_idle_cost_nobody_an_error(
    store: PostgresStore, migrated_url: str
) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: store.reports.read(), range(20)))
    for use in (
        lambda: store.deliveries.append([event()]),
        lambda: store.reports.write(Reports(conductor="1")),
        lambda: store.decisions.agenda(9),
        store.deliveries.check_writable,
    ):
        cut_all(migrated_url)
        use()


class Proxy:
    """Passes bytes on in both directions; can lose the server's next answer and break the
    connection instead."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.lose_answer_to = b""
        """The answer to a message that holds these bytes is lost, once."""
        self.lost = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self._to))
        lose = threading.Event()

        def back() -> None:
            with suppress(OSError), closing(client):
                while data := server.recv(65536):
                    if lose.is_set():
                        self.lost += 1
                        client.shutdown(socket.SHUT_RDWR)
                        return
                    client.sendall(data)

        threading.Thread(target=back, daemon=True).start()
        with suppress(OSError), closing(server):
            while data := client.recv(65536):
                if self.lose_answer_to and self.lose_answer_to in data:
                    self.lose_answer_to = b""
                    lose.set()
                server.sendall(data)

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def proxy(postgres: Postgres) -> Iterator[Proxy]:
    proxy = Proxy(postgres.port)
    yield proxy
    proxy.close()


def through(proxy: Proxy, url: str) -> str:
    parts = urlsplit(url)
    user = f"{parts.username}{':' + parts.password if parts.password else ''}"
    return parts._replace(netloc=f"{user}@127.0.0.1:{proxy.port}").geturl()


@pytest.mark.parametrize("number", [1, rows.STEP + 1], ids=["one statement", "a transaction"])
@pytest.mark.usefixtures("unhurried")
def test_a_commit_whose_answer_was_lost_is_found_done_and_not_done_again(
    migrated_url: str, proxy: Proxy, number: int
) -> None:
    store = open_store(through(proxy, migrated_url))
    store.deliveries.append([event()])
    proxy.lose_answer_to = b"of the delivery" if number == 1 else b"COMMIT"
    new = [event(f"d{n} of the delivery") for n in range(number)]
    committed = store.deliveries.append(new)
    assert proxy.lost == 1
    assert [one.event_id for one in committed] == [one.id for one in new]
    assert not any(one.duplicate for one in committed), "they are no duplicates of themselves"
    assert stored(migrated_url)[1:] == [one.id for one in new]
    [again] = store.deliveries.append([event("d0 of the delivery")])
    assert (again.event_id, again.duplicate) == (new[0].id, True)
    store.close()


# --- late ---


@pytest.mark.measured
def test_a_database_that_does_not_answer_is_answered_for_in_time_and_nothing_is_kept(
    migrated_url: str,
) -> None:
    store, other = open_store(migrated_url), open_store(migrated_url)
    new = event("d")
    with psycopg.connect(migrated_url) as database:
        database.execute("LOCK TABLE webhook_bridge.events IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            other.deliveries.append([event()])
        alone = time.monotonic() - began
        with ThreadPoolExecutor(20) as pool:  # however many wait
            began = time.monotonic()
            waits = [
                pool.submit(store.deliveries.append, [new if n == 0 else event()])
                for n in range(20)
            ]
            for one in waits:
                with pytest.raises(StoreUnavailable):
                    one.result(PATIENCE)
            took = time.monotonic() - began
    in_time(took < 10 * alone, "each in turn would take twenty times as long")
    assert stored(migrated_url) == []
    store.reports.read()  # which connects again, however long that takes
    with all_the_time():
        assert not store.deliveries.append([new])[0].duplicate
    store.close()
    other.close()


# --- shared with greenlets ---

_GREENLETS = """
import gevent.monkey
gevent.monkey.patch_all()
import sys, time
import gevent, psycopg
from store.open import open_store
from store.postgres import address, connections, deliveries
from store.postgres.connections import is_patched
from store.records import NewEvent, new_event_id
from tools.servers import PATIENCE

assert is_patched()
deliveries.IMPATIENT = connections.READING = PATIENCE
address._CONNECT_TIMEOUT = int(PATIENCE)
connections._SESSION["lock_timeout"] = "0"
store = open_store(sys.argv[1])
store.reports.read()
ticks = 0

def tick():
    global ticks
    while True:
        ticks += 1
        gevent.sleep(0.005)

def deliver(number):
    new = NewEvent(new_event_id(), "w", 1, "{}", {}, {}, 1, f"d{number % 40}")
    return store.deliveries.append([new])[0].duplicate

def until_others_run():
    # It ends the wait below: one that held up the others would have no end.
    before = ticks
    while ticks < before + 3:
        gevent.sleep(0.005)
    other.close()

gevent.spawn(tick)
other = psycopg.connect(sys.argv[1])  # one session from lock to end: a pool might take two
other.execute("SELECT pg_advisory_lock(1)")
others = gevent.spawn(until_others_run)
store._connections.read("SELECT pg_advisory_lock(1)", seconds=PATIENCE)
others.get()
jobs = [gevent.spawn(deliver, number) for number in range(200)]
gevent.joinall(jobs, raise_error=True)
assert sum(job.value for job in jobs) == 160
print("fine")
"""


def test_a_commit_under_way_lets_other_greenlets_in(migrated_url: str) -> None:
    pytest.importorskip("gevent")
    done = subprocess.run(
        [sys.executable, "-c", _GREENLETS, migrated_url],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout == "fine\n", done.stderr


# --- clocks ---


def test_the_time_is_the_databases_whatever_this_machines_clock_says(
    migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    monkeypatch.setattr("store.postgres.connections.time.time", lambda: real() - 3600)
    store = open_store(migrated_url)
    store.reports.read()
    before = real() * 1000
    assert before - 1_800_000 < store.now(), "not an hour ago"
    assert store.leadership.elect("me", 6) is not None
    leader = store.leadership.leader()
    assert leader is not None and leader[1] > before
    store.close()


def test_setting_this_machines_clock_does_not_move_the_stores(
    migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(migrated_url)
    store.reports.read()
    real = time.time
    for ahead in (-86_400, 86_400):
        monkeypatch.setattr(time, "time", lambda ahead=ahead: real() + ahead)
        assert abs(store.now() - real() * 1000) < 60_000, "the database hasn't been asked since"
    store.close()


# --- behind a pooler ---


@pytest.fixture
def pooled(migrated_url: str, postgres: Postgres, tmp_path: Path) -> Iterator[str]:
    """The database through PgBouncer in transaction mode."""
    if postgres.given:
        pytest.skip("a server that was given may want a password")
    try:
        pooler = PgBouncer(migrated_url, tmp_path / "pgbouncer.log")
    except Failed as error:
        pytest.skip(str(error))
    try:
        yield pooler.start().url
    finally:
        pooler.stop()


@pytest.mark.usefixtures("unhurried")
def test_behind_a_pooler_in_transaction_mode_everything_works_and_news_are_looked_for(
    pooled: str,
) -> None:
    store, other = open_store(pooled), open_store(pooled)
    assert store.leadership.elect("me", 10**6)
    listener = store.signals.listener("events")
    listener.wait(0.2)
    adopt(store, ME, [task()], NOW)
    timer = threading.Timer(0.1, lambda: other.deliveries.append([event("d")]))
    timer.start()
    deadline = time.monotonic() + 50
    while not store.decisions.agenda(1).undecided:
        assert time.monotonic() < deadline
        listener.wait(60)
    timer.join()
    listener.close()
    [waiting] = store.decisions.agenda(9).undecided
    decide(store, waiting.id, *map(start, range(50)))
    with ThreadPoolExecutor(8) as pool:
        claimed = [
            t
            for part in pool.map(lambda n: store.claims.claim(f"w{n}", NOW, 0, 20), range(8))
            for t in part
        ]
    assert len(set(ids(claimed))) == len(claimed) == 50
    assert store.deliveries.append([event("d")])[0].duplicate
    for one in (store, other):
        one.close()
