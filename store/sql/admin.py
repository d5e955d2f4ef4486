"""What the admin page and the command line store: sessions, hidden paths, changes, and what people
do about events."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from store.records import Change
from store.rules.transitions import UNRESOLVED
from store.sql import rows
from store.sql.database import Part
from store.sql.facts import secret_fact
from store.story import Note, Origins, note_line, notes_in

CHANGES_KEPT = 10_000


class Sessions(Part):
    """People's admin page sessions, shared by all of its processes.

    What is stored are those that ended before their cookies expire.
    """

    def key(self) -> bytes:
        """This store's random bytes, generated once, which sign the session cookies."""
        return secret_fact(self._database, "session_key")

    def end(self, session_id: str, until: int, now: int) -> None:
        """Records that the person has logged out, until that time, when the cookie expires anyway."""
        with self._database.transaction() as transaction:
            transaction.write("DELETE FROM bridge.sessions_over WHERE until < %s", (now,))
            transaction.write(
                "INSERT INTO bridge.sessions_over (id, until) VALUES (%s, %s) ON CONFLICT DO"
                " NOTHING",
                (session_id, until),
            )

    def is_over(self, session_id: str) -> bool:
        """Whether the person has logged out."""
        return bool(
            self._database.read("SELECT 1 FROM bridge.sessions_over WHERE id = %s", (session_id,))
        )


class HiddenPaths(Part):
    """Each webhook's last `hide`, so that values stay hidden when its definition is gone or broken.

    A row has a JSON list.
    """

    def keep(self, paths: Mapping[str, Sequence[str]]) -> None:
        """Replaces the JSONPaths remembered for these webhooks; an empty list is remembered too."""
        with self._database.transaction() as transaction:
            # Always in the same order, so that processes waiting for each other's rows can't
            # deadlock.
            for webhook, of_webhook in sorted(paths.items()):
                transaction.write(
                    "INSERT INTO bridge.hidden_paths (webhook, paths) VALUES (%s, %s)"
                    " ON CONFLICT (webhook) DO UPDATE SET paths = excluded.paths",
                    (webhook, json.dumps(list(of_webhook))),
                )

    def all(self) -> dict[str, tuple[str, ...]]:
        """webhook → JSONPaths, of every webhook that was ever defined."""
        found = self._database.read("SELECT webhook, paths FROM bridge.hidden_paths")
        return {webhook: tuple(json.loads(paths)) for webhook, paths in found}


class Changes(Part):
    """People's changes."""

    def record(self, change: Change) -> None:
        """Records a change; the newest 10,000 are kept."""
        with self._database.transaction() as transaction:
            transaction.write(
                "INSERT INTO bridge.changes (at, who, what, webhook, detail) VALUES (%s, %s, %s,"
                " %s, %s)",
                (change.at, change.who, change.what, change.webhook, change.detail),
            )
            transaction.write(
                "DELETE FROM bridge.changes WHERE id <= (SELECT max(id) FROM bridge.changes) - %s",
                (CHANGES_KEPT,),
            )

    def newest(self, webhook: str | None = None, limit: int = 50) -> list[Change]:
        """People's changes, newest first."""
        only = "WHERE webhook = %s" if webhook is not None else ""
        sql = (
            f"SELECT at, who, what, webhook, detail FROM bridge.changes {only} ORDER BY id DESC"
            " LIMIT %s"
        )
        return [
            Change(*row) for row in self._database.read(sql, (*([webhook] if only else []), limit))
        ]

    def was_deleted(self, webhook: str) -> bool:
        """Whether the last thing that somebody did about the webhook was to delete it."""
        return any(change.what == "deleted" for change in self.newest(webhook, 1))


_NOTES = 20_000
"""Characters of notes beyond which an event's notes start over."""
_STEP = 100
"""Events a transaction: SQLite writes each with its payload, and nobody else writes meanwhile."""
_CAN_BE = "(" + " OR ".join(f"status = '{status}'" for status in UNRESOLVED) + ")"
_TO_ACKNOWLEDGE = f"{_CAN_BE} AND acknowledged_at IS NULL AND resolved_by IS NULL"
_TO_REOPEN = "acknowledged_at IS NOT NULL"
_WRITE = f"""
UPDATE bridge.events SET acknowledged_at = %s,
    notes = CASE WHEN length(coalesce(notes, '')) > {_NOTES} THEN '' ELSE coalesce(notes, '') END || %s
WHERE seq IN (SELECT seq FROM bridge.events WHERE id = ANY(%s) AND {{0}} ORDER BY seq FOR UPDATE{{1}}) AND {{0}}
RETURNING id
"""
_FIND = "SELECT id FROM bridge.events WHERE id = ANY(%s) AND {}"


class Acknowledgements(Part):
    """What people note about events that failed, expired or were ignored.

    A time in the event's row, and a line for each thing that somebody did.
    """

    def record(self, event_ids: Sequence[str], note: Note) -> set[str]:
        """Acknowledges these events, or reopens acknowledged ones; returns the ids of those that
        changed.

        What is pending, delivered or resolved can't be acknowledged. Works in steps.
        """
        changed: set[str] = set()
        for step in rows.steps(event_ids, _STEP):
            # A worker that records results locks events in an order of its own. So while this has
            # locked some, it waits for no other, and then for each of those that somebody else had,
            # alone.
            changed |= self._write(step, note, " SKIP LOCKED")
            left = [event_id for event_id in step if event_id not in changed]
            for event_id in self._those_to_change(left, note) if left else ():
                changed |= self._write([event_id], note, "")
        return changed

    def _write(self, event_ids: Sequence[str], note: Note, locked: str) -> set[str]:
        at = note.at if note.what == "acknowledged" else None
        with self._database.transaction() as transaction:
            found = transaction.fetch(
                _WRITE.format(_condition(note), locked), (at, note_line(note), list(event_ids))
            )
        return {event_id for (event_id,) in found}

    def _those_to_change(self, event_ids: Sequence[str], note: Note) -> list[str]:
        return [
            id_
            for (id_,) in self._database.read(_FIND.format(_condition(note)), (list(event_ids),))
        ]

    def origins(self, event_id: str) -> Origins | None:
        """Where the event came from, how it was decided, and what people noted about it."""
        found = self._database.read(
            "SELECT remote, proof, scan_at, decided_by, notes FROM bridge.events WHERE id = %s",
            (event_id,),
        )
        for remote, proof, scan_at, decided_by, notes in found:
            return Origins(remote, proof, scan_at, decided_by, tuple(notes_in(notes)))
        return None


def _condition(note: Note) -> str:
    return _TO_ACKNOWLEDGE if note.what == "acknowledged" else _TO_REOPEN


ERASED = '{"erased": true}'
"""The payload of an event whose own has been erased."""
_IS_OVER = """
SELECT 1 FROM bridge.events e WHERE id = %s AND status <> 'pending' AND NOT EXISTS (
    SELECT 1 FROM bridge.targets t WHERE t.event_id = e.id AND t.state IN ('queued', 'pending', 'claimed')
) FOR UPDATE
"""
_ERASE = (
    (
        f"UPDATE bridge.events SET payload = '{ERASED}', headers = '{{}}', query = '{{}}', type ="
        " NULL, telling = NULL, claims = NULL, enclosing = NULL, remote = NULL WHERE id = %s"
    ),
    "UPDATE bridge.targets SET input = NULL WHERE event_id = %s",
    "UPDATE bridge.targets SET correlation_id = NULL WHERE event_id = %s AND kind = 'message'",
    "UPDATE bridge.answers SET body = NULL WHERE event_id = %s",
    # A digest of a value may give it away.
    "DELETE FROM bridge.event_keys WHERE seq IN (SELECT seq FROM bridge.events WHERE id = %s)",
    # Whoever listens to accepted deliveries is told that one is missing.
    "UPDATE bridge.raw_deliveries SET query = '', headers = '{}', body = '', size = 0,"
    " verdict = CASE verdict WHEN 'accepted' THEN 'pruned' ELSE verdict END WHERE id IN ("
    "SELECT r.id FROM bridge.events e JOIN bridge.raw_deliveries r ON r.webhook = e.webhook"
    # Of a delivery that was split it has the id of the first event; all arrived at the same time.
    " AND r.verdict IN ('accepted', 'rejected') AND (r.event_id = e.id OR"
    " r.verdict = 'accepted' AND r.at = e.received_at) WHERE e.id = %s)",
)


class Erasures(Part):
    """Erases what an event says, such as a person's data."""

    def erase(self, event_id: str) -> bool:
        """Erases payload, headers, inputs, answers, and the delivery as it came; ids, times and
        targets stay.

        False if the event isn't over yet, or isn't there: nothing has changed then.
        """
        with self._database.transaction() as transaction:
            if not transaction.fetch(_IS_OVER, (event_id,)):
                return False
            for statement in _ERASE:
                transaction.write(statement, (event_id,))
        return True
