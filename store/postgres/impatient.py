"""The database for deliveries, which can't wait for long."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from store.postgres.connection import Connection
from store.postgres.connections import IMPATIENT, Connections
from store.sql.database import Parameters, Rows, Statement


@dataclass(frozen=True)
class Impatient:
    """The database for callers that can't wait, such as deliveries."""

    connections: Connections

    def now(self) -> int:
        """The database's time in milliseconds."""
        return self.connections.now()

    def read(self, statement: str, parameters: Parameters = (), *, until: float = float("inf")) -> Rows:
        """The rows of one read-only statement. Raises StoreUnavailable."""
        return self.connections.read(statement, parameters, IMPATIENT, until)

    def read_together(self, *statements: Statement) -> list[Rows]:
        """The rows of each of several read-only statements. Raises StoreUnavailable."""
        return self.connections.run_again(lambda connection: connection.fetch_together(statements), IMPATIENT)

    def transaction(self, *, until: float = float("inf")) -> AbstractContextManager[Connection]:
        """One transaction. Raises StoreUnavailable."""
        return self.connections.transaction(IMPATIENT, until=until)
