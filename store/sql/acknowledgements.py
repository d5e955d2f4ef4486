"""What people do about events that came to nothing."""

from __future__ import annotations

from collections.abc import Sequence

from store import rows
from store.families import UNRESOLVED
from store.protocols import Acknowledgements
from store.sql.database import Database
from store.story import Note, Origins, note_line, notes_in

_NOTES = 20_000
"""Characters of notes from which on an event's notes begin anew."""
_STEP = 100
"""Events a transaction: SQLite writes each with its payload, and nobody else writes meanwhile."""
_CAN_BE = "(" + " OR ".join(f"status = '{status}'" for status in UNRESOLVED) + ")"
_WRITE = f"""
UPDATE bridge.events SET acknowledged_at = %s,
    notes = CASE WHEN length(coalesce(notes, '')) > {_NOTES} THEN '' ELSE coalesce(notes, '') END || %s
WHERE seq IN (SELECT seq FROM bridge.events WHERE id = ANY(%s) ORDER BY seq FOR UPDATE) AND {{}} RETURNING id
"""
_ACKNOWLEDGE = _WRITE.format(f"{_CAN_BE} AND acknowledged_at IS NULL AND resolved_by IS NULL")
_REOPEN = _WRITE.format("acknowledged_at IS NOT NULL")


class SqlAcknowledgements(Acknowledgements):
    """A time in the event's row, and a line for each thing that somebody did."""

    def __init__(self, database: Database):
        self._database = database

    def record(self, event_ids: Sequence[str], note: Note) -> set[str]:
        statement = _ACKNOWLEDGE if note.what == "acknowledged" else _REOPEN
        at = note.at if note.what == "acknowledged" else None
        changed: set[str] = set()
        for step in rows.steps(event_ids, _STEP):
            with self._database.transaction() as transaction:
                found = transaction.fetch(statement, (at, note_line(note), list(step)))
            changed |= {event_id for (event_id,) in found}
        return changed

    def origins(self, event_id: str) -> Origins | None:
        found = self._database.read(
            "SELECT remote, proof, scan_at, decided_by, notes FROM bridge.events WHERE id = %s", (event_id,)
        )
        for remote, proof, scan_at, decided_by, notes in found:
            return Origins(remote, proof, scan_at, decided_by, tuple(notes_in(notes)))
        return None
