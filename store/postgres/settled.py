"""Where scans for undecided events begin while a snapshot is held: behind what is decided, and never behind an event
that could still become visible (`store.rules.settled_numbers`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from store.clock import MonotonicClock
from store.postgres.low_water_marks import Held, LowWaterMarks
from store.rules.settled_numbers import SettledNumbers
from store.sql.database import Rows, Statement

IN_FULL_EVERY = 60.0
"""Seconds after which a scan begins at the first number again: anything that was missed waits no longer than this."""
NEWEST = "SELECT coalesce(max(seq), 0) FROM bridge.events"
WRITING = """
SELECT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock'
AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND relation = 'bridge.events'::regclass
"""
_FIRST = """
SELECT webhook, (
    SELECT min(u.seq) FROM bridge.undecided u WHERE u.webhook = busy.webhook AND u.seq >= busy.low
) FROM unnest(%(busy)s::text[], %(lows)s::bigint[]) AS busy (webhook, low)
"""


class Settled:
    """For each busy webhook the number at which a scan for undecided events begins."""

    def __init__(self, clock: MonotonicClock = time):
        self._lows = LowWaterMarks()
        self._held = Held(clock)
        self._clock = clock
        self._in_full_at = float("-inf")
        self._opened = 0
        self._numbers = SettledNumbers()

    @property
    def lows(self) -> LowWaterMarks | None:
        """The bounds; None if they aren't worth using now."""
        return self._lows if self._held and self._lows else None

    def found(self, webhooks: Sequence[str]) -> None:
        """These webhooks have undecided events; each is named once per event."""
        self._lows.found(webhooks)

    def forget(self) -> None:
        """Any event may be undecided now."""
        self._lows.forget()
        self._numbers.forget()

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
        return [*asked, (NEWEST, ()), (WRITING, ()), (_FIRST, self._lows.parameters)]

    def seen(self, answers: Sequence[Rows]) -> None:
        """Takes the rows of each statement."""
        if answers:
            self._held.seen(answers[0])
        if len(answers) > 1:
            self._raise(*answers[1:])

    def _raise(self, newest: Rows, writing: Rows, first: Rows) -> None:
        settled = self._numbers.look(newest[0][0], {transaction for (transaction,) in writing})
        if settled is not None:
            behind = settled + 1
            self._lows.set({webhook: behind if seq is None else min(seq, behind) for webhook, seq in first})
