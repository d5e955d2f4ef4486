"""Keeps the store small and fast, and moves it to another database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from store.records import Pruned

TRANSFER = "transfer"
"""The fact that records how far a transfer into the store has got."""
Row = tuple[Any, ...]


class Maintenance(Protocol):
    """The store's own housekeeping, and retention. The leader runs it."""

    def advice(self) -> list[str]:
        """The risks of the database's own settings, each with a remedy."""

    def run(self) -> None:
        """The store's own housekeeping, if any is due. Call it about once a second.

        If the store's clock was set back, items that wait for a time that is now far ahead become due soon.
        """

    def prune(self, before: int, limit: int) -> Pruned:
        """Deletes up to `limit` events, and as many tasks, that were settled before that time: one step of several.

        An event with very many targets takes several steps. Also deletes their quarantined items, and those that were
        due before that time and that haven't been retried since.
        """


@dataclass(frozen=True)
class Table:
    """A table that every SQL store has (listed in `store.transfer`)."""

    name: str
    key: tuple[str, ...]
    """The primary key."""
    others: tuple[str, ...]
    large: str | None = None
    """The column whose text may be large."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, the key's first."""
        return self.key + self.others


class Tables(Protocol):
    """A store's raw tables, for moving everything to another store (`store.transfer`)."""

    def read(self, table: Table, after: Row | None, limit: int) -> list[Row]:
        """The first rows after that key, in order of key; booleans as 0 and 1.

        Up to `limit`; fewer if they are large, and none only if there are no more.
        """

    def write(self, table: Table, rows: Sequence[Row], note: str) -> None:
        """Adds the rows, and records the transfer's progress, in one transaction."""

    def count(self, table: Table) -> int:
        """How many rows there are."""

    def finish(self) -> None:
        """Brings sequences, counts and statistics up to date with the rows, and deletes the record of progress."""
