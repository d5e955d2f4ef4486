"""Deliveries that left no event: rejected, filtered, or of an event that was there already."""

from __future__ import annotations

from collections.abc import Sequence

from store.delivery_records import Duplicate, WithoutEvent
from store.sql import rows
from store.sql.database import Part

DUPLICATES_KEPT = 100
"""Duplicates that are kept per webhook."""
KEPT = "(SELECT k.id FROM bridge.kept_deliveries k WHERE k.id = r.kept_id)"
"""Of a rejection: some of what was kept is pruned before it is."""
_DUPLICATE = "webhook, at, event_id, remote, method"
_PRUNE = """
DELETE FROM bridge.duplicates WHERE webhook = %(webhook)s AND id <= (
    SELECT id FROM bridge.duplicates WHERE webhook = %(webhook)s ORDER BY id DESC LIMIT 1 OFFSET %(kept)s
)
"""


class WithoutEvents(Part):
    """Deliveries that left no event: the newest of each webhook and kind.

    `Deliveries.record_rejections` writes the rejected and filtered ones.
    """

    def record_duplicates(self, duplicates: Sequence[Duplicate]) -> None:
        """Keeps each webhook's newest duplicates."""
        if not duplicates:
            return
        with self._database.transaction() as transaction:
            new_rows = [(one.webhook, one.at, one.event_id, one.remote, one.method) for one in duplicates]
            transaction.insert(f"bridge.duplicates ({_DUPLICATE})", new_rows)
            # Always in the same order, so that relays waiting for each other's rows can't deadlock.
            for webhook in sorted({one.webhook for one in duplicates}):
                transaction.write(_PRUNE, {"webhook": webhook, "kept": DUPLICATES_KEPT})

    def newest(self, webhook: str | None = None, limit: int = 100) -> list[WithoutEvent]:
        """Rejected and filtered deliveries and duplicates: the newest of each table, `limit` at most; in order of
        arrival."""
        only = "WHERE webhook = %s" if webhook is not None else ""
        values = (*([webhook] if only else []), limit)
        rejections, duplicates = self._database.read_together(
            (
                f"SELECT id, webhook, at, status, reason, remote, method, {KEPT} AS kept_id FROM bridge.rejections r"
                f" {only} ORDER BY id DESC LIMIT %s",
                values,
            ),
            (
                "SELECT id, webhook, at, event_id, remote, method FROM bridge.duplicates"
                f" {only} ORDER BY id DESC LIMIT %s",
                values,
            ),
        )
        found = [
            WithoutEvent(
                f"r{id_}", "filtered" if status < 400 else "rejected", of, at, reason, None, remote, method, kept
            )
            for id_, of, at, status, reason, remote, method, kept in (
                rows.readable(row, (0, 2, 3)) for row in rejections[::-1]
            )
        ]
        found += [
            WithoutEvent(f"d{id_}", "duplicate", of, at, "", event_id, remote, method)
            for id_, of, at, event_id, remote, method in (rows.readable(row, (0, 2)) for row in duplicates[::-1])
        ]
        return sorted(found, key=lambda one: one.at)
