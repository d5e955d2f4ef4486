"""What failed alone, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from store.postgres.settled import Settled
from store.records import SetAsideKind
from store.sql.database import Database
from store.sql.quarantine import Quarantine


class PostgresQuarantine(Quarantine):
    """Forgets the agenda's bounds when an event is taken back: it is undecided again, perhaps below them."""

    def __init__(self, database: Database, settled: Settled):
        super().__init__(database)
        self._settled = settled

    def take_back(self, kind: SetAsideKind, ids: Sequence[str]) -> None:
        try:
            super().take_back(kind, ids)
        finally:  # whatever became of it, if the answer was lost
            if kind == "event":
                self._settled.forget()
