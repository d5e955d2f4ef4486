"""What keeps the store small and quick, and what moves it to another database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from store.records import Pruned

TRANSFER = "transfer"
"""The fact that says how far a transfer into the store has come."""
Row = tuple[Any, ...]


class Maintenance(Protocol):
    """The store's own housekeeping, and retention. The leader runs it."""

    def advice(self) -> list[str]:
        """What the database's own settings put at risk, each with a remedy."""

    def run(self) -> None:
        """The store's own housekeeping, if there is any to do. To be called about once a second.

        If the store's clock was set back, what waits for a time that is now far ahead becomes due soon.
        """

    def prune(self, before: int, limit: int) -> Pruned:
        """Deletes up to `limit` events, and as many tasks, that were settled before that time: one step of several.

        An event with very many targets takes several steps. Deletes also what of them was set aside, and what was due
        before that time and nobody has tried since.
        """


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
    """A store's tables as they are, for moving all of it to another store (`store.transfer`)."""

    def read(self, table: Table, after: Row | None, limit: int) -> list[Row]:
        """The rows after that key, in the order of keys; booleans as 0 and 1."""

    def write(self, table: Table, rows: Sequence[Row], note: str) -> None:
        """Adds the rows, and notes how far the transfer has come, in one transaction."""

    def count(self, table: Table) -> int:
        """How many rows there are."""

    def finish(self) -> None:
        """Brings sequences, counts and statistics up to date with the rows, and deletes the note."""
