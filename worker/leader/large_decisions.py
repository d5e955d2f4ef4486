"""Decisions with very many targets, which are written in parts; other events are decided in between."""

from __future__ import annotations

import structlog

from store.errors import PartRefused
from store.records import Term
from store.sql.store import Store
from worker.failing_items import concerns_all
from worker.health import Health
from worker.leader.quarantine import Quarantine

log = structlog.get_logger()

_AT_ONCE = 2
"""Parts that are written between two scans."""


class LargeDecisions:
    """The parts still to be written. A decision that can't be written is set aside, and holds up no other.

    Belongs to the loop's thread.
    """

    def __init__(self, store: Store, quarantine: Quarantine):
        self._store = store
        self._quarantine = quarantine
        self._refused: set[str] = set()
        """Events whose next part couldn't be written, until their next try."""
        self.more = False
        """Whether there are more parts to write right away."""

    def write_all(self, term: Term, health: Health) -> None:
        """Finishes what the predecessor was writing. Raises LeadershipLost and StoreUnavailable."""
        self.more = True
        while self.more:
            self._write(term, self._store.now())
            health.beat("the loop")

    def write_some(self, term: Term, now: int) -> None:
        """Writes the next few parts, if there are any. Raises LeadershipLost and StoreUnavailable."""
        for _ in range(_AT_ONCE):
            if self.more:
                self._write(term, now)

    def try_again(self, event_id: str) -> None:
        """The event was set aside, and is due again."""
        self._refused.discard(event_id)
        self.more = True

    def _write(self, term: Term, now: int) -> None:
        try:
            self.more = self._store.large_decisions.write_next(term, now, self._refused)
        except PartRefused as error:
            self._refused.add(error.event_id)
            self._quarantine.event_failed(error.event_id, None, error)
        except Exception as error:  # it is tried again with the next large decision
            if concerns_all(error):
                raise
            self.more = False
            log.exception("decisions with very many targets can't be written")
