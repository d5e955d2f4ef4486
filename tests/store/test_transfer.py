"""Everything moves from one store to another and back, can be interrupted at any moment, and is
compared."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

from store.answers import Answer
from store.delivery_records import AnswerWanted, RawDelivery, WithoutEvent
from store.open import open_store
from store.records import Change, Decision, NewTarget, Result, SetAside, Term, Workflow
from store.reports import Reports
from store.sql.event_search import EventFilter
from store.sql.maintenance import Row, Table
from store.sql.store import Store
from store.transfer import TABLES, CantTransfer, Progress, transfer
from tests.support import deciding
from tests.support.deciding import adopt
from tests.support.makers import ME, NOW, arrive, completion, decide, kept, message, task
from tests.support.postgres_backend import migrated
from tools.servers.postgres import Postgres

DERIVED = {
    *("leads", "finished_events", "ended_events", "unsettled_events", "undecided", "held_events"),
    *("store_schema", "_sqlite_migrations", "sqlite_sequence", "sqlite_stat1"),
}
"""Tables that each store has for itself."""


class Stores:
    """New stores of both kinds."""

    def __init__(self, folder: Path, postgres: Postgres) -> None:
        self._folder = folder
        self._postgres = postgres
        self._numbers = count()
        self._opened: list[Store] = []
        self.urls: dict[int, str] = {}

    def new(self, kind: str) -> Store:
        file = f"sqlite:///{self._folder}/{next(self._numbers)}.db"
        return self.open(file if kind == "sqlite" else migrated(self._postgres, "transfer"))

    def open(self, url: str) -> Store:
        store = open_store(url)
        self._opened.append(store)
        self.urls[id(store)] = url
        return store

    def url(self, store: Store) -> str:
        return self.urls[id(store)]

    def close(self) -> None:
        for store in self._opened:
            store.close()


@pytest.fixture
def stores(tmp_path: Path, postgres: Postgres, unhurried: None) -> Iterator[Stores]:
    stores = Stores(tmp_path, postgres)
    yield stores
    stores.close()


def filled(store: Store) -> Store:
    """Something in every table."""
    assert store.leadership.elect("me", 10**6)
    adopt(store, ME, [task(number) for number in range(30)], NOW)
    raw = RawDelivery(
        "", "w", "accepted", NOW, query="a=1", headers={"x-a": "\xfc"}, body=b"\x00\xff"
    )
    for number in range(20):
        more = {
            "type": f"type {number}",
            "summary_parts": {"$.a": str(number)},
            "raw": raw,
            "claims": {"sub": "me"},
            "enclosing": {"a": 1},
            "answer": AnswerWanted("$.reply", NOW + number),
        }
        arrive(store, f"e{number}", delivery_id=f"d{number}", **more)
    once = NewTarget(
        "start", "flow", correlation_id="c", once_key="key", once_while="running", input="{}"
    )
    decide(store, "e0", completion(1), once)
    decide(store, "e1", hold="held")
    decide(store, "e5", message())
    for target in store.claims.claim("me", NOW + 9, 0, 9):
        store.claims.record_results(
            "me", [Result(target, "done", "a \0 in the words", "w9")], NOW + 9
        )
    decide(store, "e2", NewTarget("start", "ünïcode", correlation_id="d"))
    store.claims.claim("me", NOW + 9, 0, 9, {"w": 5.0})
    deciding.decide(store, ME, [Decision("e3", "expired", "no")], NOW, 0, {"e3": ["t1"]})
    store.workflows.remember([Workflow("w1", 1, "w1", NOW, None)])
    store.verifications.set_verified("w", "print", NOW)
    store.effects.note("start", NOW)
    store.pauses.pause("w", NOW)
    store.quarantine.set_aside([SetAside("task", "t9", "w", "why", NOW, 1, NOW)])
    store.without_events.record([WithoutEvent("w", NOW, 401, "no")], {("w", "rejected"): 3})
    store.raw_deliveries.keep([kept("k1", body=b"\0\xff"), kept("k2")])
    store.raw_deliveries.accepted("k2", "e1")
    store.without_events.record(
        [WithoutEvent("w", NOW, 200, "", "203.0.113.9", event_id="e1", kind="duplicate")], {}
    )
    store.answers.record(
        [Answer("e1", "COMPLETED", "w1", '"\\u0000"'), Answer("e2", "FAILED", "w2")]
    )
    store.changes.record(Change(NOW, "admin", "edited", "w", "…"))
    store.reports.write(Reports(conductor="up"))
    store.kept_definitions.keep({"webhooks.yaml": "{}"})
    store.verifications.salt()
    store.sessions.end("session", NOW + 9, NOW)
    store.hidden_paths.keep({"w": ["$.card"]})
    store.raw_deliveries.save(
        RawDelivery("", "w", "saved", NOW, name="mine", headers={"X-A": "b"}, body=b"{}"), 1
    )
    store.leadership.resign(ME)
    return store


def contents(store: Store) -> dict[str, list[Row]]:
    tables = map(store.tables.with_columns, TABLES)
    return {table.name: store.tables.read(table, None, 10**6) for table in tables}


def nothing(_: Progress) -> None:
    pass


def clean(rows: dict[str, list[Row]]) -> str:
    return repr(rows).replace("\\x00", "\u2400")


def test_every_table_and_column_is_moved(stores: Stores) -> None:
    lite, great = stores.new("sqlite"), stores.new("postgres")
    moved = {table.name: set(great.tables.with_columns(table).columns) for table in TABLES}
    assert moved == {table.name: set(lite.tables.with_columns(table).columns) for table in TABLES}
    with sqlite3.connect(stores.url(lite).removeprefix("sqlite:///")) as database:
        names = [
            row[0]
            for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        found = {
            name: {row[1] for row in database.execute(f"PRAGMA table_info({name})")}
            for name in names
        }
    database.close()
    assert {name: columns for name, columns in found.items() if name not in DERIVED} == moved
    with psycopg.connect(stores.url(great)) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'webhook_bridge'"
        ).fetchall()
    same: dict[str, set[str]] = {}
    for name, column in columns:
        same.setdefault(name, set()).add(column)
    assert {name: of for name, of in same.items() if name not in DERIVED} == moved


def test_everything_goes_there_and_back(stores: Stores) -> None:
    first = filled(stores.new("sqlite"))
    middle, last = stores.new("postgres"), stores.new("sqlite")
    totals = transfer(first, middle, "first", nothing)
    assert totals["events"] == 20
    assert all(totals.values()), "there was something in every table"
    transfer(middle, last, "middle", nothing)
    before = clean(contents(first))
    assert clean(contents(middle)) == before
    assert clean(contents(last)) == before
    for store in (middle, last):
        assert store.queries.event_counts() == first.queries.event_counts()
        assert store.leadership.leader() is None
        arrive(store, "e99")
        newest = store.queries.events(EventFilter(limit=1))[0]
        assert (newest.id, newest.seq) == ("e99", 21), "numbers go on where they were"


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_transfer_that_is_interrupted_anywhere_is_taken_up_again(
    stores: Stores, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.transfer._STEP", 7)
    source, to = filled(stores.new("sqlite")), stores.new(kind)
    tables = type(to.tables)
    write = tables.write
    left = 0

    def interrupted(self: object, table: Table, rows: list[Row], note: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        write(self, table, rows, note)  # type: ignore[arg-type]

    monkeypatch.setattr(tables, "write", interrupted)
    tries = 0
    while True:
        left, tries = 3, tries + 1
        try:
            transfer(source, to, "source", nothing)
            break
        except KeyboardInterrupt:
            assert to.leadership.leader() is None
    assert tries > 3
    assert clean(contents(to)) == clean(contents(source))


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_no_more_is_read_at_once_than_fits_however_large_the_rows_are(
    stores: Stores, kind: str
) -> None:
    store, large = stores.new(kind), "x" * 5_000_000
    raw = RawDelivery("", "w", "accepted", NOW, body=large.encode())
    for number in range(3):
        arrive(store, f"e{number}", payload=json.dumps(large), raw=raw)
    for name in ("events", "raw_deliveries"):
        [table] = [store.tables.with_columns(table) for table in TABLES if table.name == name]
        first = store.tables.read(table, None, 9)
        assert len(first) == 2, name
        assert len(store.tables.read(table, first[-1][:1], 9)) == 1, name


def test_a_worker_on_either_side_is_in_the_way(stores: Stores) -> None:
    source, to = filled(stores.new("sqlite")), stores.new("postgres")
    for store in (source, to):
        assert store.leadership.elect("host:1:worker", 60)
        with pytest.raises(
            CantTransfer, match=r"a worker \(host:1:worker\) runs on the store to move"
        ):
            transfer(source, to, "source", nothing)
        store.leadership.resign(Term("host:1:worker"))
    assert to.tables.count(TABLES[0]) == 0


def test_a_store_with_something_else_in_it_is_left_alone(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, to = filled(stores.new("sqlite")), stores.new("postgres")
    arrive(to, "e1")
    with pytest.raises(CantTransfer, match="isn't empty: it has events"):
        transfer(source, to, "source", nothing)
    other = stores.new("postgres")
    monkeypatch.setattr(type(other.tables), "finish", lambda _: None)
    transfer(source, other, "source", nothing)
    with pytest.raises(CantTransfer, match="a transfer from another store into this one was begun"):
        transfer(stores.new("sqlite"), other, "another", nothing)


def test_what_changes_meanwhile_is_noticed(stores: Stores) -> None:
    source, to = filled(stores.new("sqlite")), stores.new("postgres")

    def late(progress: Progress) -> None:
        if progress.table == "tasks":
            arrive(source, "e77")

    with pytest.raises(CantTransfer, match="events differ after the transfer"):
        transfer(source, to, "source", late)
