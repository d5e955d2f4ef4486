"""The tables of either database: steps that are taken once and together, and who may use which
store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

import store.sqlite.connections
from store.errors import NewerStore, StoreRefused, StoreUnavailable
from store.open import open_store
from store.sql import schema
from store.sql.database import Transaction
from store.sql.schema import STEPS, Step
from tests.support.postgres_backend import patient_stores
from tools.servers import PATIENCE

BASE = STEPS[0]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of an empty database, for which everybody has the time that a busy machine may need."""
    with patient_stores():
        if request.param == "postgres":
            yield request.getfixturevalue("postgres_url")
        else:
            (tmp_path / "bridge.db").touch()  # otherwise it is a copy of one with tables
            yield f"sqlite:///{tmp_path}/bridge.db"


def tables(url: str) -> set[str]:
    found = (
        "SELECT tablename FROM pg_tables"
        if url.startswith("postgres")
        else "SELECT name FROM sqlite_master"
    )
    return {name for (name,) in run(url, lambda database: database.fetch(found))}


def run(url: str, action: Callable[[Transaction], Any]) -> Any:
    if url.startswith("postgres"):
        from store.postgres.address import Address
        from store.postgres.connections import Connections

        with (
            closing(Connections(Address.parse(url))) as postgres,
            postgres.transaction() as database,
        ):
            return action(database)
    with (
        closing(
            store.sqlite.connections.Connections(Path(url.removeprefix("sqlite:///")))
        ) as sqlite,
        sqlite.transaction() as db,
    ):
        return action(db)


def numbers(url: str) -> list[tuple[int, int]]:
    statement = "SELECT number, usable_from FROM bridge.store_schema"
    found: list[tuple[int, int]] = run(url, lambda database: database.fetch(statement))
    return found


def taken(url: str) -> list[str]:
    """The steps that sqlite-utils has recorded."""
    with closing(Database(url.removeprefix("sqlite:///"))) as database:
        return [step.name for step in Migrations("webhook-bridge").applied(database)]


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes this process a program with these steps after the first one."""

    def of(*steps: Step) -> None:
        monkeypatch.setattr(schema, "STEPS", (BASE, *steps))

    return of


def creating(number: int, table: str, usable_from: int = 1) -> Step:
    return Step(number, f"CREATE TABLE bridge.{table} (x INT);\n", usable_from)


_OPENS_WITH_A_STEP = f"""
import sys
import store.postgres.address
import store.sqlite.connections
from store.sql import schema
from store.open import open_store
store.postgres.address._CONNECT_TIMEOUT = {PATIENCE:.0f}
store.sqlite.connections.BUSY_TIMEOUT = {PATIENCE}
schema.STEPS += (schema.Step(2, "CREATE TABLE bridge.later (x INT);\\nINSERT INTO bridge.later VALUES (1);\\n"),)
open_store(sys.argv[1]).close()
"""


@pytest.mark.parametrize("is_new", [True, False])
def test_of_processes_that_start_together_exactly_one_takes_the_steps(
    url: str, is_new: bool
) -> None:
    if not is_new:
        open_store(url).close()
    command = [sys.executable, "-W", "error", "-c", _OPENS_WITH_A_STEP, url]
    processes = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    assert [process.communicate(timeout=PATIENCE)[1] for process in processes] == [b""] * 4
    assert numbers(url) == [(2, 1)]
    assert run(url, lambda database: database.fetch("SELECT x FROM bridge.later")) == [(1,)]
    if url.startswith("sqlite"):
        assert taken(url) == ["1", "2"]


def test_steps_and_their_record_share_one_transaction(
    url: str, release: Callable[..., None]
) -> None:
    open_store(url).close()
    wrong = Step(3, "CREATE TABLE bridge.two (x INT);\nINSERT INTO bridge.nowhere VALUES (1);\n")
    release(creating(2, "one"), wrong)
    with pytest.raises(StoreUnavailable, match="nowhere"):
        open_store(url)
    assert {"one", "two"}.isdisjoint(tables(url))
    assert numbers(url) == [(1, 1)]
    release(creating(2, "one"), creating(3, "two"))
    open_store(url).close()
    assert {"one", "two"} < tables(url)
    assert numbers(url) == [(3, 1)]


def test_tables_that_cannot_be_created_leave_nothing_behind(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Step(1, "CREATE TABLE bridge.a (x INT);\nSELECT x;\n")
    monkeypatch.setattr(schema, "STEPS", (wrong,))
    with pytest.raises(Exception, match="column"):
        open_store(url)
    assert {"a", "store_schema", "_sqlite_migrations"}.isdisjoint(tables(url))
    monkeypatch.undo()
    open_store(url).close()


def test_an_older_store_is_migrated_by_who_may_and_refused_by_who_may_not(
    url: str, release: Callable[..., None]
) -> None:
    open_store(url).close()
    release(creating(2, "later"))
    with pytest.raises(
        StoreUnavailable, match="older than this program; start the relay to migrate it"
    ):
        open_store(url, migrate=False)
    open_store(url).close()
    open_store(url, migrate=False).close()


@pytest.mark.parametrize("migrate", [True, False])
def test_an_older_program_is_refused_only_if_a_step_excludes_it(
    url: str, migrate: bool, release: Callable[..., None]
) -> None:
    release(creating(2, "one"))
    open_store(url).close()
    release()
    open_store(url, migrate=migrate).close()
    release(creating(2, "one"), creating(3, "two", usable_from=2))
    open_store(url).close()
    assert numbers(url) == [(3, 2)]
    release(creating(2, "one"))
    open_store(url, migrate=migrate).close()
    release()
    with pytest.raises(NewerStore) as refused:
        open_store(url, migrate=migrate)
    assert "for programs of schema 2 or newer, and this one has 1; upgrade" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_steps_are_numbered_in_turn_and_never_let_in_an_older_program_again() -> None:
    assert [step.number for step in STEPS] == list(range(1, len(STEPS) + 1))
    usable_from = [step.usable_from for step in STEPS]
    assert usable_from == sorted(usable_from)
    assert all(step.usable_from <= step.number for step in STEPS)


@pytest.mark.parametrize("migrate", [True, False])
def test_a_store_from_before_the_first_release_is_named_as_such_with_the_way_out(
    url: str, migrate: bool
) -> None:
    open_store(url).close()
    run(url, lambda database: database.write("DROP TABLE bridge.store_schema"))
    before = tables(url)
    with pytest.raises(
        StoreRefused,
        match=r"a commit from before the first release.* stop the relay .*new database",
    ):
        open_store(url, migrate=migrate)
    assert tables(url) == before
