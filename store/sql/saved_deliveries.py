"""Deliveries that people wrote, and saved by name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from store.delivery_records import SavedDelivery
from store.sql import rows
from store.sql.database import Part, Rows
from store.sql.storable import text_without_nul

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
        return sorted(_readable(found), key=lambda saved: saved.name)

    def find(self, webhook: str, name: str) -> SavedDelivery | None:
        """The webhook's one of that name."""
        key = (text_without_nul(webhook), text_without_nul(name))
        found = self._database.read(f"{_OF_WEBHOOK} AND name = %s", key)
        return next(_readable(found), None)

    def delete(self, webhook: str, name: str) -> bool:
        """False if there was none."""
        sql = "DELETE FROM bridge.saved_deliveries WHERE webhook = %s AND name = %s"
        with self._database.transaction() as transaction:
            return transaction.write(sql, (text_without_nul(webhook), text_without_nul(name))) == 1


def _readable(found: Rows) -> Iterator[SavedDelivery]:
    for row in found:
        try:
            yield _saved(row)
        except (TypeError, ValueError) as error:
            rows.unreadable("saved delivery", row[1], error)


def _saved(row: Sequence[Any]) -> SavedDelivery:
    """Raises TypeError or ValueError if it can't be read."""
    webhook, name, saved_at, content = rows.readable(row, (2,))
    return SavedDelivery(webhook, name, saved_at, **json.loads(content))
