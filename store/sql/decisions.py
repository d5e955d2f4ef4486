"""Decisions, tasks waiting for an event, and what was looked up about their workflows."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from store.errors import Unstorable
from store.records import Agenda, Decision, Event, Target, Task, Term, Workflow
from store.rules import transitions
from store.sql import rows, storable
from store.sql.database import Database, Deciding, Part, Signals, Transaction
from store.sql.event_rows import Decided, EventRows, Locked
from store.sql.keys import advance, hurry, lanes_of, take_free

MOST_TARGETS = 100_000
"""Of one event. More would keep SQLite's deliveries waiting for longer than their senders wait for
an answer."""


NOTHING_NEAR: Mapping[str, Sequence[str]] = {}
_NEAR_KEPT = 6
"""Tasks of an event: three of its decision, and three of the end of its hold."""
_NEAR_BEFORE = "SELECT event_id, tasks FROM bridge.near_misses WHERE event_id = ANY(%s)"
_NEARER = "ON CONFLICT (event_id) DO UPDATE SET tasks = excluded.tasks"


class Decisions(ABC):
    """What there is to decide, and the decisions."""

    def __init__(self, leadership: Deciding, events: EventRows, signals: Signals):
        self._leadership = leadership
        self._events = events
        self._signals = signals
        self._undecided_after = ""
        """The webhook after which the next round over undecided events starts."""
        self._returned_after = ""
        """The task after which the next returned tasks are read."""

    @abstractmethod
    def agenda(self, limit: int, without: Collection[str] = ()) -> Agenda:
        """What there is to decide: up to `limit` of each kind, and no more payload than
        `store.rules.fairness.BYTES`.

        Leaves out paused webhooks and those in `without`. Each webhook's events come in order of
        arrival (`seq`). If there are more than are read at once, webhooks take turns, and so do
        returned tasks. What stays undecided is read again by the next call, or in a later turn. The
        cost grows neither with the events left out nor with later ones.
        """

    @abstractmethod
    def held(self, after_seq: int, limit: int, webhook: str | None = None) -> list[Event]:
        """Held events of one webhook or all, after that number, in order of arrival.

        Fewer than `limit` if their payloads are large; none only if there are no more.
        """

    def decide(
        self,
        term: Term,
        decisions: Sequence[Decision],
        expired: Sequence[str],
        now: int,
        claim: int,
        near: Mapping[str, Sequence[str]] = NOTHING_NEAR,
    ) -> list[Target]:
        """Writes decisions, all or none: targets, the tasks they take, and each event's status and
        hold.

        Ends the hold of the `expired` events (by id). `near`: the tasks that came nearest to an
        event, to be kept. In the same transaction, claims the first `claim` targets without a pace
        for the leader itself, and returns them. The first start with a once key holds the key.

        Raises LeadershipLost once another worker is leader, and Unstorable for more than
        `MOST_TARGETS` of one event.
        """
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
            _keep_near(transaction, near, expired)
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


_INTO = f"bridge.tasks ({rows.TASK})"
# A task that is settled waits again if Conductor shows it waiting: it was rerun, or wrongly
# believed to be gone. An answer to a call that began before it was settled may be older than that.
# A queue hands out what waits again only. A task that has returned since the agenda was read, and
# is found now, waits at once instead of from the next agenda.
_AGAIN = """
ON CONFLICT (id) DO UPDATE SET state = 'waiting', settled_at = NULL, scheduled_at = excluded.scheduled_at,
    matches = excluded.matches, broken = excluded.broken, seen_at = excluded.seen_at
WHERE tasks.state = 'returned' OR tasks.state IN ('completed', 'gone')
    AND (excluded.found_by = 'queue' OR excluded.seen_at > tasks.settled_at) RETURNING id
"""
# A function of the state: PostgreSQL would look for some tasks among all that wait.
_DROP = (
    "UPDATE bridge.tasks SET state = 'gone', settled_at = %s WHERE id = ANY(%s) AND coalesce(state,"
    " '') = 'waiting'"
)
_TAKEN_IN_TIME = f"""
SELECT {rows.TASK} FROM bridge.tasks WHERE state = 'taken' AND response_timeout > 0 AND id > %s ORDER BY id LIMIT %s
"""
_SETTLED_BY = """
SELECT id FROM bridge.tasks WHERE settled_at IS NOT NULL AND settled_at <= %s ORDER BY settled_at DESC LIMIT %s
"""
_WAIT_AGAIN = "UPDATE bridge.tasks SET state = 'waiting' WHERE id = ANY(%s) AND state = 'returned'"


class Tasks:
    """Tasks waiting for an event. Writes raise LeadershipLost once another worker is leader."""

    def __init__(self, database: Database, leadership: Deciding):
        self._database = database
        self._leadership = leadership

    def adopt(self, term: Term, tasks: Sequence[Task], now: int) -> list[Task]:
        """Stores tasks that were found waiting; returns those that weren't known to wait before.

        A settled task waits again, unless the call that showed it waiting began before it was
        settled. One that has returned waits from now on.
        """
        tasks = list(map(storable.task, tasks))
        fresh = set[str]()
        for step in rows.steps(tasks):
            with self._leadership.deciding(term) as transaction:
                by_id = {task.id: task for task in sorted(step, key=lambda task: task.id)}
                new_rows = [rows.new_task_row(task, now) for task in by_id.values()]
                fresh |= {task_id for (task_id,) in transaction.insert(_INTO, new_rows, _AGAIN)}
        return [task for task in tasks if task.id in fresh]

    def drop(self, term: Term, task_ids: Sequence[str], now: int) -> None:
        """The tasks no longer wait: Conductor has ended them."""
        for step in rows.steps(task_ids):
            with self._leadership.deciding(term) as transaction:
                transaction.write(_DROP, (now, sorted(step)))

    def wait_again(self, term: Term, task_ids: Sequence[str]) -> None:
        """Returned tasks wait from now on."""
        for step in rows.steps(task_ids):
            with self._leadership.deciding(term) as transaction:
                transaction.write(_WAIT_AGAIN, (sorted(step),))

    def forget(self, task_ids: Sequence[str], now: int) -> list[str]:
        """The tasks no longer wait: a person says so, whoever is leader. Returns those that
        waited."""
        with self._database.transaction() as transaction:
            found = transaction.fetch(f"{_DROP} RETURNING id", (now, sorted(task_ids)))
        return [task_id for (task_id,) in found]

    def not_waiting(self, task_ids: Sequence[str]) -> list[str]:
        """Those of the tasks that don't wait any more, as somebody else has settled them."""
        sql = "SELECT id FROM bridge.tasks WHERE id = ANY(%s) AND settled_at IS NOT NULL"
        steps = rows.steps(task_ids)
        return [task_id for step in steps for (task_id,) in self._database.read(sql, (list(step),))]

    def settled_by(self, moment: int, limit: int) -> list[str]:
        """The last tasks that were settled by then."""
        return [task_id for (task_id,) in self._database.read(_SETTLED_BY, (moment, limit))]

    def taken_in_time(self, after: str, limit: int) -> list[Task]:
        """Taken tasks with a response time-out, after that id, in order of id."""
        # SQLite reads an id that isn't UTF-8 as a different one: stop when the same rows come
        # again.
        found = map(rows.task, self._database.read(_TAKEN_IN_TIME, (after, limit)))
        return [task for task in found if task.id > after]


_KEEP_LAST = """
ON CONFLICT (id) DO UPDATE SET version = excluded.version, root_id = excluded.root_id,
    root_started_at = excluded.root_started_at, root_correlation_id = excluded.root_correlation_id
"""


class KnownWorkflows(Part):
    """What was looked up about workflows. One row per workflow."""

    def find(self, workflow_id: str) -> Workflow | None:
        """The workflow, if it was looked up before."""
        found = self._database.read(
            f"SELECT {rows.WORKFLOW} FROM bridge.workflows WHERE id = %s", (workflow_id,)
        )
        return Workflow(*found[0]) if found else None

    def forget(self, workflow_ids: Collection[str]) -> None:
        """Forgets what was looked up about these."""
        with self._database.transaction() as transaction:
            transaction.write(
                "DELETE FROM bridge.workflows WHERE id = ANY(%s)", (sorted(workflow_ids),)
            )

    def remember(self, workflows: Sequence[Workflow]) -> None:
        """Stores what was looked up, for as long as a task of the workflow is kept."""
        in_order = sorted(workflows, key=lambda workflow: workflow.id)
        by_id = {workflow.id: workflow for workflow in in_order}
        for step in rows.steps(list(map(rows.workflow_row, by_id.values()))):
            with self._database.transaction() as transaction:
                transaction.insert(f"bridge.workflows ({rows.WORKFLOW})", step, _KEEP_LAST)
