"""The tables of either database: created once, each step committed with its record, others refused
with a reason."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import store.postgres.schema
import store.sqlite.connections
from store.errors import NewerStore, StoreRefused, StoreUnavailable
from store.open import open_store
from store.sql.database import Transaction
from store.sql.schema import OLDEST
from tools.servers import PATIENCE
from tools.servers.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgres"])
def module(request: pytest.FixtureRequest) -> Any:
    """The module that holds the database's schema."""
    return store.sqlite.connections if request.param == "sqlite" else store.postgres.schema


@pytest.fixture
def url(module: Any, tmp_path: Path, postgres: Postgres) -> str:
    """Of an empty database."""
    if module is store.postgres.schema:
        return postgres.new_database("schema")
    (tmp_path / "bridge.db").touch()  # otherwise it is a copy of one with tables
    return f"sqlite:///{tmp_path}/bridge.db"


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


def with_steps(monkeypatch: pytest.MonkeyPatch, module: Any, *steps: str) -> None:
    monkeypatch.setattr(module, "SCHEMA", replace(module.SCHEMA, steps=steps))


def test_processes_that_start_together_create_the_tables_once(url: str) -> None:
    code = "import sys; from store.open import open_store; open_store(sys.argv[1]).close()"
    processes = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", code, url], stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    assert [process.communicate(timeout=PATIENCE)[1] for process in processes] == [b""] * 4
    assert run(
        url, lambda database: database.fetch("SELECT version FROM bridge.schema_version")
    ) == [(OLDEST,)]


def test_tables_that_cannot_be_created_leave_nothing_behind(
    url: str, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        module,
        "SCHEMA",
        replace(module.SCHEMA, tables="CREATE TABLE bridge.a (x INT);\nSELECT x;\n"),
    )
    with pytest.raises(Exception, match="column"):
        open_store(url)
    assert "a" not in tables(url)
    monkeypatch.undo()
    open_store(url).close()


def test_a_step_and_its_record_share_a_transaction(
    url: str, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(url).close()
    one = "CREATE TABLE bridge.one (x INT);\n"
    with_steps(
        monkeypatch,
        module,
        one,
        "CREATE TABLE bridge.two (x INT);\nINSERT INTO bridge.nowhere VALUES (1);\n",
    )
    with pytest.raises(StoreUnavailable, match="nowhere"):
        open_store(url)
    assert {"one", "two"} & tables(url) == {"one"}
    with_steps(monkeypatch, module, one, "CREATE TABLE bridge.two (x INT);\n")
    open_store(url).close()
    assert {"one", "two"} < tables(url)


def test_an_older_store_is_migrated_by_who_may_and_refused_by_who_may_not(
    url: str, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(url).close()
    with_steps(monkeypatch, module, "CREATE TABLE bridge.later (x INT);\n")
    with pytest.raises(
        StoreUnavailable, match="older than this program; start the relay to migrate it"
    ):
        open_store(url, migrate=False)
    open_store(url).close()
    open_store(url, migrate=False).close()


@pytest.mark.parametrize("migrate", [True, False])
def test_a_newer_store_is_refused(url: str, migrate: bool) -> None:
    open_store(url).close()
    run(url, lambda database: database.write("UPDATE bridge.schema_version SET version = 99"))
    with pytest.raises(
        NewerStore, match=rf"newer version .*have version 99, this program's {OLDEST}"
    ):
        open_store(url, migrate=migrate)


@pytest.mark.parametrize("migrate", [True, False])
@pytest.mark.parametrize(
    "as_it_was",
    [
        "DROP TABLE bridge.schema_version",
        f"UPDATE bridge.schema_version SET version = {OLDEST - 1}",
    ],
)
def test_a_store_from_before_the_first_release_is_named_as_such_with_the_way_out(
    url: str, migrate: bool, as_it_was: str
) -> None:
    open_store(url).close()
    run(url, lambda database: database.write(as_it_was))
    before = tables(url)
    with pytest.raises(
        StoreRefused,
        match=r"a commit from before the first release.* stop the relay .*new database",
    ):
        open_store(url, migrate=migrate)
    assert tables(url) == before
