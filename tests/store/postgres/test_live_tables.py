"""The tables of what is live follow the record: from the migration on, whoever writes it."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from store.open import open_store
from store.postgres import live_tables, migrations
from testkit.postgres import Postgres
from tests.store.postgres.live_tables import differences
from tests.store.postgres_backend import migrated_up_to

_EVENT = (
    "INSERT INTO webhook_bridge.events (id, webhook, received_at, payload, headers, query, hold_until, status,"
    " decided_at, held, settled_at, origin) VALUES (%s, 'w', 1, '{}', '{}', '{}', 1, %s, %s, %s, %s, %s)"
)
_EVENTS = (
    ("undecided", "pending", None, 0, None, None),
    ("aside", "pending", 0, 0, None, None),
    ("called", "pending", 1, 0, None, "delivered"),
    ("held", "pending", 1, 1, None, None),
    ("failed and held", "failed", 1, 1, None, None),
    ("free", "pending", 1, 2, None, None),
    ("delivered", "delivered", 1, 0, 2, None),
    ("failed", "failed", 1, 0, 2, "delivered"),
)
"""id, status, when decided, hold, when settled, origin."""


def old(postgres: Postgres, before: str) -> str:
    """A database of the version before that step, with events in every state."""
    url = migrated_up_to(postgres, before)
    with psycopg.connect(url, autocommit=True) as database:
        for row in _EVENTS:
            database.execute(_EVENT, row)
    return url


def test_what_was_live_and_what_had_ended_is_found_after_the_migration(postgres: Postgres) -> None:
    url = old(postgres, "live_events")
    store = open_store(url)
    assert differences(url) == []
    assert [event.id for event in store.decisions.agenda(9).undecided] == ["undecided"]
    assert [event.id for event in store.decisions.agenda(9).freed] == ["free"]
    assert [event.id for event in store.decisions.held(0, 9)] == ["held", "failed and held"]
    assert store.queries.unresolved() == 2
    store.close()


def test_a_migration_in_parts_can_be_stopped_and_what_changes_in_between_is_found(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = old(postgres, "live_events")
    with psycopg.connect(url, autocommit=True) as before:
        for number in range(20):
            before.execute(_EVENT, (f"e{number}", "failed", 1, 0, number, None))
    parts = iter(range(2))
    lock, add = live_tables.ADD_ENDED
    monkeypatch.setitem(migrations.IN_PARTS, "events_in_place", (lock, add.replace("OFFSET 4999", "OFFSET 4")))
    write_part = migrations._write_part

    def interrupted(*arguments: Any) -> bool:
        if next(parts, None) is None:
            raise KeyboardInterrupt
        return write_part(*arguments)

    monkeypatch.setattr(migrations, "_write_part", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_store(url)
    monkeypatch.setattr(migrations, "_write_part", write_part)
    with psycopg.connect(url, autocommit=True) as before:
        assert len([found for found in differences(url) if "missing in ended_events" in found]) > 10
        before.execute("UPDATE webhook_bridge.events SET acknowledged_at = 5 WHERE id IN ('e1', 'e19')")
        before.execute("DELETE FROM webhook_bridge.events WHERE id IN ('e2', 'e18')")
        before.execute(_EVENT, ("e20", "failed", 1, 0, 9, None))
    open_store(url).close()
    assert differences(url) == []


def test_what_a_process_of_the_version_before_writes_is_found(postgres: Postgres) -> None:
    url = old(postgres, "live_events")
    store = open_store(url)
    with psycopg.connect(url, autocommit=True) as before:
        before.execute(_EVENT, ("e1", "pending", None, 0, None, None))
        before.execute(_EVENT, ("e2", "pending", None, 0, None, None))
        before.execute("UPDATE webhook_bridge.events SET decided_at = 3 WHERE id IN ('undecided', 'e1')")
        assert differences(url) == []
        assert [event.id for event in store.decisions.agenda(9).undecided] == ["e2"]
        before.execute("UPDATE webhook_bridge.events SET status = 'delivered', settled_at = 4 WHERE id = 'e1'")
        before.execute("UPDATE webhook_bridge.events SET acknowledged_at = 5 WHERE id = 'failed'")
        before.execute("UPDATE webhook_bridge.events SET payload = '[]'")
        assert differences(url) == []
        before.execute(
            "UPDATE webhook_bridge.events SET status = 'pending', held = 1 - held,"
            " settled_at = CASE WHEN settled_at IS NULL AND held = 0 THEN 9 END"
        )
        assert differences(url) == []
        before.execute("DELETE FROM webhook_bridge.events WHERE status = 'delivered' OR held > 0")
        assert differences(url) == []
    store.close()


@pytest.mark.parametrize("change", ["webhook = 'renamed'", "origin = 'called'", "seq = seq + 100"])
@pytest.mark.parametrize("too", ["", ", decided_at = 7, held = 0", ", status = 'failed', settled_at = 7"])
def test_what_a_person_changes_is_found(postgres: Postgres, change: str, too: str) -> None:
    url = old(postgres, "")
    with psycopg.connect(url, autocommit=True) as database:
        database.execute(f"UPDATE webhook_bridge.events SET {change}{too}".encode())
    assert differences(url) == []


def test_what_is_different_is_noticed(postgres: Postgres) -> None:
    url = old(postgres, "")
    with psycopg.connect(url, autocommit=True) as database:
        database.execute("DELETE FROM webhook_bridge.unsettled_events WHERE stage = -1")
        database.execute("UPDATE webhook_bridge.ended_events SET settled_at = 9 WHERE status = 'delivered'")
    assert len(differences(url)) == 3


def test_no_change_of_an_event_makes_a_new_entry_in_its_indexes(postgres: Postgres) -> None:
    url = postgres.new_database("hot")
    open_store(url).close()
    changing = {"events": "status decided_at held settled_at decided_by scan_at acknowledged_at resolved_by notes"}
    with psycopg.connect(url) as database:
        for table, columns in changing.items():
            indexed = database.execute(
                "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = %s::regclass",
                (f"webhook_bridge.{table}",),
            ).fetchall()
            assert indexed
            assert not [(text, column) for (text,) in indexed for column in columns.split() if column in text]


def test_an_event_that_stays_unsettled_keeps_its_row(postgres: Postgres) -> None:
    with psycopg.connect(old(postgres, "")) as database:
        database.execute("UPDATE webhook_bridge.events SET decided_at = 1, scan_at = 1 WHERE settled_at IS NULL")
        database.execute("UPDATE webhook_bridge.events SET settled_at = 2 WHERE id IN ('undecided', 'held')")
        written = database.execute(
            "SELECT pg_stat_get_xact_tuples_updated(oid), pg_stat_get_xact_tuples_inserted(oid),"
            " pg_stat_get_xact_tuples_deleted(oid)"
            " FROM pg_class WHERE oid = 'webhook_bridge.unsettled_events'::regclass"
        ).fetchone()
    assert written == (1, 0, 2), "one was undecided; two are over"
