"""A store's tables as they are: what a transfer from one store to another reads and writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

TRANSFER = "transfer"
"""The fact that says how far a transfer into the store came."""
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Table:
    """A table that every store on SQL has (`store.transfer` knows which)."""

    name: str
    key: tuple[str, ...]
    """The primary key."""
    others: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, the key's first."""
        return self.key + self.others


class Tables(Protocol):
    """A store's tables as they are, for moving all of it to another store."""

    def read(self, table: Table, after: Row | None, limit: int) -> list[Row]:
        """The rows after that key, in the order of keys; truth values as 0 and 1."""

    def write(self, table: Table, rows: Sequence[Row], note: str) -> None:
        """Adds the rows, and notes how far the transfer came, in one transaction."""

    def count(self, table: Table) -> int:
        """How many rows there are."""

    def finish(self) -> None:
        """Brings what follows from the rows up to them: numbers to come, counts, statistics. Takes the note back."""
