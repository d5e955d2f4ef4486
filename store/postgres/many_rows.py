"""Inserts many rows by one statement, whose length doesn't depend on their number."""

from __future__ import annotations

from functools import lru_cache

_NUMBERS = (
    "at due_at hour number response_timeout root_started_at scheduled_at seen_at since size status target_id tries"
    " version wait_until"
)
_TYPES = {**dict.fromkeys(_NUMBERS.split(), "bigint"), "next_at": "float8"}
"""Types of the inserted columns; all others are text."""


@lru_cache(maxsize=64)
def insert(into: str) -> str:
    """The statement that inserts rows `into` ``bridge.TABLE (COLUMNS)``. Its parameters are one list per column."""
    columns = into.partition("(")[2].rstrip(")")
    arrays = ", ".join(f"%b::{_TYPES.get(name, 'text')}[]" for name in columns.split(", "))
    return (
        f"INSERT INTO {into} SELECT {columns} FROM unnest({arrays}) WITH ORDINALITY AS new ({columns}, place)"
        " ORDER BY place"
    )
