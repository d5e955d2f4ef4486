"""PostgreSQL: a row that can't be read, or that somebody has locked, holds up nothing but itself."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import psycopg
import pytest

from store.errors import RowsUnavailable, StoreUnavailable
from store.postgres import PostgresStore, open_store
from store.postgres.connections import _SESSION
from store.records import NewEvent, new_event_id
from tests.support.clock import Clock
from tests.support.postgres_backend import all_the_time, migrated
from tests.support.worker_bench import Bench, leader_of
from tests.support.worker_bench import bench as bench
from tools.servers.postgres import Postgres
from worker.leader.worker import Worker


@pytest.fixture
def url(postgres: Postgres) -> Iterator[str]:
    url = migrated(postgres)
    with mock.patch.dict(_SESSION, lock_timeout="200ms"), all_the_time():
        yield url
    postgres.drop_database(url)


def on_postgres(bench: Any, url: str) -> PostgresStore:
    """The bench works on this database from now on."""
    bench.store._connections.close()
    bench.clock = Clock(1000.0)  # no term ends, however long others wait for locks
    bench.store = store = open_store(url)
    return store


@contextmanager
def locked(url: str, event_id: str) -> Iterator[None]:
    """Somebody's open transaction has the event locked."""
    with psycopg.connect(url) as somebody:
        somebody.execute(
            "SELECT 1 FROM webhook_bridge.events WHERE id = %s FOR UPDATE", (event_id,)
        )
        yield


def large(bench: Bench, id_: str) -> None:
    """An event whose payload PostgreSQL keeps apart from its row."""
    now = bench.store.now()
    payload = f'{{"a": "{secrets.token_hex(100_000)}"}}'
    bench.store.deliveries.append([NewEvent(id_, "w", now, payload, {}, {}, now + 600_000)])


def damage(server: Postgres, url: str) -> None:
    """Makes zeros of all pages with large payloads."""
    with psycopg.connect(url) as database:
        sql = "SELECT pg_relation_filepath(reltoastrelid) FROM pg_class WHERE oid = 'webhook_bridge.events'::regclass"
        [(path,)] = database.execute(sql).fetchall()
    assert server._folder is not None
    server.stop_at_once()
    server.start()  # it recovers, and writes all pages
    with psycopg.connect(url, autocommit=True) as database:
        database.execute("CHECKPOINT")
    server.stop_at_once()
    file: Path = server._folder / "data" / path
    file.write_bytes(bytes(file.stat().st_size))
    server.start()


def decide(bench: Bench, worker: Worker, *event_ids: str) -> None:
    """Lets the worker decide until these events are held; it stays the leader meanwhile."""
    leader = leader_of(worker)
    for _ in range(5):
        worker.step()
        found = bench.store.queries.listed(event_ids)
        if all(found[event_id].hold == "held" for event_id in event_ids):
            break
    assert {event.id: event.hold for event in found.values()} == dict.fromkeys(event_ids, "held")
    assert worker.leader is leader, "the term has ended"


@pytest.mark.parametrize("is_held", [False, True])
def test_an_event_whose_payload_is_damaged_is_set_aside_and_the_others_are_decided(
    own_postgres: Postgres, bench: Bench, is_held: bool
) -> None:
    url = migrated(own_postgres, "damaged")
    store = on_postgres(bench, url)
    large(bench, "sick")
    if is_held:
        worker = bench.deciding()
        decide(bench, worker, "sick")
        worker.end_term()
    damage(own_postgres, url)
    with pytest.raises(RowsUnavailable):
        store.queries.events_of(["sick"])
    bench.arrive("well")
    worker = bench.deciding()
    decide(bench, worker, "well")
    [item] = store.quarantine.items("event")
    assert (item.id, "missing chunk" in item.reason) == ("sick", True)
    with mock.patch.object(store, "now", return_value=item.due_at + 5000):
        bench.arrive("later")
        decide(bench, worker, "later")
    [again] = store.quarantine.items("event")
    assert again.tries == item.tries + 1


def test_an_event_that_somebody_has_locked_is_set_aside_until_it_is_free_and_the_others_are_decided(
    bench: Bench, url: str
) -> None:
    store = on_postgres(bench, url)
    worker = bench.deciding()
    names = [f"event{number}" for number in range(9)]
    for name in names:
        bench.arrive(name)
    names.remove("event4")
    with locked(url, "event4"):
        decide(bench, worker, *names)
        [item] = store.quarantine.items("event")
        assert (item.id, "lock timeout" in item.reason) == ("event4", True)
    with mock.patch.object(store, "now", return_value=item.due_at + 5000):
        decide(bench, worker, "event4")
    assert store.quarantine.items() == []


def test_a_locked_table_is_no_trouble_of_a_row(url: str) -> None:
    store = open_store(url)
    with psycopg.connect(url) as somebody:
        somebody.execute("LOCK TABLE webhook_bridge.events")
        with pytest.raises(StoreUnavailable) as raised:
            store.queries.events_of([new_event_id()])
    assert not isinstance(raised.value, RowsUnavailable)
    store.close()
