"""Opening the store: its tables are made once, by whoever comes first, and what is wrong is said in
clear words."""

from __future__ import annotations

from urllib.parse import urlsplit

import psycopg
import pytest

from store.errors import StoreMissing, StoreUnavailable
from store.open import open_store
from store.postgres import PostgresStore, remedies
from store.reports import Reports


def as_user(postgres_url: str, user: str, password: str = "") -> str:
    parts = urlsplit(postgres_url)
    word = f":{password}" if password else ""
    return parts._replace(netloc=f"{user}{word}@{parts.hostname}:{parts.port}").geturl()


def test_two_bridges_share_a_database_by_schemas_of_their_own(postgres_url: str) -> None:
    one, two = open_store(postgres_url), open_store(f"{postgres_url}?schema=other")
    one.reports.write(Reports(conductor="1"))
    assert two.reports.read().conductor is None
    one.close()
    two.close()


def test_who_only_looks_makes_nothing(postgres_url: str) -> None:
    with pytest.raises(StoreMissing, match="none of the bridge's tables; start the relay"):
        open_store(postgres_url, migrate=False)
    open_store(postgres_url).close()
    open_store(postgres_url, migrate=False).close()


def test_what_is_wrong_with_the_way_there_is_said(postgres_url: str) -> None:
    for wrong, word in (
        (
            urlsplit(postgres_url)._replace(path="/no_such").geturl(),
            "there is no database no_such at .*createdb no_such",
        ),
        (as_user(postgres_url, "nobody_known", "hidden"), "PostgreSQL has no user nobody_known"),
        (
            "postgresql://me:hidden@127.0.0.1:1/x",
            r"postgresql://me:\*\*\*@127.0.0.1:1/x can't be reached",
        ),
    ):
        with pytest.raises(StoreUnavailable, match=word) as caught:
            open_store(wrong)
        assert "hidden" not in str(caught.value)
        assert caught.value.__suppress_context__, "what libpq says is in no traceback"


def test_who_may_make_no_tables_is_told_what_to_ask_for(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as database:
        if not database.execute("SELECT 1 FROM pg_roles WHERE rolname = 'bridge_guest'").fetchone():
            database.execute("CREATE ROLE bridge_guest LOGIN PASSWORD 'guest'")
        guest = as_user(postgres_url, "bridge_guest", "guest")
        with pytest.raises(StoreUnavailable, match="CREATE SCHEMA webhook_bridge AUTHORIZATION"):
            open_store(guest)
        database.execute("CREATE SCHEMA webhook_bridge AUTHORIZATION bridge_guest")
        store = open_store(guest)
        store.deliveries.check_writable()
        store.close()


def test_a_server_that_is_too_old_is_refused(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remedies, "OLDEST_SERVER", 10**7)
    with pytest.raises(StoreUnavailable, match="needs 1000 or newer; upgrade the server"):
        open_store(postgres_url)


def test_settings_that_put_answered_events_at_risk_are_told(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as database:
        database.execute(
            f"ALTER DATABASE {urlsplit(postgres_url).path[1:]} SET synchronous_commit = off"
        )
    store = open_store(postgres_url)
    assert isinstance(store, PostgresStore)
    assert any(
        "synchronous_commit off" in one and "synchronous standby" in one
        for one in store.maintenance.advice()
    )
    assert store._connections.read("SHOW synchronous_commit") == [("on",)], (
        "for itself the bridge turns it on"
    )
    store.close()
    assert (
        len(
            remedies.advice(
                {"synchronous_commit": "local", "synchronous_standby_names": "*", "fsync": "off"}
            )
        )
        == 2
    )
    assert len(remedies.advice({"transaction_read_only": "on"})) == 1
    assert (
        remedies.advice(
            {
                "transaction_read_only": "off",
                "synchronous_commit": "remote_apply",
                "fsync": "on",
                "full_page_writes": "on",
            }
        )
        == []
    )


def test_the_server_looks_whether_the_host_behind_a_session_is_still_there(
    postgres_url: str,
) -> None:
    store = open_store(postgres_url)
    assert isinstance(store, PostgresStore)
    found = [
        store._connections.read(f"SHOW {name}")
        for name in ("tcp_keepalives_idle", "tcp_user_timeout")
    ]
    assert found == [[("5",)], [("11000",)]]
    store.close()
