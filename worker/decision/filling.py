"""Gives events that were decided before the keys by which tasks of a new shape find them."""

from __future__ import annotations

from store.processes import WorkerStore
from store.records import Term
from store.sql.joins import JOINABLE, Filling, Keyed
from worker.decision.quarantine import Quarantine
from worker.decision.round import Round
from worker.retries import concerns_all

_PAGE = 500


class Filler:
    """Belongs to one term, and to the loop's thread."""

    def __init__(self, store: WorkerStore, quarantine: Quarantine, term: Term):
        self._store = store
        self._quarantine = quarantine
        self._term = term
        self._filling: Filling | None = None
        self._place = (0, 0)
        """Until when the last event that has keys was joinable, and its number."""

    def fill(self, round_: Round) -> None:
        """Fills in one page of keys, if any are missing. Raises LeadershipLost and
        StoreUnavailable."""
        joins = self._store.joins
        filling = joins.to_fill()
        if filling is None:
            return
        round_.unfinished = True
        if filling != self._filling:
            self._filling, self._place = filling, (filling.since + JOINABLE, -1)
        page = joins.joinable(*self._place, _PAGE)
        if not page:
            joins.filled(self._term, filling.shape.id)
            return
        events = joins.events([seq for _, seq, _ in page])
        keyed = []
        for until, seq, is_free in page:
            if seq not in events:  # the payloads are large together: the rest comes next
                break
            self._place = (until, seq)
            event = events[seq]
            try:
                offer = round_.offer(event)
                keyed.append(Keyed(event, round_.keys(offer, [filling.shape]), is_free))
            except Exception as error:
                if concerns_all(error):
                    raise
                self._quarantine.event_failed(event.id, event.webhook, error)
        joins.add_keys(self._term, keyed)
