"""Which task takes which event. In each round, for the leader: tasks that are ready read the log, new
events are taken up, starts that waited for the tasks of before are made, and holds end.

Nothing is kept in memory that the store doesn't have. Times are Unix milliseconds by its clock.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from config.webhooks import Definitions
from store.processes import WorkerStore
from store.records import Event, Target, Term
from store.sql.joins import KEPT_AT_MOST
from worker.decision.draft import Draft, Timeouts, Writer
from worker.decision.filling import Filler
from worker.decision.intake import Intake
from worker.decision.lookups import Lookups
from worker.decision.nearest import Near, Nearest
from worker.decision.quarantine import Quarantine
from worker.decision.reading import Readers
from worker.decision.receivers import Receivers, receivers_of
from worker.decision.round import Round
from worker.discovery.watermark import Watermark

_STARTS = 200
"""Events that are asked about in a round whether they start something for want of a taker."""
_HOLDS = 1000
"""Holds of a webhook that end in a round."""
_HOLDS_EVERY = 500
"""Milliseconds between two looks for holds that are over."""


@dataclass(frozen=True)
class Request:
    """What there is to decide after a scan."""

    events: Sequence[Event]
    """New events, in the order in which they were committed."""
    freed: Sequence[Event]
    """Events that are free again, since all their takers turned out to be gone."""
    began: int
    """When the scan began."""
    now: int
    limit: int
    """Targets that may be claimed for this worker."""
    watermark: Watermark


class Decider:
    """Decides in one term. Belongs to the loop's thread."""

    def __init__(
        self, store: WorkerStore, term: Term, lookups: Lookups, timeouts: Timeouts, skew: float
    ):
        """`skew` is BRIDGE_CLOCK_SKEW in seconds."""
        self._store = store
        self._term = term
        self.lookups = lookups
        self._skew = round(skew * 1000)
        self.quarantine = Quarantine(store)
        self._writer = Writer(store, self.quarantine, timeouts)
        self._readers = Readers(store, self.quarantine)
        self._filler = Filler(store, self.quarantine, term)
        self._definitions = Definitions(())
        self._receivers: Receivers = {}
        self._paused: Collection[str] = ()
        self._holds_at = 0
        """When holds that are over were last looked for."""
        self.waiting: Collection[str] = ()
        """Webhooks whose events wait for their definition."""
        self.newly_held = False
        """Whether the last round left an event without a taker."""
        self.decided = False
        """Whether the last round decided anything."""
        self.unfinished = False
        """Whether there is more to decide at once that no agenda shows."""

    # --- what may change the answer: it is read again ---

    def set_definitions(self, definitions: Definitions) -> None:
        """Uses these definitions from now on. Raises LeadershipLost and StoreUnavailable."""
        now = self._store.now()
        self._receivers = receivers_of(self._store, self._term, definitions, now)
        self._definitions = definitions

    def set_paused(self, paused: Collection[str]) -> None:
        """These webhooks are paused from now on, and no others. Raises LeadershipLost and
        StoreUnavailable."""
        resumed = [one for one in self._paused if one not in paused]
        workflows = {flow for one in resumed for flow in self._receivers.get(one, ())}
        self._store.joins.read_receivers_again(self._term, workflows)
        self._paused = list(paused)

    # --- one round ---

    def decide(self, request: Request) -> list[tuple[Target, Event]]:
        """Decides what there is to decide. What fails alone is set aside; what is due again is
        retried. Returns the targets that are claimed for this worker, with their events. Raises
        LeadershipLost and StoreUnavailable."""
        found = self.lookups.found()
        self._store.joins.read_workflows_again(self._term, found)
        round_ = self._round(request)
        self._filler.fill(round_)
        self.decided = self.newly_held = False
        claimed = self._read_log(round_, request.limit)
        claimed += self._take_up(round_, request, request.limit - len(claimed))
        claimed += self._start_unless_taken(round_, request.limit - len(claimed))
        self._store.decisions.read(self._term, (), round_.later)
        self._end_holds(round_)
        self.quarantine.write(request.now)
        self.unfinished = round_.unfinished or round_.turns.put_off
        return claimed

    def _round(self, request: Request) -> Round:
        return Round(
            now=request.now,
            began=request.began,
            definitions=self._definitions,
            receivers=self._receivers,
            paused=self._paused,
            watermark=request.watermark,
            lookups=self.lookups,
            skew=self._skew,
        )

    def _read_log(self, round_: Round, limit: int) -> list[tuple[Target, Event]]:
        draft = self._draft()
        done = self._readers.read(round_, draft)
        claimed = self._write(round_, draft, limit)
        # Only now: a task that takes an event the store refuses reads again.
        self._store.decisions.read(self._term, done, {})
        return claimed

    def _take_up(self, round_: Round, request: Request, limit: int) -> list[tuple[Target, Event]]:
        events = self._with_due(request)
        draft = self._draft()
        intake = Intake(self._store, self.quarantine, round_, draft)
        intake.take_up(events)
        self.waiting = intake.waiting
        self.newly_held = any(one.hold != "no" for one in draft.decisions.values())
        return self._write(round_, draft, limit)

    def _with_due(self, request: Request) -> list[Event]:
        """The events that may be taken up now, including what is due from the quarantine."""
        now = request.now
        ready = self.quarantine.ready([*request.freed, *request.events], now)
        due = self.quarantine.due_events(now, self._paused)
        by_id = {event.id: event for event in (*ready, *due)}
        return sorted(by_id.values(), key=lambda event: event.seq)

    def _start_unless_taken(self, round_: Round, limit: int) -> list[tuple[Target, Event]]:
        seqs = self._store.joins.unless(self._paused, _STARTS)
        if not seqs:
            return []
        draft = self._draft()
        events = self._store.joins.events(seqs)
        intake = Intake(self._store, self.quarantine, round_, draft)
        intake.start_unless_taken([events[seq] for seq in sorted(events)])
        return self._write(round_, draft, limit)

    def _end_holds(self, round_: Round) -> None:
        if 0 <= round_.now - self._holds_at < _HOLDS_EVERY:
            return
        self._holds_at = round_.now
        nearest = Nearest(self._store)
        for webhook in self._store.joins.webhooks_with_holds():
            if webhook in self._paused:
                continue
            receivers = self._receivers.get(webhook, {})
            before = min(round_.now, round_.watermark.known_until(receivers, round_.now))
            over = self._store.joins.over(webhook, before, _HOLDS)
            if over:
                round_.unfinished |= len(over) == _HOLDS
                near = self._near(round_, nearest, over)
                self._writer.end_holds(self._term, over, near, round_.now)
                self.decided = True

    def _near(
        self, round_: Round, nearest: Nearest, event_ids: Sequence[str]
    ) -> dict[str, list[Near]]:
        """The tasks that come nearest to the first of these events."""
        events = self._store.queries.events_of(event_ids[:_STARTS])
        return {
            event.id: nearest.to(round_.offer(event))
            for event in events.values()
            if event.unreadable is None and not event.is_callback
        }

    def _draft(self) -> Draft:
        return Draft(self._definitions.paces)

    def _write(self, round_: Round, draft: Draft, limit: int) -> list[tuple[Target, Event]]:
        if not draft.decisions:
            return []
        self.decided = True
        return self._writer.write(self._term, draft, round_.now, limit)

    # --- upkeep ---

    def forget_keys(self, watermark: Watermark, limit: int) -> int:
        """Forgets keys of events that no task joins any more. Raises StoreUnavailable."""
        now = self._store.now()
        before = max(min(now, watermark.reconciled_at), now - KEPT_AT_MOST)
        return self._store.joins.prune(before, now - KEPT_AT_MOST, limit)
