"""``webhook-bridge check`` with a PostgreSQL: what its answers mean for whoever sets the bridge
up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from store.errors import StoreRefused
from store.open import open_store
from store.postgres import remedies
from tests.admin.conftest import Cli
from tools.servers.postgres import Postgres
from tools.servers.processes import free_port

SECRET = "0pen-sesame"


def as_guest(postgres: Postgres, postgres_url: str, statement: str = "SELECT 1") -> str:
    """The URL for a user with a password and no rights; before, the owner of the database executes
    the statement."""
    with psycopg.connect(postgres_url, autocommit=True) as database:
        if not database.execute("SELECT 1 FROM pg_roles WHERE rolname = 'checker'").fetchone():
            database.execute(f"CREATE ROLE checker LOGIN PASSWORD '{SECRET}'")
        database.execute(statement.encode())
    parts = urlsplit(postgres_url)
    return parts._replace(netloc=f"checker:{SECRET}@{parts.hostname}:{parts.port}").geturl()


@contextmanager
def passwords_wanted(postgres: Postgres) -> Iterator[None]:
    """The server looks at the guest's password."""
    if postgres._folder is None:
        pytest.skip("a PostgreSQL that was given is not set up anew")
    file = postgres._folder / "data" / "pg_hba.conf"
    before = file.read_text()
    file.write_text(f"host all checker 127.0.0.1/32 scram-sha-256\n{before}")
    postgres._psql("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        file.write_text(before)
        postgres._psql("SELECT pg_reload_conf()")


def checked(cli: Cli, postgres_url: str, code: int) -> dict[str, object]:
    """What check says of the database, which is never the password."""
    cli.environment["BRIDGE_DATABASE"] = postgres_url
    result, as_json = cli("check", code=code), cli("check", "--json", code=code)
    assert SECRET not in result.output + as_json.output
    [found] = [
        problem for problem in json.loads(as_json.stdout) if problem["where"] == "BRIDGE_DATABASE"
    ]
    kind = "warning" if found["warning"] else "error"
    assert f"{kind}: BRIDGE_DATABASE: {found['what']}" in result.stderr
    assert code == (not found["warning"])
    return dict(found)


def test_a_database_that_can_be_used_is_no_problem(cli: Cli, postgres_url: str) -> None:
    cli.environment["BRIDGE_DATABASE"] = postgres_url
    assert "BRIDGE_DATABASE" not in cli("check").stderr, "its tables are made by the first process"
    open_store(postgres_url).close()
    problems = json.loads(cli("check", "--json").stdout)
    assert not [
        one
        for one in problems
        if one["where"] == "BRIDGE_DATABASE" and "fsync off" not in one["what"]
    ]


def test_a_server_that_is_away_or_starting_is_a_warning(cli: Cli) -> None:
    found = checked(cli, f"postgresql://me:{SECRET}@127.0.0.1:{free_port()}/bridge", 0)
    assert "can't be reached" in str(found["what"])
    from store.postgres.address import Address

    starting = remedies.of_connecting(
        Exception("FATAL:  the database system is starting up"), Address.parse("postgresql://db/x")
    )
    assert not isinstance(starting, StoreRefused)


def test_a_wrong_password_is_an_error(cli: Cli, postgres: Postgres, postgres_url: str) -> None:
    guest = as_guest(postgres, postgres_url)
    with passwords_wanted(postgres):
        found = checked(cli, guest.replace(SECRET, f"{SECRET}-not"), 1)
        assert "refuses the password of the user checker" in str(found["what"])
        assert "PGPASSWORD" in str(found["remedy"])
        found = checked(cli, guest.replace(f":{SECRET}", ""), 1)
        assert "wants a password for the user checker" in str(found["what"])


def test_who_may_make_no_tables_is_an_error_with_what_to_run(
    cli: Cli, postgres: Postgres, postgres_url: str
) -> None:
    guest = as_guest(postgres, postgres_url)
    found = checked(cli, guest, 1)
    assert "CREATE SCHEMA webhook_bridge AUTHORIZATION checker" in str(found["remedy"])
    guest = as_guest(postgres, postgres_url, "CREATE SCHEMA webhook_bridge")  # of another user
    found = checked(cli, guest, 1)
    assert "ALTER SCHEMA webhook_bridge OWNER TO checker" in str(found["remedy"])
    open_store(postgres_url).close()
    guest = as_guest(postgres, postgres_url, "GRANT USAGE ON SCHEMA webhook_bridge TO checker")
    found = checked(cli, guest, 1)
    assert "permission denied for table" in str(found["what"])
    assert "and that of its tables" in str(found["remedy"])


def test_a_database_that_accepts_no_writes_is_a_warning(cli: Cli, postgres_url: str) -> None:
    open_store(postgres_url).close()
    with psycopg.connect(postgres_url) as database:
        name = urlsplit(postgres_url).path[1:]
        database.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    cli.environment["BRIDGE_DATABASE"] = postgres_url
    assert "the server accepts no writes" in cli("check").stderr


def test_tables_of_a_newer_bridge_are_an_error(cli: Cli, postgres_url: str) -> None:
    open_store(postgres_url).close()
    with psycopg.connect(postgres_url) as database:
        database.execute("UPDATE webhook_bridge.store_schema SET usable_from = 99")
    found = checked(cli, postgres_url, 1)
    assert "changed by a newer version of the bridge" in str(found["what"])
    assert "upgrade this program" in str(found["remedy"])


def test_a_backup_is_left_to_pg_dump(cli: Cli, postgres_url: str, tmp_path: Path) -> None:
    open_store(postgres_url).close()
    cli.environment["BRIDGE_DATABASE"] = postgres_url
    file = tmp_path / "backup.dump"
    assert f"pg_dump --format=custom --file={file} " in cli("backup", str(file), code=1).stderr
    assert not file.exists()
