"""The number up to which all events are visible that ever will be, so that looks for undecided ones may begin there.

Numbers become visible out of order: the relay that took the lower one may commit later. But a transaction locks the
numbering table before it takes a number, until it ends. So a number is settled once every transaction has ended that
held such a lock when the number was the newest: whatever has a lower number is visible by then, or never will be.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from store.clock import MonotonicClock
from store.postgres.lows import Held, Lows
from store.sql.database import Rows, Statement

IN_FULL_EVERY = 60.0
"""Seconds after which a look begins at the first number again: anything that was missed waits no longer than this."""
_NEWEST = "SELECT coalesce(max(seq), 0) FROM bridge.events"
_WRITING = """
SELECT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock'
AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND relation = 'bridge.events'::regclass
"""
_FIRST = """
SELECT webhook, (
    SELECT min(u.seq) FROM bridge.undecided u WHERE u.webhook = busy.webhook AND u.seq >= busy.low
) FROM unnest(%(busy)s::text[], %(lows)s::bigint[]) AS busy (webhook, low)
"""


class Settled:
    """For each busy webhook the number at which a look for undecided events begins."""

    def __init__(self, clock: MonotonicClock = time):
        self._lows = Lows()
        self._held = Held(clock)
        self._clock = clock
        self._in_full_at = float("-inf")
        self._opened = 0
        self._newest = 0
        self._writing: set[str] | None = None
        """The transactions that were writing when that was the newest number; None if it isn't known."""

    @property
    def lows(self) -> Lows | None:
        """The bounds; None if they aren't worth using now."""
        return self._lows if self._held and self._lows else None

    def found(self, webhooks: Sequence[str]) -> None:
        """These webhooks have undecided events; each is named once per event."""
        self._lows.found(webhooks)

    def forget(self) -> None:
        """Any event may be undecided now."""
        self._lows.forget()
        self._writing = None

    def connected(self, opened: int) -> None:
        """`opened`: connections opened so far. A new one may lead to another server, whose numbers are lower."""
        if opened != self._opened:
            self._opened = opened
            self.forget()

    def statements(self) -> list[Statement]:
        """The statements to execute now, in this order, each in its own snapshot; their rows go to `seen`."""
        asked = self._held.statements()
        if not (asked and self._held):
            return asked
        if (now := self._clock.monotonic()) >= self._in_full_at:
            self._in_full_at = now + IN_FULL_EVERY
            self._lows.forget()
        return [*asked, (_NEWEST, ()), (_WRITING, ()), (_FIRST, self._lows.parameters)]

    def seen(self, answers: Sequence[Rows]) -> None:
        """Takes the rows of each statement."""
        if answers:
            self._held.seen(answers[0])
        if len(answers) > 1:
            self._raise(*answers[1:])

    def _raise(self, newest: Rows, writing: Rows, first: Rows) -> None:
        now_writing = {transaction for (transaction,) in writing}
        if self._writing is not None:
            if self._writing & now_writing:
                return
            behind = self._newest + 1
            self._lows.set({webhook: behind if seq is None else min(seq, behind) for webhook, seq in first})
        self._newest, self._writing = newest[0][0], now_writing
