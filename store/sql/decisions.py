"""What there is to decide, and the decisions."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from store.errors import Unstorable
from store.records import Agenda, Decision, Event, Target, Term
from store.rules import transitions
from store.sql import rows
from store.sql.database import Deciding, Signals, Transaction
from store.sql.event_rows import Decided, EventRows, Locked
from store.sql.joins import write_keys, write_read
from store.sql.keys import advance, hurry, lanes_of, take_free

MOST_TARGETS = 100_000
"""Of one event. More would keep SQLite's deliveries waiting for longer than their senders wait for
an answer."""


_NEAR_KEPT = 6
"""Tasks of an event: three of its decision, and three of the end of its hold."""
_NEAR_BEFORE = "SELECT event_id, tasks FROM bridge.near_misses WHERE event_id = ANY(%s)"
_NEARER = "ON CONFLICT (event_id) DO UPDATE SET tasks = excluded.tasks"


@dataclass(frozen=True)
class Plan:
    """What a round decides, or a part of it that is written in one transaction."""

    decisions: Sequence[Decision] = ()
    events: Mapping[str, Event] = field(default_factory=dict)
    """The events of the decisions, by their ids."""
    expired: Sequence[str] = ()
    """The ids of events whose hold is over."""
    near: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The tasks that came nearest to an event, to be kept: ids by the event's id."""


class Decisions(ABC):
    """What there is to decide, and the decisions."""

    def __init__(self, leadership: Deciding, events: EventRows, signals: Signals):
        self._leadership = leadership
        self._events = events
        self._signals = signals
        self._undecided_after = ""
        """The webhook after which the next round over undecided events starts."""

    @abstractmethod
    def agenda(self, limit: int, without: Collection[str] = ()) -> Agenda:
        """What there is to decide: up to `limit` of each kind, and no more payload than
        `store.rules.fairness.BYTES`.

        Leaves out paused webhooks and those in `without`. Each webhook's events come in order of
        arrival (`seq`). If there are more than are read at once, webhooks take turns. What stays undecided is read again by the next call, or in a later turn. The
        cost grows neither with the events left out nor with later ones.
        """

    def read(self, term: Term, ready: Sequence[str], later: Mapping[str, int]) -> None:
        """Records that the `ready` tasks have looked for an event of before, and when the others
        look again: id → time. Comes after what they have taken is written."""
        if ready or later:
            with self._leadership.deciding(term) as transaction:
                write_read(transaction, ready, later)

    def decide(self, term: Term, plan: Plan, now: int, claim: int) -> list[Target]:
        """Writes a plan, all of it or nothing: targets, the tasks they take, and each event's
        status, hold and keys.

        In the same transaction, claims the first `claim` targets without a pace for the leader
        itself, and returns them. The first start with a once key holds the key.

        Raises LeadershipLost once another worker is leader, and Unstorable for more than
        `MOST_TARGETS` of one event.
        """
        decisions, expired = plan.decisions, plan.expired
        most = max((len(decision.targets) for decision in decisions), default=0)
        if most > MOST_TARGETS:
            raise Unstorable(f"it has {most} targets; an event may have {MOST_TARGETS}")
        new = [target for decision in decisions for target in decision.targets]
        new_rows = _new_rows(decisions, now, term.holder, claim)
        lanes = lanes_of(new)
        decided = {one.event_id: transitions.after_decision(one, now) for one in decisions}
        with self._leadership.deciding(term, large=len(new) > rows.STEP) as transaction:
            locked: Mapping[str, Locked] = {}
            if expired or lanes:
                # A worker that records results for these events has finished, or waits for this:
                # their targets' states are final.
                locked = self._events.lock(transaction, [*decided, *expired])
            self._events.lock_lanes(transaction, lanes)
            states = self._events.states_of(transaction, expired)
            over = {id_: transitions.event_after_hold(states[id_], now) for id_ in states}
            by = _decided_by(decisions, term, now)
            targets = self._events.decide(transaction, decided, over, new_rows, by)
            write_keys(transaction, decisions, plan.events)
            _keep_near(transaction, plan.near, expired)
            take_free(transaction, targets)
            advance(transaction, lanes, now)
            hurry(transaction, new, now)
            origins = {decision.event_id: decision.origin for decision in decisions}
            origins |= {id_: event.origin for id_, event in locked.items() if id_ in over}
            self._events.resolve(transaction, origins, over, decided)
        claimed = [target for target in targets if target.state == "claimed"]
        if len(claimed) < len(new_rows):
            self._signals.notify("targets")
        return claimed


def _decided_by(decisions: Sequence[Decision], term: Term, now: int) -> Decided:
    """By whom and when; all are decided after one scan."""
    scans = [decision.scan_at for decision in decisions if decision.scan_at is not None]
    return Decided(now, term.holder, scans[0] if scans else None)


def _keep_near(
    transaction: Transaction, near: Mapping[str, Sequence[str]], expired: Sequence[str]
) -> None:
    """Keeps which tasks came nearest. Of an event that expires, those that had come nearest when it
    was decided stay: by now others may have taken them."""
    ended = [event_id for event_id in expired if event_id in near]
    before: dict[str, str] = {}
    if ended:
        before = dict(transaction.fetch(_NEAR_BEFORE, (ended,)))
    kept = []
    for event_id, task_ids in sorted(near.items()):
        earlier = json.loads(before.get(event_id, "[]"))
        kept.append((event_id, json.dumps([*dict.fromkeys([*task_ids, *earlier])][:_NEAR_KEPT])))
    transaction.insert("bridge.near_misses (event_id, tasks)", kept, _NEARER)


def _new_rows(
    decisions: Iterable[Decision], now: int, worker: str, claim: int
) -> list[tuple[Any, ...]]:
    """The new targets, the first `claim` of which are claimed."""
    found: list[tuple[Any, ...]] = []
    left = claim
    for decision in decisions:
        for new in decision.targets:
            claimed_by = None
            # A message isn't claimed yet: it may not be the first of its lane.
            if left > 0 and not decision.paced and new.not_before <= now and new.lane is None:
                claimed_by = worker
                left -= 1
            found.append(rows.new_target_row(decision.event_id, new, claimed_by, now))
    return found
