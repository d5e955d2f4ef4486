"""Reads items that failed alone and are retried later, for people and workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from store import rows
from store.protocols import Quarantine
from store.records import SetAside, SetAsideKind
from store.sql.database import Database

_COUNTS = rows.set_aside_counts("bridge.quarantine")


class SqlQuarantine(Quarantine):
    """One row per item. Writing differs between databases: see the subclasses."""

    def __init__(self, database: Database):
        self._database = database

    def items(
        self,
        kind: SetAsideKind | None = None,
        due_before: int | None = None,
        ids: Sequence[str] | None = None,
        limit: int = 1000,
    ) -> list[SetAside]:
        where: list[str] = []
        values: list[Any] = []
        if ids is not None:  # the primary key begins with the kind, and written like this, SQLite uses its index
            where.append("kind = ANY(%s) AND id = ANY(%s)")
            values += [list(rows.KINDS) if kind is None else [kind], list(ids)]
        elif kind is not None:
            where.append("kind = %s")
            values.append(kind)
        if due_before is not None:
            where.append("due_at < %s")
            values.append(due_before)
        found = self._database.read(
            f"SELECT {rows.SET_ASIDE} FROM bridge.quarantine {'WHERE ' if where else ''}{' AND '.join(where)}"
            " ORDER BY due_at, kind, id LIMIT %s",
            (*values, limit),
        )
        return [rows.set_aside(row) for row in found]

    def counts(self) -> dict[SetAsideKind, int]:
        return {kind: number for kind, number in self._database.read(_COUNTS) if number}
