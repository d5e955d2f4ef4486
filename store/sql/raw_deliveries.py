"""Deliveries of webhooks with `listen`, as they came: the newest, for a while."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Sequence

from store.delivery_records import ListedDelivery, NoLongerKept, NumberedDelivery, RawDelivery
from store.records import NewEvent
from store.sql import rows
from store.sql.database import Part, Rows, Transaction

KEPT = 200
"""Deliveries of one webhook."""
KEPT_BYTES = 32 * 1024 * 1024
"""Bytes of their bodies; a single body may be as large as any platform's."""
KEPT_FOR = 3_600_000
"""Milliseconds."""

_COLUMNS = "webhook, at, size, event_id, method, query, headers, body"
_LISTED = """
SELECT id, at, size, event_id FROM bridge.raw_deliveries
WHERE webhook = %s AND id > %s AND at >= %s AND at > 0 ORDER BY id LIMIT %s
"""
_READ = """
SELECT id, at, event_id, method, query, headers, body FROM bridge.raw_deliveries
WHERE id = ANY(%s) AND at > 0 ORDER BY id
"""
_WEBHOOKS = rows.jumps("webhook", "bridge.raw_deliveries", "webhook >= ''")
_LAST_BEYOND = """
SELECT max(id) FROM (
    SELECT id, at, row_number() OVER newest AS number, sum(size) OVER newest AS bytes
    FROM bridge.raw_deliveries WHERE webhook = %s AND at > 0 WINDOW newest AS (ORDER BY id DESC)
) AS kept WHERE number > %s OR bytes > %s OR at < %s OR at > %s
"""
_DELETE = "DELETE FROM bridge.raw_deliveries WHERE webhook = %s AND id < %s"
# The last one that is deleted stays as a mark without content: nothing else says later that there was one.
_MARK = (
    "UPDATE bridge.raw_deliveries SET size = at, at = 0, query = '', headers = '{}', body = ''"
    " WHERE webhook = %s AND id = %s"
)
_PRUNED = """
SELECT id, CASE WHEN at = 0 THEN size ELSE at END FROM bridge.raw_deliveries
WHERE webhook = %s AND at < %s ORDER BY id DESC LIMIT 1
"""
_GREATEST = "SELECT coalesce(max(id), 0) FROM bridge.raw_deliveries WHERE webhook = %s"


def are_any(events: Iterable[NewEvent]) -> bool:
    """Whether a delivery is to be kept."""
    return any(event.raw is not None for event in events)


def keep(transaction: Transaction, events: Sequence[NewEvent], stored: set[str], first_id: int | None = None) -> None:
    """Keeps the deliveries of these events; `stored`: the ids of those that weren't known.

    `first_id`: from which their ids go on; None if the database numbers them.
    """
    kept: dict[int, tuple[RawDelivery, NewEvent]] = {}
    for event in events:
        if event.raw is not None and event.id in stored:
            kept.setdefault(id(event.raw), (event.raw, event))
    new_rows = [_row(raw, event) for raw, event in kept.values()]
    if not new_rows:
        return
    if first_id is None:
        transaction.insert(f"bridge.raw_deliveries ({_COLUMNS})", new_rows)
    else:
        numbered = [(number, *row) for number, row in enumerate(new_rows, first_id)]
        transaction.insert(f"bridge.raw_deliveries (id, {_COLUMNS})", numbered)


def _row(raw: RawDelivery, event: NewEvent) -> tuple[object, ...]:
    body = base64.b64encode(raw.body).decode("ascii")
    headers = json.dumps(dict(raw.headers))
    return event.webhook, event.received_at, len(raw.body), event.id, raw.method, raw.query, headers, body


def _readable(found: Rows) -> Iterator[NumberedDelivery]:
    for row in found:
        id_, at, event_id, method, query, headers, body = rows.readable(row, (1,))
        try:
            yield NumberedDelivery(id_, at, event_id, method, query, dict(json.loads(headers)), body)
        except (TypeError, ValueError) as error:
            rows.unreadable("delivery to be listened to", id_, error)


class RawDeliveries(Part):
    """Deliveries as they came, for `webhook-bridge listen`: a webhook's newest, bounded in number, bytes and age.

    `Deliveries.append` adds them. What becomes visible later has a greater id. One row per delivery.
    """

    def listed(self, webhook: str, after: int = 0, limit: int = 1000) -> list[ListedDelivery]:
        """The first ones after this id, in order of arrival; those that are too old are left out."""
        found = self._database.read(_LISTED, (webhook, after, self._oldest(), limit))
        return [ListedDelivery(*row) for row in found]

    def read(self, ids: Sequence[int]) -> list[NumberedDelivery]:
        """These deliveries, of those that are still there; in order of arrival."""
        found = self._database.read(_READ, (list(ids),)) if ids else []
        return list(_readable(found))

    def prune(self) -> None:
        """Deletes what is beyond the bounds. Writes nothing if nothing is."""
        for (webhook,) in self._database.read(_WEBHOOKS):
            # What has a time to come was kept before the clock was set back, and would stay until then.
            bounds = (webhook, KEPT, KEPT_BYTES, self._oldest(), self._database.now() + KEPT_FOR)
            last = self._database.read(_LAST_BEYOND, bounds)[0][0]
            if last is not None:
                with self._database.transaction() as transaction:
                    transaction.write(_DELETE, (webhook, last))
                    transaction.write(_MARK, (webhook, last))

    def last_pruned(self, webhook: str) -> NoLongerKept | None:
        """The last delivery that is no longer listed, as it is beyond the bounds; None if there was none."""
        found = self._database.read(_PRUNED, (webhook, self._oldest()))
        return NoLongerKept(*found[0]) if found else None

    def greatest_id(self, webhook: str) -> int:
        """The greatest id that a delivery of the webhook has had here, also if it was pruned; 0 for none. A greater one
        is from another store, or from this one before an older copy was restored."""
        return int(self._database.read(_GREATEST, (webhook,))[0][0])

    def _oldest(self) -> int:
        return self._database.now() - KEPT_FOR
