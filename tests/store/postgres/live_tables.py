"""Compares the tables of what is live with what follows from the record."""

from __future__ import annotations

import psycopg

_FOLLOWS = {
    "unsettled_events (seq, stage, webhook, status, origin)": """
        SELECT seq, CASE WHEN decided_at IS NULL THEN -1 ELSE held END, webhook, status, origin
        FROM webhook_bridge.events WHERE settled_at IS NULL
    """,
    "ended_events (seq, settled_at, acknowledged_at, webhook, status, origin, resolved_by)": """
        SELECT seq, settled_at, acknowledged_at, webhook, status, origin, resolved_by
        FROM webhook_bridge.events WHERE status <> 'pending'
    """,
}
"""Table and columns → the rows that it should have."""


def differences(url: str) -> list[str]:
    """What the tables of what is live have too much, and what they lack; empty if they are right."""
    found = []
    with psycopg.connect(url) as database:
        database.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        for table, should in _FOLLOWS.items():
            name, columns = table.split(" ", 1)
            has = f"SELECT {columns.strip('()')} FROM webhook_bridge.{name}"
            for word, sql in (
                ("too much", f"{has} EXCEPT ALL {should}"),
                ("missing", f"{should} EXCEPT ALL {has}"),
            ):
                found += [f"{word} in {name}: {row}" for row in database.execute(sql.encode())]
    return found
