"""The raw tables, for a transfer from or to another store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from store.rules.fairness import fitting
from store.sql.database import Part

TRUTH = "not_sent"
"""A column of targets: a number in a transfer, whatever its type in the database."""


TRANSFER = "transfer"
"""The fact that records how far a transfer into the store has got."""
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Table:
    """A table that every SQL store has (listed in `store.transfer`)."""

    name: str
    key: tuple[str, ...]
    """The primary key."""
    large: str | None = None
    """The column whose text may be large."""
    columns: tuple[str, ...] = ()
    """All columns, the key's first: see `Tables.with_columns`."""


class Tables(Part, ABC):
    """A store's raw tables, for moving everything to another store (`store.transfer`)."""

    columns: ClassVar[str]
    """Selects the columns of the table with this name, in their order."""

    def with_columns(self, table: Table) -> Table:
        """The table with its columns."""
        found = [name for (name,) in self._database.read(self.columns, (table.name,))]
        return replace(table, columns=(*table.key, *(name for name in found if name not in table.key)))

    @abstractmethod
    def write(self, table: Table, rows: Sequence[Row], note: str) -> None:
        """Adds the rows, and records the transfer's progress, in one transaction."""

    @abstractmethod
    def finish(self) -> None:
        """Brings sequences, counts and statistics up to date with the rows, and deletes the record of progress."""

    def read(self, table: Table, after: Row | None, limit: int) -> list[Row]:
        """The first rows after that key, in order of key; booleans as 0 and 1.

        Up to `limit`; fewer if they are large, and none only if there are no more.
        """
        names = ", ".join(f"CAST({name} AS INTEGER)" if name == TRUTH else name for name in table.columns)
        key = ", ".join(table.key)
        where = f"WHERE ({key}) > ({', '.join(['%s'] * len(table.key))})" if after is not None else ""
        rest = f"FROM bridge.{table.name} {where} ORDER BY {key} LIMIT %s"
        if table.large is not None:
            sizes = self._database.read(f"SELECT octet_length({table.large}) {rest}", (*(after or ()), limit))
            limit = fitting([size or 0 for (size,) in sizes])
        return self._database.read(f"SELECT {names} {rest}", (*(after or ()), limit))

    def count(self, table: Table) -> int:
        """How many rows there are."""
        return int(self._database.read(f"SELECT count(*) FROM bridge.{table.name}")[0][0])
