"""Which message of a lane comes next (`store.rules.lanes`)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from store.records import NewTarget, Target
from store.sql import rows
from store.sql.database import Part, Transaction

# Found by one index look-up for each lane, however many messages wait in it.
_FIRST = "SELECT id FROM bridge.targets t WHERE t.lane = asked.lane AND t.settled_at IS NULL ORDER BY t.id LIMIT 1"
_FIRSTS = f"SELECT ({_FIRST}) FROM unnest(%s::text[]) AS asked (lane)"
_ADVANCE = f"UPDATE bridge.targets SET state = 'pending', due_at = %s WHERE state = 'queued' AND id IN ({_FIRSTS})"
_LATEST = """
SELECT workflow_id FROM bridge.targets WHERE lane = %s AND state = 'done' ORDER BY id DESC LIMIT 1
"""
_NEXT_START = f"""
SELECT {rows.TARGET} FROM (
    SELECT * FROM bridge.targets WHERE lane = %s AND settled_at IS NULL ORDER BY id LIMIT %s
) AS next WHERE otherwise = 'start' ORDER BY id LIMIT 1
"""
_LEAVE = "UPDATE bridge.targets SET lane = NULL WHERE id = ANY(%s)"
_LOOKED_AT = 1000
"""Messages among which one that starts a workflow is looked for: as many as Conductor's queue takes."""
# Passes over a message that another worker is claiming at this moment: it is looked for anyway.
_HURRY = f"""
UPDATE bridge.targets SET due_at = %s WHERE id IN (
    SELECT id FROM bridge.targets
    WHERE state = 'pending' AND not_sent AND otherwise = 'hold' AND due_at > %s AND id IN ({_FIRSTS})
    ORDER BY id FOR UPDATE SKIP LOCKED
)
"""


class Lanes(Part):
    """Where the messages of a lane go (`store.rules.lanes`). Lanes, as other parts of the store have written them."""

    def latest_workflow(self, lane: str) -> str | None:
        """The workflow that the lane's last delivered message went to; None if there is none in the store."""
        found = self._database.read(_LATEST, (lane,))
        return found[0][0] if found else None

    def is_first(self, target: Target) -> bool:
        """Whether no earlier message of its lane is still to be delivered."""
        found = self._database.read(_FIRSTS, ([target.lane],))
        return found[0][0] in (None, target.id)

    def next_start(self, lane: str) -> Target | None:
        """The first message of the lane that hasn't ended and may start its workflow, among the next thousand; None if
        there is none."""
        found = self._database.read(_NEXT_START, (lane, _LOOKED_AT))
        return rows.target(found[0]) if found else None


def lanes_of(targets: Iterable[Target | NewTarget]) -> list[str]:
    """The lanes of these targets."""
    return sorted({target.lane for target in targets if target.lane is not None})


def advance(transaction: Transaction, lanes: Collection[str], now: int) -> bool:
    """Makes the first message of each of these lanes due, unless it was already; returns whether any was made due."""
    return bool(lanes) and transaction.write(_ADVANCE, (now, list(lanes))) > 0


def hurry(transaction: Transaction, new: Iterable[NewTarget], now: int) -> None:
    """Makes held messages due if a message that starts their workflow was added behind them."""
    if lanes := lanes_of(target for target in new if target.otherwise == "start"):
        transaction.write(_HURRY, (now, now, lanes))


def leave(transaction: Transaction, targets: Iterable[Target]) -> None:
    """Takes these messages, the first of their lanes, out of them: they are delivered in no particular order."""
    if ids := [target.id for target in targets]:
        transaction.write(_LEAVE, (ids,))
