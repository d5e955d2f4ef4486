"""Deliveries of webhooks with `listen` on PostgreSQL: numbered so that no relay waits for another.

Who listens asks for the deliveries after the last one that it has seen. So none may become visible later with a lower
number. A lock held until the commit would ensure that, but then a relay that is stopped in between would hold up all
others. Instead the numbers follow those of the transactions, and what could still be overtaken isn't listed yet.
"""

from __future__ import annotations

from store.delivery_records import ListedDelivery
from store.sql.database import Transaction
from store.sql.raw_deliveries import RawDeliveries

_BITS = 16
"""Of a number, for the deliveries of one transaction: more than a group of them has."""
OVERTAKEN_FOR = 30_000
"""Milliseconds after which no transaction of a relay is still to be committed: the database ends one that is idle for
half as long. So what else writes to the database for long doesn't hold up the list."""
_FIRST = f"SELECT pg_current_xact_id()::text::bigint << {_BITS}"
_SETTLED = f"pg_snapshot_xmin(pg_current_snapshot())::text::bigint << {_BITS}"
_LISTED = f"""
SELECT id, at, size, event_id FROM bridge.raw_deliveries
WHERE webhook = %(webhook)s AND id > %(after)s AND at >= %(oldest)s AND at > 0 AND id < greatest({_SETTLED}, (
    SELECT max(id) + 1 FROM bridge.raw_deliveries WHERE webhook = %(webhook)s AND at < %(settled)s
)) ORDER BY id LIMIT %(limit)s
"""
_NEXT = f"pg_snapshot_xmax(pg_current_snapshot())::text::bigint << {_BITS}"
_OF_ANOTHER = f"DELETE FROM bridge.raw_deliveries WHERE id >= {_NEXT}"
"""Brought from another server, whose transactions had higher numbers: new ones would be below them."""

_GREATEST = f"SELECT coalesce(max(id), 0) FROM bridge.raw_deliveries WHERE webhook = %s AND id < {_NEXT}"


def first_id(transaction: Transaction) -> int:
    """The number of the first delivery that the transaction keeps; the next ones follow it."""
    return int(transaction.fetch(_FIRST)[0][0])


class PostgresRawDeliveries(RawDeliveries):
    """One row per delivery, numbered by its transaction."""

    def listed(self, webhook: str, after: int = 0, limit: int = 1000) -> list[ListedDelivery]:
        values = {
            "webhook": webhook,
            "after": after,
            "oldest": self._oldest(),
            "settled": self._database.now() - OVERTAKEN_FOR,
            "limit": limit,
        }
        return [ListedDelivery(*row) for row in self._database.read(_LISTED, values)]

    def greatest_id(self, webhook: str) -> int:
        return int(self._database.read(_GREATEST, (webhook,))[0][0])

    def prune(self) -> None:
        with self._database.transaction() as transaction:
            transaction.write(_OF_ANOTHER)
        super().prune()
