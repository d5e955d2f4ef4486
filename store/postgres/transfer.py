"""The raw tables, for a transfer from or to another store."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from store.postgres.connection import Connection
from store.postgres.connections import READING, Connections
from store.sql.facts import SET_FACT
from store.sql.transfer import TRANSFER, TRUTH, Row, Table, Tables

_NUMBERED = {
    "events": "seq",
    **dict.fromkeys(("targets", "rejections", "changes", "raw_deliveries", "duplicates"), "id"),
}
"""Tables whose rows get a number from the database."""


class PostgresTables(Tables):
    """The tables on PostgreSQL."""

    def __init__(self, connections: Connections):
        super().__init__(connections)
        self._connections = connections

    def write(self, table: Table, rows: Sequence[Row], note: str) -> None:
        with self._connections.transaction(READING) as connection:
            if table.name == "facts":
                for row in rows:
                    connection.write(SET_FACT, row)
            elif rows:
                self._copy(connection, table, rows)
            connection.write(SET_FACT, (TRANSFER, note, self._connections.now()))

    def _copy(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        truth = table.columns.index(TRUTH) if TRUTH in table.columns else None
        sql = connection.sql(f"COPY bridge.{table.name} ({', '.join(table.columns)}) FROM STDIN")
        with connection.cursor() as cursor, cursor.copy(sql) as copy:
            for row in rows:
                values = list(row)
                if truth is not None:
                    values[truth] = bool(values[truth])
                copy.write_row(values)

    def finish(self) -> None:
        with self._connections.transaction(READING) as connection:
            for name, key in _NUMBERED.items():
                connection.write(
                    f"SELECT setval(pg_get_serial_sequence('bridge.{name}', '{key}'),"
                    f" (SELECT coalesce(max({key}), 0) + 1 FROM bridge.{name}), false)",
                )
            connection.write("DELETE FROM bridge.finished_events")
            connection.write(
                "INSERT INTO bridge.finished_events (status, number)"
                " SELECT status, count(*) FROM bridge.events WHERE status != 'pending' GROUP BY status",
            )
            connection.write("DELETE FROM bridge.facts WHERE name = %s", (TRANSFER,))
        for name in ("events", "unsettled_events", "ended_events", "targets", "tasks"):
            self._connections.run_again(self._analysing(name), READING)

    def _analysing(self, name: str) -> Callable[[Connection], int]:
        return lambda connection: connection.write(f"ANALYZE bridge.{name}")
