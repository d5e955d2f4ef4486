"""The database for deliveries, which can't wait for long."""

from __future__ import annotations

from contextlib import AbstractContextManager

from store.postgres.connections import IMPATIENT, Connection, Connections
from store.sql.database import Parameters, Rows


class Impatient:
    """The database for callers that can't wait, such as deliveries."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def now(self) -> int:
        """The database's time in milliseconds."""
        return self._connections.now()

    def read(self, statement: str, parameters: Parameters = (), *, until: float = float("inf")) -> Rows:
        """The rows of one read-only statement. Raises StoreUnavailable."""
        return self._connections.read(statement, parameters, IMPATIENT, until)

    def transaction(self, *, until: float = float("inf")) -> AbstractContextManager[Connection]:
        """One transaction. Raises StoreUnavailable."""
        return self._connections.transaction(IMPATIENT, until=until)
