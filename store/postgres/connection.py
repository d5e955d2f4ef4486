"""One connection to PostgreSQL, whose every wait is bounded.

Where gevent has patched `select`, the wait for the server's answers happens in Python, so that other greenlets
continue. Statements name tables as ``bridge.TABLE``; the address's schema replaces ``bridge`` when they are sent.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import waiting

from store.sql.database import Parameters, Rows, Statement

_NUMBERS = (
    "at due_at first_target hold_until hour iteration number received_at response_timeout root_started_at scheduled_at"
    " seen_at since size status target_id tries version wait_until"
)
_TYPES = {**dict.fromkeys(_NUMBERS.split(), "bigint"), "next_at": "float8"}
"""Types of the inserted columns; all others are text."""


@lru_cache(maxsize=64)
def inserting(into: str) -> str:
    """The statement that inserts rows `into` ``bridge.TABLE (COLUMNS)``. Its parameters are one list per column."""
    columns = into.partition("(")[2].rstrip(")")
    arrays = ", ".join(f"%b::{_TYPES.get(name, 'text')}[]" for name in columns.split(", "))
    return (
        f"INSERT INTO {into} SELECT {columns} FROM unnest({arrays}) WITH ORDINALITY AS new ({columns}, place)"
        " ORDER BY place"
    )


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that waits for nothing beyond `deadline`; then it is closed, as its state is unknown."""

    deadline = float("inf")
    """Monotonic clock."""
    begin = "BEGIN"
    """The statement that begins a transaction, including our settings if there is a pooler."""
    first: Sequence[tuple[Any, ...]] = ()
    """The rows of the statement that was sent along with BEGIN."""
    is_pooled = False
    """Whether there is a pooler in between: then sessions aren't ours, and settings and LISTEN don't last."""
    schema = ""
    """The schema with the bridge's tables, for which `bridge.` in a statement stands."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Waits for the server until the deadline at most."""
        left = max(0.0, self.deadline - time.monotonic())
        bound = left if timeout is None else min(left, timeout)
        try:
            if is_patched():
                return waiting.wait_poll(gen, self.pgconn.socket, interval, None if bound == float("inf") else bound)
            return super().wait(gen, interval, None if bound == float("inf") else bound)
        except psycopg.OperationalError:
            if time.monotonic() >= self.deadline:
                self.pgconn.finish()
                raise psycopg.OperationalError("no answer in time") from None
            raise

    def sql(self, statement: str) -> bytes:
        """The statement with our schema."""
        return _in_schema(statement, self.schema)

    def fetch(self, statement: str, parameters: Parameters = ()) -> Rows:
        """Executes a statement; returns its rows."""
        return self.run(statement, parameters).fetchall()

    def write(self, statement: str, parameters: Parameters = ()) -> int:
        """Executes a statement; returns the number of rows written."""
        return self.run(statement, parameters).rowcount

    def run(self, statement: str, parameters: Parameters = ()) -> psycopg.Cursor[tuple[Any, ...]]:
        """Executes a statement."""
        return self.execute(self.sql(statement), parameters or None)

    def fetch_together(self, statements: Sequence[Statement]) -> list[Rows]:
        """Executes statements in one round trip; returns the rows of each.

        They are sent as one message. With several messages, as in a pipeline, the server might receive only the first
        ones, and wait for the rest without a time-out while holding their locks.
        """
        cursor = psycopg.ClientCursor(self)
        texts = [cursor.mogrify(self.sql(statement), parameters or None) for statement, parameters in statements]
        found: list[Rows] = []
        if texts:
            cursor.execute("; ".join(texts).encode())
            for _ in texts:
                found.append(cursor.fetchall() if cursor.description else [])
                cursor.nextset()
        return found

    def insert(self, into: str, rows: Sequence[Sequence[Any]], rest: str = "") -> Rows:
        """Inserts rows `into` ``bridge.TABLE (COLUMNS)``. Returns the rows of RETURNING, if the `rest` has it."""
        if not rows:
            return []
        columns = [list(column) for column in zip(*rows, strict=True)]
        cursor = self.run(f"{inserting(into)} {rest}", columns)
        return cursor.fetchall() if cursor.description else []


@lru_cache(maxsize=512)
def _in_schema(statement: str, schema: str) -> bytes:
    return statement.replace("bridge.", f"{schema}.").encode()


def is_patched() -> bool:
    """Whether gevent has made `select` cooperative in this process."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("select"))
