"""Deliveries as they came, of webhooks that keep them: accepted ones for `listen`, rejected ones that may be accepted
later, and those that people wrote and saved.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from store.delivery_records import (
    KeptDelivery,
    ListedDelivery,
    NoLongerKept,
    NumberedDelivery,
    RawDelivery,
    SavedDelivery,
)
from store.records import NewEvent
from store.rules.eviction import Kept, first_within, surplus
from store.sql import rows
from store.sql.database import Part, Rows, Transaction
from store.sql.storable import text_without_nul

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


def _numbered(row: Sequence[Any]) -> NumberedDelivery:
    """From the columns of `_READ`. Raises TypeError or ValueError if the headers can't be read."""
    id_, at, event_id, method, query, headers, body = rows.readable(row, (1,))
    return NumberedDelivery(id_, at, event_id, method, query, dict(json.loads(headers)), body)


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
        return list(rows.readable_ones("delivery to be listened to", found, _numbered))

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


_REJECTED = "id, webhook, at, status, reason, remote, method, path, url, query, headers, body, event_id"
_KEPT = "SELECT id, remote, size, event_id IS NOT NULL FROM bridge.kept_deliveries WHERE webhook = %s ORDER BY id"
_NEXT_REJECTED = """
SELECT id, size FROM bridge.kept_deliveries
WHERE webhook = %s AND id > %s AND at >= %s AND event_id IS NULL ORDER BY id LIMIT %s
"""
_NEWEST_REJECTED = (
    "SELECT id, size FROM bridge.kept_deliveries WHERE id > '' AND event_id IS NULL ORDER BY id DESC LIMIT %s"
)
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
            new_rows = [
                (*_rejected_row(delivery), delivery.size) for delivery in sorted(deliveries, key=lambda one: one.id)
            ]
            transaction.insert(f"bridge.kept_deliveries ({_REJECTED}, size)", new_rows, "ON CONFLICT DO NOTHING")
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
        return self._read(first_within(self._database.read(_NEXT_REJECTED, (webhook, after, since, limit))))

    def newest(self, limit: int) -> list[KeptDelivery]:
        """The newest deliveries of all webhooks that haven't been accepted; fewer if they are large."""
        return self._read(first_within(self._database.read(_NEWEST_REJECTED, (limit,))))

    def accepted(self, kept_id: str, event_id: str) -> None:
        """The delivery has become this event: its bytes are no longer needed."""
        with self._database.transaction() as transaction:
            transaction.write(_ACCEPTED, (event_id, kept_id))

    def _read(self, ids: list[str]) -> list[KeptDelivery]:
        """These deliveries, in the order of their ids' list."""
        if not ids:
            return []
        sql = f"SELECT {_REJECTED} FROM bridge.kept_deliveries WHERE id = ANY(%s)"
        readable = rows.readable_ones("rejected delivery", self._database.read(sql, (ids,)), _delivery)
        found = {delivery.id: delivery for delivery in readable}
        return [found[id_] for id_ in ids if id_ in found]


def _trim(transaction: Transaction, webhook: str, most: int) -> None:
    found: Rows = transaction.fetch(_KEPT, (webhook,))
    gone = surplus([Kept(id_, remote, size, bool(accepted)) for id_, remote, size, accepted in found], most)
    if gone:
        transaction.write("DELETE FROM bridge.kept_deliveries WHERE id = ANY(%s)", (gone,))


def _rejected_row(delivery: KeptDelivery) -> tuple[object, ...]:
    """The values of `_REJECTED`."""
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
    """From the columns of `_REJECTED`. Raises TypeError or ValueError if headers or body can't be read."""
    values = rows.readable(row, (2, 3))
    values[10:12] = dict(json.loads(row[10])), base64.b64decode(row[11])
    return KeptDelivery(*values)


_OTHERS = "SELECT count(*) FROM bridge.saved_deliveries WHERE webhook = %s AND name != %s"
_SAVE = """
INSERT INTO bridge.saved_deliveries (webhook, name, saved_at, content) VALUES (%s, %s, %s, %s)
ON CONFLICT (webhook, name) DO UPDATE SET saved_at = excluded.saved_at, content = excluded.content
"""
_OF_WEBHOOK = "SELECT webhook, name, saved_at, content FROM bridge.saved_deliveries WHERE webhook = %s"


class SavedDeliveries(Part):
    """Deliveries that people wrote, and saved by name.

    One row each; what is sent is JSON in ASCII, so that it is kept as written whatever characters it has.
    """

    def save(self, delivery: SavedDelivery, most: int) -> bool:
        """Saves it in place of the webhook's one of that name; False if the webhook has `most` others already."""
        webhook, name = text_without_nul(delivery.webhook), text_without_nul(delivery.name)
        content = {
            "method": delivery.method,
            "query": delivery.query,
            "headers": delivery.headers,
            "body": delivery.body,
        }
        with self._database.transaction() as transaction:
            if transaction.fetch(_OTHERS, (webhook, name))[0][0] >= most:
                return False
            transaction.write(_SAVE, (webhook, name, delivery.saved_at, json.dumps(content)))
        return True

    def of_webhook(self, webhook: str) -> list[SavedDelivery]:
        """In the order of their names."""
        found = self._database.read(_OF_WEBHOOK, (text_without_nul(webhook),))
        return sorted(rows.readable_ones("saved delivery", found, _saved), key=lambda saved: saved.name)

    def find(self, webhook: str, name: str) -> SavedDelivery | None:
        """The webhook's one of that name."""
        key = (text_without_nul(webhook), text_without_nul(name))
        found = self._database.read(f"{_OF_WEBHOOK} AND name = %s", key)
        return next(rows.readable_ones("saved delivery", found, _saved), None)

    def delete(self, webhook: str, name: str) -> bool:
        """False if there was none."""
        sql = "DELETE FROM bridge.saved_deliveries WHERE webhook = %s AND name = %s"
        with self._database.transaction() as transaction:
            return transaction.write(sql, (text_without_nul(webhook), text_without_nul(name))) == 1


def _saved(row: Sequence[Any]) -> SavedDelivery:
    """Raises TypeError or ValueError if it can't be read."""
    webhook, name, saved_at, content = rows.readable(row, (2,))
    return SavedDelivery(webhook, name, saved_at, **json.loads(content))
