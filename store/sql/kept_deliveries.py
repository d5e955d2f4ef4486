"""Rejected deliveries with their bytes."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from store.delivery_records import KeptDelivery
from store.rules.eviction import Kept, first_within, surplus
from store.sql import rows
from store.sql.database import Part, Rows, Transaction

_COLUMNS = "id, webhook, at, status, reason, remote, method, path, url, query, headers, body, event_id"
_KEPT = "SELECT id, remote, size, event_id IS NOT NULL FROM bridge.kept_deliveries WHERE webhook = %s ORDER BY id"
_NEXT = """
SELECT id, size FROM bridge.kept_deliveries
WHERE webhook = %s AND id > %s AND at >= %s AND event_id IS NULL ORDER BY id LIMIT %s
"""
_NEWEST = "SELECT id, size FROM bridge.kept_deliveries WHERE id > '' AND event_id IS NULL ORDER BY id DESC LIMIT %s"
_ACCEPTED = "UPDATE bridge.kept_deliveries SET event_id = %s, size = 0, body = '' WHERE id = %s"


class KeptDeliveries(Part):
    """Rejected deliveries that may be accepted later, once a secret is corrected.

    A row for each, with its body as base64.
    """

    def keep(self, deliveries: Sequence[KeptDelivery], most: Mapping[str, int]) -> None:
        """Keeps the deliveries, and deletes what is more than `most` of a webhook, or more than `eviction.BYTES`.

        `most` has every webhook of these deliveries. Those that are kept already are left as they are.
        """
        with self._database.transaction() as transaction:
            new_rows = [(*_row(delivery), delivery.size) for delivery in sorted(deliveries, key=lambda one: one.id)]
            transaction.insert(f"bridge.kept_deliveries ({_COLUMNS}, size)", new_rows, "ON CONFLICT DO NOTHING")
            # Always in the same order, so that relays waiting for each other's rows can't deadlock.
            for webhook in sorted({delivery.webhook for delivery in deliveries}):
                _trim(transaction, webhook, most[webhook])

    def delivery(self, kept_id: str) -> KeptDelivery | None:
        """The delivery with this id."""
        return next(iter(self._read([kept_id])), None)

    def next(self, webhook: str, since: int, after: str = "", limit: int = 100) -> list[KeptDelivery]:
        """The webhook's deliveries that arrived since that time and haven't been accepted, after that id, in order of
        arrival.

        Fewer than `limit` if they are large; none only if there are no more.
        """
        return self._read(first_within(self._database.read(_NEXT, (webhook, after, since, limit))))

    def newest(self, limit: int) -> list[KeptDelivery]:
        """The newest deliveries of all webhooks that haven't been accepted; fewer if they are large."""
        return self._read(first_within(self._database.read(_NEWEST, (limit,))))

    def accepted(self, kept_id: str, event_id: str) -> None:
        """The delivery has become this event: its bytes are no longer needed."""
        with self._database.transaction() as transaction:
            transaction.write(_ACCEPTED, (event_id, kept_id))

    def _read(self, ids: list[str]) -> list[KeptDelivery]:
        """These deliveries, in the order of their ids' list."""
        if not ids:
            return []
        sql = f"SELECT {_COLUMNS} FROM bridge.kept_deliveries WHERE id = ANY(%s)"
        found = {}
        for row in self._database.read(sql, (ids,)):
            try:
                found[row[0]] = _delivery(row)
            except (TypeError, ValueError) as error:
                rows.unreadable("rejected delivery", row[0], error)
        return [found[id_] for id_ in ids if id_ in found]


def _trim(transaction: Transaction, webhook: str, most: int) -> None:
    found: Rows = transaction.fetch(_KEPT, (webhook,))
    gone = surplus([Kept(id_, remote, size, bool(accepted)) for id_, remote, size, accepted in found], most)
    if gone:
        transaction.write("DELETE FROM bridge.kept_deliveries WHERE id = ANY(%s)", (gone,))


def _row(delivery: KeptDelivery) -> tuple[object, ...]:
    """The values of `_COLUMNS`."""
    return (
        delivery.id,
        delivery.webhook,
        delivery.at,
        delivery.status,
        delivery.reason,
        delivery.remote,
        delivery.method,
        delivery.path,
        delivery.url,
        delivery.query,
        json.dumps(delivery.headers),
        base64.b64encode(delivery.body).decode(),
        delivery.event_id,
    )


def _delivery(row: Sequence[Any]) -> KeptDelivery:
    """From the columns of `_COLUMNS`. Raises TypeError or ValueError if headers or body can't be read."""
    values = rows.readable(row, (2, 3))
    values[10:12] = dict(json.loads(row[10])), base64.b64decode(row[11])
    return KeptDelivery(*values)
