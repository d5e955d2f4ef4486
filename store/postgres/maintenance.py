"""Keeps the database small and fast, and moves its rows to or from another store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from store.errors import CantBackUp
from store.postgres import remedies
from store.postgres.connections import READING, Connection, Connections
from store.postgres.low_water_marks import IN_ORDER
from store.sql import maintenance
from store.sql.facts import SET_FACT
from store.sql.maintenance import TRANSFER, TRUTHS, Maintenance, Row, Table, Tables

_COUNTS = 200
"""Rows of `finished_events` that are summed up."""
_COUNT_EVERY = 5
"""Runs of `run` of which one looks for that: a worker adds some dozens a second at most, and
whoever reads them sums them up anyway."""


class PostgresMaintenance(Maintenance):
    """Maintenance on PostgreSQL."""

    finished = """
    SELECT e.id, ended.settled_at FROM bridge.ended_events ended JOIN bridge.events e ON e.seq = ended.seq
    WHERE ended.settled_at >= %s AND ended.settled_at < %s ORDER BY ended.settled_at LIMIT %s
    FOR UPDATE OF e SKIP LOCKED
    """
    delete_events = """
    WITH pruned AS (DELETE FROM bridge.events WHERE id = ANY(%s) RETURNING status)
    INSERT INTO bridge.finished_events (status, number) SELECT status, -count(*) FROM pruned GROUP BY status
    """

    first = (IN_ORDER,)

    def __init__(self, connections: Connections):
        super().__init__(connections)
        self._connections = connections
        self._runs = 0

    def advice(self) -> list[str]:
        found = self._connections.read(
            "SELECT name, reset_val FROM pg_settings WHERE name IN ('synchronous_commit', 'fsync',"
            " 'full_page_writes', 'synchronous_standby_names') UNION ALL SELECT"
            " 'transaction_read_only', current_setting('transaction_read_only')"
        )
        return remedies.advice(dict(found))

    def backup(self, file: Path) -> None:
        raise CantBackUp(
            f"PostgreSQL has a program for that: pg_dump --format=custom --file={file} DATABASE,"
            " with what BRIDGE_DATABASE says of the host, the user and the database; pg_restore"
            " puts it back"
        )

    def run(self) -> None:
        maintenance.make_due(self._connections)
        self._runs += 1
        if self._runs % _COUNT_EVERY == 1:
            self._sum_up_counts()
        # The server vacuums by itself, as often as the tables' settings say.

    def _sum_up_counts(self) -> None:
        counted = self._connections.read("SELECT count(*) FROM bridge.finished_events")[0][0]
        if counted > _COUNTS:
            with self._connections.transaction() as connection:
                connection.write(
                    "WITH counted AS (DELETE FROM bridge.finished_events RETURNING status, number)"
                    " INSERT INTO bridge.finished_events (status, number) SELECT status,"
                    " sum(number) FROM counted GROUP BY status HAVING sum(number) != 0",
                )


_NUMBERED = {
    "events": "seq",
    **dict.fromkeys(("targets", "shapes", "without_events", "changes"), "id"),
}
"""Tables whose rows get a number from the database."""


class PostgresTables(Tables):
    """The tables on PostgreSQL."""

    columns = """
    SELECT attname FROM pg_attribute
    WHERE attrelid = ('bridge.' || %s)::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
    """

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
        truths = [place for place, name in enumerate(table.columns) if name in TRUTHS]
        sql = connection.sql(f"COPY bridge.{table.name} ({', '.join(table.columns)}) FROM STDIN")
        with connection.cursor() as cursor, cursor.copy(sql) as copy:
            for row in rows:
                values = list(row)
                for place in truths:
                    values[place] = bool(values[place])
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
                "INSERT INTO bridge.finished_events (status, number) SELECT status, count(*) FROM"
                " bridge.events WHERE status != 'pending' GROUP BY status",
            )
            connection.write("DELETE FROM bridge.facts WHERE name = %s", (TRANSFER,))
        for name in (
            "events",
            "unsettled_events",
            "ended_events",
            "targets",
            "tasks",
            "event_keys",
        ):
            self._connections.run_again(self._analysing(name), READING)

    def _analysing(self, name: str) -> Callable[[Connection], int]:
        return lambda connection: connection.write(f"ANALYZE bridge.{name}")
