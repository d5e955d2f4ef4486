"""Deliveries with their bytes: accepted ones for `listen`, rejected ones that may be accepted
later, and those that people wrote and saved. One row each, with the body as base64.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import ClassVar

import structlog

from store.delivery_records import RawDelivery, Verdict
from store.records import NewEvent
from store.rules.eviction import Bounds, Kept, first_within, surplus
from store.sql import rows
from store.sql.columns import Columns, number, text
from store.sql.database import Part, Rows, Transaction
from store.sql.storable import text_without_nul

log = structlog.get_logger()

LISTENED = Bounds(number=200, bytes=32 * 1024 * 1024, age=3_600_000)
"""Of the accepted deliveries of one webhook."""

_RAW = Columns(
    id=text,
    webhook=text,
    verdict=text,
    at=number,
    number=number,
    event_id=text,
    remote=text,
    status=number,
    reason=text,
    name=text,
    method=text,
    path=text,
    url=text,
    query=text,
    headers=lambda found: dict(json.loads(found)),
    body=base64.b64decode,
)
_COLUMNS = _RAW.names
_WITHOUT_CONTENT = _RAW.with_instead({"query": "''", "headers": "'{}'", "body": "''"})
_INTO = f"bridge.raw_deliveries ({_COLUMNS}, size)"
_OF_IDS = f"SELECT {_COLUMNS} FROM bridge.raw_deliveries WHERE id = ANY(%s)"
_WEBHOOKS = rows.jumps("webhook", "bridge.raw_deliveries", "webhook >= ''")

_NUMBERED = "webhook = %(webhook)s AND verdict IN ('accepted', 'pruned')"
NEXT_NUMBER = f"SELECT coalesce(max(number), 0) + 1 FROM bridge.raw_deliveries WHERE {_NUMBERED}"
"""The number of the next accepted delivery of a webhook, if only one transaction writes at a time.
"""

_BOUNDED = """
SELECT id, at, remote, size, event_id IS NOT NULL, {known} FROM bridge.raw_deliveries
WHERE webhook = %s AND verdict = %s ORDER BY number, id
"""
# The last one that is deleted stays as a mark without content: nothing else says later that there
# was one.
_MARK = (
    "UPDATE bridge.raw_deliveries SET verdict = 'pruned', query = '', headers = '{}', body = ''"
    " WHERE id = %s"
)
_UNMARK = """
DELETE FROM bridge.raw_deliveries WHERE webhook = %(webhook)s AND verdict = 'pruned'
AND (number < (SELECT number FROM bridge.raw_deliveries WHERE id = %(mark)s) OR NOT {known})
"""
_DELETE = "DELETE FROM bridge.raw_deliveries WHERE id = ANY(%s)"

_ACCEPTED = """
SELECT {columns} FROM bridge.raw_deliveries WHERE webhook = %(webhook)s AND verdict = 'accepted'
AND number > %(after)s AND at >= %(oldest)s AND {settled} ORDER BY number LIMIT %(limit)s
"""
_PRUNED = f"""
SELECT {{columns}} FROM bridge.raw_deliveries
WHERE {_NUMBERED} AND {{known}} AND (verdict = 'pruned' OR at < %(oldest)s) ORDER BY number DESC LIMIT 1
"""
_GREATEST = (
    f"SELECT coalesce(max(number), 0) FROM bridge.raw_deliveries WHERE {_NUMBERED} AND {{known}}"
)

_REJECTED = "FROM bridge.raw_deliveries WHERE verdict = 'rejected' AND event_id IS NULL"
_NEXT_REJECTED = (
    f"SELECT id, size {_REJECTED} AND webhook = %s AND id > %s AND at >= %s ORDER BY id LIMIT %s"
)
_NEWEST_REJECTED = f"SELECT id, size {_REJECTED} AND id > '' ORDER BY id DESC LIMIT %s"
_BECAME = "UPDATE bridge.raw_deliveries SET event_id = %s, size = 0, body = '' WHERE id = %s"

_SAVED = "FROM bridge.raw_deliveries WHERE webhook = %s AND verdict = 'saved'"


def are_any(events: Iterable[NewEvent]) -> bool:
    """Whether a delivery is to be kept."""
    return any(event.raw is not None for event in events)


def keep_accepted(
    transaction: Transaction,
    events: Sequence[NewEvent],
    stored: set[str],
    next_number: str = NEXT_NUMBER,
) -> None:
    """Keeps the deliveries of these events, each under the id of its first one; `stored`: the ids
    of those that weren't known. `next_number` is a statement like `NEXT_NUMBER`."""
    kept: dict[int, RawDelivery] = {}
    for event in events:
        if event.raw is not None and event.id in stored:
            kept.setdefault(id(event.raw), replace(event.raw, id=event.id, event_id=event.id))
    numbers: dict[str, int] = {}
    new_rows = []
    for raw in kept.values():
        if raw.webhook not in numbers:
            numbers[raw.webhook] = int(
                transaction.fetch(next_number, {"webhook": raw.webhook})[0][0]
            )
        new_rows.append(_row(replace(raw, number=numbers[raw.webhook])))
        numbers[raw.webhook] += 1
    transaction.insert(_INTO, new_rows)


def _row(raw: RawDelivery) -> tuple[object, ...]:
    """The values of `_COLUMNS`, and the size."""
    *values, headers, body = attrgetter(*_COLUMNS.split(", "))(raw)
    return (*values, json.dumps(dict(headers)), base64.b64encode(body).decode(), raw.size)


def _deliveries(found: Rows) -> list[RawDelivery]:
    """From the columns of `_COLUMNS`. Those whose headers or body can't be read are left out."""
    readable = []
    for row in found:
        try:
            readable.append(RawDelivery(**_RAW.for_people(row)))
        except (TypeError, ValueError) as error:
            log.error(
                "a row of the store can't be read, and is left out",
                what="raw delivery",
                id=str(row[0]),
                error=str(error),
            )
    return readable


class RawDeliveries(Part):
    """Deliveries with their bytes. `Deliveries.append` adds the accepted ones."""

    known: ClassVar[str] = "true"
    """SQL: whether an accepted delivery's number is one of this server's."""
    settled: ClassVar[str] = "true"
    """SQL: whether no accepted delivery with a lower number can still become visible. Parameters:
    `webhook`, `now`."""

    def prune(self, webhook: str, bounds: Mapping[Verdict, Bounds]) -> None:
        """Deletes what is beyond the bounds of each verdict. Writes nothing if nothing is."""
        for verdict, of_verdict in bounds.items():
            found = self._database.read(_BOUNDED.format(known=self.known), (webhook, verdict))
            foreign = [row[0] for row in found if not row[-1]]
            kept = [Kept(*row[:-1]) for row in found if row[-1]]
            gone = surplus(kept, of_verdict, self._database.now())
            if not gone and not foreign:
                continue
            with self._database.transaction() as transaction:
                if verdict == "accepted" and gone:
                    mark = gone.pop()
                    transaction.write(
                        _UNMARK.format(known=self.known), {"webhook": webhook, "mark": mark}
                    )
                    transaction.write(_MARK, (mark,))
                transaction.write(_DELETE, ([*foreign, *gone],))

    def webhooks(self) -> list[str]:
        """The webhooks of which any are kept."""
        return [webhook for (webhook,) in self._database.read(_WEBHOOKS)]

    def _read(self, ids: list[str]) -> list[RawDelivery]:
        """These deliveries, in the order of their ids' list; those that can't be read are left
        out."""
        found = (
            {one.id: one for one in _deliveries(self._database.read(_OF_IDS, (ids,)))}
            if ids
            else {}
        )
        return [found[id_] for id_ in ids if id_ in found]

    # --- accepted: what becomes visible later has a greater number ---

    def listed(self, webhook: str, after: int = 0, limit: int = 1000) -> list[RawDelivery]:
        """The first accepted ones after this number, in order of arrival, without their content.
        Those that are too old are left out."""
        return _deliveries(self._accepted(_WITHOUT_CONTENT, webhook, after, limit))

    def next_accepted(self, webhook: str, after: int, limit: int) -> tuple[list[RawDelivery], int]:
        """The same with their content, and the number after which to go on.

        Fewer than `limit` if they are large, or can't be read.
        """
        found = self._accepted("id, size, number", webhook, after, limit)
        ids = first_within((id_, size) for id_, size, _ in found)
        deliveries = self._read(ids)
        last = (
            deliveries[-1].number
            if deliveries
            else max([after, *(number for _, _, number in found[: len(ids)])])
        )
        return deliveries, last

    def _accepted(self, columns: str, webhook: str, after: int, limit: int) -> Rows:
        sql = _ACCEPTED.format(columns=columns, settled=self.settled)
        now = self._database.now()
        values = {
            "webhook": webhook,
            "after": after,
            "oldest": now - LISTENED.age,
            "now": now,
            "limit": limit,
        }
        return self._database.read(sql, values)

    def last_pruned(self, webhook: str) -> RawDelivery | None:
        """The last accepted one that is no longer listed, without its content; None if there was
        none."""
        sql = _PRUNED.format(columns=_WITHOUT_CONTENT, known=self.known)
        values = {"webhook": webhook, "oldest": self._database.now() - LISTENED.age}
        return next(iter(_deliveries(self._database.read(sql, values))), None)

    def greatest_number(self, webhook: str) -> int:
        """The greatest number that an accepted delivery of the webhook has had here, also if it was
        pruned; 0 for none. A greater one is from another store, or from this one before an older
        copy was restored."""
        return int(
            self._database.read(_GREATEST.format(known=self.known), {"webhook": webhook})[0][0]
        )

    # --- rejected: they may be accepted later, once a secret is corrected ---

    def keep(self, rejected: Sequence[RawDelivery]) -> None:
        """Keeps rejected deliveries. Those that are kept already are left as they are."""
        # Always in the same order, so that relays waiting for each other's rows can't deadlock.
        new_rows = [_row(delivery) for delivery in sorted(rejected, key=lambda one: one.id)]
        with self._database.transaction() as transaction:
            transaction.insert(_INTO, new_rows, "ON CONFLICT DO NOTHING")

    def rejected(self, id_: str) -> RawDelivery | None:
        """The rejected delivery with this id."""
        return next((one for one in self._read([id_]) if one.verdict == "rejected"), None)

    def next_rejected(
        self, webhook: str, since: int, after: str = "", limit: int = 100
    ) -> list[RawDelivery]:
        """The webhook's deliveries that arrived since that time and haven't been accepted, after
        that id, in order of arrival.

        Fewer than `limit` if they are large; none only if there are no more.
        """
        return self._read(
            first_within(self._database.read(_NEXT_REJECTED, (webhook, after, since, limit)))
        )

    def newest_rejected(self, limit: int) -> list[RawDelivery]:
        """The newest deliveries of all webhooks that haven't been accepted; fewer if they are
        large."""
        return self._read(first_within(self._database.read(_NEWEST_REJECTED, (limit,))))

    def accepted(self, id_: str, event_id: str) -> None:
        """The rejected delivery has become this event: its bytes are no longer needed."""
        with self._database.transaction() as transaction:
            transaction.write(_BECAME, (event_id, id_))

    # --- saved by people ---

    def save(self, delivery: RawDelivery, most: int) -> bool:
        """Saves it in place of the webhook's one of that name; False if the webhook has `most`
        others already."""
        id_ = _id_of(delivery.webhook, delivery.name)
        with self._database.transaction() as transaction:
            if (
                transaction.fetch(
                    f"SELECT count(*) {_SAVED} AND id != %s", (delivery.webhook, id_)
                )[0][0]
                >= most
            ):
                return False
            transaction.write(_DELETE, ([id_],))
            transaction.insert(_INTO, [_row(replace(delivery, id=id_, verdict="saved"))])
        return True

    def saved(self, webhook: str) -> list[RawDelivery]:
        """Those of the webhook, in the order of their names."""
        found = self._database.read(f"SELECT {_COLUMNS} {_SAVED}", (webhook,))
        return sorted(_deliveries(found), key=lambda delivery: delivery.name)

    def find_saved(self, webhook: str, name: str) -> RawDelivery | None:
        """The webhook's one of that name."""
        return next(iter(self._read([_id_of(webhook, name)])), None)

    def delete_saved(self, webhook: str, name: str) -> bool:
        """False if there was none."""
        with self._database.transaction() as transaction:
            return transaction.write(_DELETE, ([_id_of(webhook, name)],)) == 1


def _id_of(webhook: str, name: str) -> str:
    """The id of a saved delivery, which no other kind can have."""
    return text_without_nul(f"{webhook}: {name}")
