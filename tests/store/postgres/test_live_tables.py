"""The tables of what is live follow the record, whoever writes it."""

from __future__ import annotations

import psycopg
import pytest

from store.open import open_store
from tests.store.postgres.live_tables import differences

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


@pytest.fixture
def url(migrated_url: str) -> str:
    """A database with events in every state."""
    with psycopg.connect(migrated_url, autocommit=True) as database:
        for row in _EVENTS:
            database.execute(_EVENT, row)
    return migrated_url


def test_an_event_is_found_by_its_state(url: str) -> None:
    assert differences(url) == []
    store = open_store(url)
    assert [event.id for event in store.decisions.agenda(9).undecided] == ["undecided"]
    assert [event.id for event in store.decisions.agenda(9).freed] == ["free"]
    assert [event.id for event in store.decisions.held(0, 9)] == ["held", "failed and held"]
    assert store.queries.unresolved() == 2
    store.close()


def test_a_change_by_any_writer_is_followed(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as database:
        database.execute(_EVENT, ("e1", "pending", None, 0, None, None))
        database.execute(_EVENT, ("e2", "pending", None, 0, None, None))
        for change in (
            "UPDATE webhook_bridge.events SET decided_at = 3 WHERE id IN ('undecided', 'e1')",
            "UPDATE webhook_bridge.events SET status = 'delivered', settled_at = 4 WHERE id = 'e1'",
            "UPDATE webhook_bridge.events SET acknowledged_at = 5 WHERE id = 'failed'",
            "UPDATE webhook_bridge.events SET payload = '[]'",
            "UPDATE webhook_bridge.events SET status = 'pending', held = 1 - held,"
            " settled_at = CASE WHEN settled_at IS NULL AND held = 0 THEN 9 END",
            "DELETE FROM webhook_bridge.events WHERE status = 'delivered' OR held > 0",
        ):
            database.execute(change.encode())
            assert differences(url) == [], change


@pytest.mark.parametrize("change", ["webhook = 'renamed'", "origin = 'called'", "seq = seq + 100"])
@pytest.mark.parametrize(
    "too", ["", ", decided_at = 7, held = 0", ", status = 'failed', settled_at = 7"]
)
def test_what_a_person_changes_is_found(url: str, change: str, too: str) -> None:
    with psycopg.connect(url, autocommit=True) as database:
        database.execute(f"UPDATE webhook_bridge.events SET {change}{too}".encode())
    assert differences(url) == []
