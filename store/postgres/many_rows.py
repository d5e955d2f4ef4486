"""Inserts many rows by one statement, whose length doesn't depend on their number."""

from __future__ import annotations

from functools import lru_cache

_NUMBERS = (
    "at due_at hold_until hour iteration number received_at response_timeout root_started_at scheduled_at seen_at since"
    " size status target_id tries version wait_until"
)
_TYPES = {**dict.fromkeys(_NUMBERS.split(), "bigint"), "next_at": "float8"}
"""Types of the inserted columns; all others are text."""
_NUMBERED = "bridge.raw_deliveries"
"""The table whose ids are inserted and are numbers."""


@lru_cache(maxsize=64)
def insert(into: str) -> str:
    """The statement that inserts rows `into` ``bridge.TABLE (COLUMNS)``. Its parameters are one list per column."""
    columns = into.partition("(")[2].rstrip(")")
    types = {**_TYPES, "id": "bigint"} if into.startswith(_NUMBERED) else _TYPES
    arrays = ", ".join(f"%b::{types.get(name, 'text')}[]" for name in columns.split(", "))
    return (
        f"INSERT INTO {into} SELECT {columns} FROM unnest({arrays}) WITH ORDINALITY AS new ({columns}, place)"
        " ORDER BY place"
    )
