"""How events and tasks find each other, at a cost that grows with the number of neither: by the
digests of what events have, and tasks expect, at the same paths.

A digest finds; `worker.decision.verdict` judges. An event's keys are kept while tasks that are
found late may join it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from store.records import MANY, Decision, Event, EventKey, Shape, Task, Term
from store.rules.fairness import fitting
from store.sql import rows
from store.sql.database import Database, Deciding, Rows, Statement, Transaction
from store.sql.rows import HELD, NO, UNLESS

JOINABLE = 3_600_000
"""Milliseconds after its hold, or after it was taken up, for which tasks that are found late join an
event, at least."""
KEPT_AT_MOST = 24 * 3_600_000
"""Milliseconds for which keys are kept beyond that while no reconciliation is complete."""
IDLE = 24 * 3_600_000
"""Milliseconds after which a shape that no task asks by is forgotten: longer than the rounds of a
loop are apart."""

# As the index over tasks says it, and as it is.
_ASKING = "state IN ('waiting', 'taken') AND shape = %s AND state = 'waiting' AND read_at IS NULL"
_FREE = f"SELECT {rows.TASK} FROM bridge.tasks WHERE {_ASKING}"
_FREE_WITH_KEYS = f"{_FREE} AND key = ANY(%s) ORDER BY scheduled_at, id"
_FREE_OF_SHAPE = f"{_FREE} ORDER BY scheduled_at, id"
_TO_READ = f"""
SELECT {rows.TASK} FROM bridge.tasks
WHERE state = 'waiting' AND read_at IS NOT NULL AND read_at <= %(now)s
AND (scheduled_at <= %(known_until)s OR adopted_at <= %(found_by)s)
AND NOT EXISTS (SELECT 1 FROM bridge.shapes s WHERE s.id = tasks.shape AND s.fill_from IS NOT NULL)
ORDER BY read_at, scheduled_at, id LIMIT %(limit)s
"""


def _has_event(which: str) -> str:
    """SQL for "there is an event with the task's key", of those of which `which` holds."""
    one = "1 = (SELECT 1 FROM bridge.event_keys k WHERE k.shape = tasks.shape AND k.key = {key} AND {which} LIMIT 1)"
    return f"({one.format(key='tasks.key', which=which)} OR {one.format(key=MANY, which=which)})"


_HAS_FREE = _has_event("k.free")
_HAS_ANY = f"({_has_event('k.at >= tasks.scheduled_at')} OR {_HAS_FREE})"
_WITH_EVENTS = f"""
SELECT id, CASE WHEN {_HAS_FREE} THEN 1 ELSE 0 END FROM bridge.tasks WHERE id = ANY(%s) AND {_HAS_ANY}
"""
_IN_TIME = """
SELECT k.at, k.seq FROM bridge.event_keys k JOIN bridge.events e ON e.seq = k.seq
WHERE k.shape = %(shape)s AND k.key = {key} AND k.free AND k.at < %(scheduled_at)s
AND (k.at, k.seq) > (%(came_at)s, %(came_seq)s)
AND (e.hold_until >= %(scheduled_at)s OR k.at >= %(waiting_since)s) AND e.webhook = ANY(%(webhooks)s)
ORDER BY k.at, k.seq LIMIT 1
"""
_WAITED = """
SELECT k.at, k.seq FROM bridge.event_keys k JOIN bridge.events e ON e.seq = k.seq
WHERE k.shape = %(shape)s AND k.key = {key} AND (k.at, k.seq) > (%(waited_at)s, %(waited_seq)s)
AND e.webhook = ANY(%(webhooks)s) AND NOT EXISTS (
    SELECT 1 FROM bridge.targets t WHERE t.task_id = %(task_id)s AND t.wait = %(wait)s AND t.event_id = e.id
)
ORDER BY k.at, k.seq LIMIT 1
"""
_FIRST = " UNION ALL ".join(
    f"SELECT * FROM ({sql.format(key=key)}) AS {name}"
    for name, sql, key in (
        ("came", _IN_TIME, "%(key)s"),
        ("came_for_any", _IN_TIME, MANY),
        ("waited", _WAITED, "%(key)s"),
        ("waited_for_any", _WAITED, MANY),
    )
)
_SIZES = "SELECT seq, octet_length(payload) FROM bridge.events WHERE seq = ANY(%s) ORDER BY seq"
_EVENTS = f"SELECT {rows.EVENT} FROM bridge.events WHERE seq = ANY(%s)"
_SHAPES = "SELECT id, workflow, paths FROM bridge.shapes WHERE workflow = ANY(%s) ORDER BY id"
_TO_FILL = "SELECT id, workflow, paths, fill_from FROM bridge.shapes WHERE fill_from IS NOT NULL ORDER BY id LIMIT 1"
# Free is an event that was held, and that no task has or may have: whether its hold is over is no part of it.
_JOINABLE = f"""
SELECT e.joinable_until, e.seq, e.held IN ({NO}, {HELD}) AND NOT EXISTS (
    SELECT 1 FROM bridge.targets t
    WHERE t.event_id = e.id AND t.kind = 'complete' AND t.state IN {rows.TAKING}
) FROM bridge.events e
WHERE e.joinable_until IS NOT NULL AND (e.joinable_until, e.seq) > (%s, %s)
ORDER BY e.joinable_until, e.seq LIMIT %s
"""
_FILLED = "UPDATE bridge.shapes SET fill_from = NULL WHERE id = %s"
_INTO_KEYS = "bridge.event_keys (shape, key, at, seq, free)"
_READY = "UPDATE bridge.tasks SET read_at = NULL WHERE id = ANY(%s) AND state = 'waiting'"
_READ_AT = "UPDATE bridge.tasks SET read_at = %s WHERE id = ANY(%s) AND state = 'waiting'"
_PAGE = """
SELECT id FROM bridge.tasks WHERE state = 'waiting' AND shape IS NOT NULL AND id > %s ORDER BY id LIMIT %s
"""
# Only of those for which there may be an event: most tasks wait for one that hasn't come.
_READ_AGAIN = f"UPDATE bridge.tasks SET read_at = 0 WHERE read_at IS NULL AND state = 'waiting' AND {_HAS_ANY} AND "
_READ_PAGE_AGAIN = f"{_READ_AGAIN} id = ANY(%s)"
_READ_WORKFLOWS_AGAIN = f"{_READ_AGAIN} workflow_id = ANY(%s)"
_READ_RECEIVERS_AGAIN = f"{_READ_AGAIN} workflow = ANY(%s)"
_READ_SHAPE_AGAIN = f"{_READ_AGAIN} state IN ('waiting', 'taken') AND shape = %s"
_CONVERT = """
UPDATE bridge.tasks SET scheduled_at = shown_at - %(offset)s, read_at = 0,
    waiting_since = CASE WHEN waiting_since = scheduled_at THEN shown_at - %(offset)s ELSE waiting_since END
WHERE state = 'waiting' AND shape IS NOT NULL AND adopted_at >= %(since)s
"""
_BY = "%(until)s - CASE WHEN received_at > %(since)s THEN received_at ELSE %(since)s END"
_LONGER_HOLDS = f"""
UPDATE bridge.events SET hold_until = hold_until + {_BY}, joinable_until = joinable_until + {_BY}
WHERE seq IN (
    SELECT seq FROM bridge.events WHERE joinable_until >= %(since)s + {JOINABLE}
    UNION ALL SELECT seq FROM bridge.undecided
) AND hold_until >= %(since)s AND received_at < %(until)s AND hold_until > received_at
"""
_WEBHOOKS_WITH_HOLDS = rows.jumps("webhook", "bridge.events", f"held = {HELD}")
_OVER = f"""
SELECT id FROM bridge.events WHERE held = {HELD} AND webhook = %s AND hold_until < %s
ORDER BY hold_until LIMIT %s
"""
_UNLESS = f"""
SELECT seq FROM bridge.held_events WHERE held = {UNLESS} AND NOT webhook = ANY(%s) ORDER BY seq LIMIT %s
"""
_CLOSE = "UPDATE bridge.events SET joinable_until = NULL WHERE id = ANY(%s) RETURNING seq"
_OUTDATED = """
SELECT seq FROM bridge.events WHERE joinable_until IS NOT NULL AND joinable_until < %s
ORDER BY joinable_until LIMIT %s
"""
_NO_LONGER_JOINABLE = "UPDATE bridge.events SET joinable_until = NULL WHERE seq = ANY(%s)"
_DELETE_KEYS = "DELETE FROM bridge.event_keys WHERE seq = ANY(%s)"
_STILL_USED = """
UPDATE bridge.shapes SET used_at = %(now)s WHERE used_at < %(some_time_ago)s AND 1 = (
    SELECT 1 FROM bridge.tasks t WHERE t.state IN ('waiting', 'taken') AND t.shape = shapes.id LIMIT 1
)
"""
# Its keys go with their events. Whoever adopts a task of it at this moment keeps it.
_FORGET_IDLE = """
DELETE FROM bridge.shapes WHERE id IN (
    SELECT id FROM bridge.shapes WHERE used_at < %s FOR UPDATE SKIP LOCKED
)
"""
_RECEIVERS = "SELECT webhook, workflow, versions, added_at FROM bridge.receivers"
_INTO_RECEIVERS = "bridge.receivers (webhook, workflow, versions, added_at)"
_CHANGED = "ON CONFLICT (webhook, workflow) DO UPDATE SET versions = excluded.versions, added_at = excluded.added_at"
_NO_RECEIVER = "DELETE FROM bridge.receivers WHERE webhook = %s AND workflow = %s"
_REFILL = """
UPDATE bridge.shapes SET since = CASE WHEN since < %(since)s THEN since ELSE %(since)s END,
    fill_from = CASE WHEN fill_from < %(since)s THEN fill_from ELSE %(since)s END
WHERE workflow = %(workflow)s
"""
_HAS_DECIDED = f"""
SELECT webhook FROM unnest(%s::text[]) AS asked (webhook)
WHERE 1 = (SELECT 1 FROM bridge.ended_events e WHERE e.webhook = asked.webhook LIMIT 1)
OR 1 = (SELECT 1 FROM bridge.held_events h WHERE h.webhook = asked.webhook AND h.held = {HELD} LIMIT 1)
OR 1 = (SELECT 1 FROM bridge.targets t WHERE t.webhook = asked.webhook AND t.state = 'pending' LIMIT 1)
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """How far a task has read the events of before, and which may be for it."""

    task: Task
    webhooks: Sequence[str]
    """The webhooks whose events may be for it."""
    since: int
    """No event from before is for it, unless it waited for it."""
    after_at: int = 0
    after_seq: int = 0
    """The arrival and number of the last event that it has looked at."""


@dataclass(frozen=True, slots=True)
class Filling:
    """A shape for which events of before still lack keys."""

    shape: Shape
    since: int
    """Events that may be joined from then on need some."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """An event with the keys that it is to have."""

    event: Event
    keys: Sequence[EventKey]
    free: bool
    """Whether it was held, and has no taker."""


@dataclass(frozen=True, slots=True)
class StoredReceiver:
    """A row of `receivers`."""

    webhook: str
    workflow: str
    versions: tuple[int, ...] | None
    added_at: int


class Joins:
    """What a worker asks to join events and tasks. Writes raise LeadershipLost once another worker
    is leader."""

    def __init__(self, database: Database, leadership: Deciding):
        self._database = database
        self._leadership = leadership

    # --- an event looks for tasks ---

    def shapes(self, workflows: Collection[str]) -> list[Shape]:
        """The shapes of these workflows' tasks."""
        found = self._database.read(_SHAPES, (sorted(workflows),))
        return [Shape(id_, workflow, tuple(json.loads(paths))) for id_, workflow, paths in found]

    def free_tasks(self, keys: Iterable[EventKey]) -> dict[EventKey, list[Task]]:
        """The free tasks with each of these keys, earliest scheduled first; with `MANY`, all of the
        shape."""
        by_shape: dict[int, set[int]] = {}
        for shape, key in keys:
            by_shape.setdefault(shape, set()).add(key)
        statements = [_free(shape, asked) for shape, asked in by_shape.items()]
        found: dict[EventKey, list[Task]] = {}
        if statements:
            for row in (
                row for rows_ in self._database.read_together(*statements) for row in rows_
            ):
                task = rows.task(row)
                if task.shape is not None and task.key is not None:
                    found.setdefault(EventKey(task.shape, task.key), []).append(task)
        return found

    # --- a task looks for an event ---

    def to_read(self, now: int, known_until: int, found_by: int, limit: int) -> list[Task]:
        """Free tasks that are to look for an event: those scheduled up to `known_until`, when all
        tasks of before are known, and those found up to `found_by`. Earliest first."""
        values = {"now": now, "known_until": known_until, "found_by": found_by, "limit": limit}
        return [rows.task(row) for row in self._database.read(_TO_READ, values)]

    def with_events(self, task_ids: Sequence[str]) -> dict[str, bool]:
        """Those of the tasks for which there may be an event, and whether there may be one that was
        held and has no taker."""
        found = self._database.read(_WITH_EVENTS, (list(task_ids),)) if task_ids else []
        return {task_id: bool(has_free) for task_id, has_free in found}

    def first_events(self, readings: Sequence[Reading]) -> list[tuple[int, int] | None]:
        """For each task the arrival and number of the next event that may be for it, by arrival:
        one that it waited for, or that was held, is free, and came in time. None if there is
        none."""
        if not readings:
            return []
        statements = [(_FIRST, _values(reading)) for reading in readings]
        found: list[Rows] = self._database.read_together(*statements)
        return [min(((at, seq) for at, seq in some), default=None) for some in found]

    def events(self, seqs: Collection[int]) -> dict[int, Event]:
        """The events with these numbers: the first ones, if their payloads are large together."""
        sizes = self._database.read(_SIZES, (sorted(seqs),)) if seqs else []
        some = [seq for seq, _ in sizes[: fitting(size for _, size in sizes)]]
        found = self._database.read(_EVENTS, (some,)) if some else []
        return {event.seq: event for event in map(rows.event, found)}

    # --- reading again ---

    def read_again(self, term: Term, after: str, limit: int) -> str:
        """Free tasks, up to `limit` after that id, are to look for an event again, if there may be
        one. Returns the last one's id; empty if there are no more."""
        with self._leadership.deciding(term) as transaction:
            page = [task_id for (task_id,) in transaction.fetch(_PAGE, (after, limit))]
            if page:
                transaction.write(_READ_PAGE_AGAIN, (page,))
        # SQLite reads an id that isn't UTF-8 as a different one, and returns it again.
        return page[-1] if page and page[-1] > after else ""

    def read_workflows_again(self, term: Term, workflow_ids: Collection[str]) -> None:
        """The tasks of these running workflows are to look for an event again."""
        self._read_again(term, _READ_WORKFLOWS_AGAIN, workflow_ids)

    def read_receivers_again(self, term: Term, workflows: Collection[str]) -> None:
        """The same for all tasks of the workflows with these names."""
        self._read_again(term, _READ_RECEIVERS_AGAIN, workflows)

    def _read_again(self, term: Term, statement: str, values: Collection[str]) -> None:
        if values:
            with self._leadership.deciding(term) as transaction:
                transaction.write(statement, (sorted(values),))

    def convert(self, term: Term, offset: int, since: int) -> None:
        """Conductor's clock is `offset` ahead: converts when tasks that were found since then began to wait,
        and has them look for an event again."""
        with self._leadership.deciding(term) as transaction:
            transaction.write(_CONVERT, {"offset": offset, "since": since})

    # --- holds ---

    def lengthen_holds(self, term: Term, since: int, until: int) -> None:
        """No task could come to wait between these times: holds that hadn't ended then are longer
        by as much."""
        with self._leadership.deciding(term, large=True) as transaction:
            transaction.write(_LONGER_HOLDS, {"since": since, "until": until})

    def webhooks_with_holds(self) -> list[str]:
        """The webhooks that have held events."""
        return [webhook for (webhook,) in self._database.read(_WEBHOOKS_WITH_HOLDS)]

    def over(self, webhook: str, before: int, limit: int) -> list[str]:
        """The ids of the webhook's events whose hold ended before then, first ended first."""
        return [id_ for (id_,) in self._database.read(_OVER, (webhook, before, limit))]

    def unless(self, without: Collection[str], limit: int) -> list[int]:
        """The numbers of events that start a workflow unless a task takes them, oldest first; not
        of the webhooks `without`."""
        return [seq for (seq,) in self._database.read(_UNLESS, (list(without), limit))]

    # --- keys ---

    def to_fill(self) -> Filling | None:
        """A shape for which events of before still lack keys; None if there is none."""
        for id_, workflow, paths, since in self._database.read(_TO_FILL):
            return Filling(Shape(id_, workflow, tuple(json.loads(paths))), since)
        return None

    def joinable(self, at: int, seq: int, limit: int) -> list[tuple[int, int, bool]]:
        """Events that tasks may join, after the one that was joinable until then and has that
        number: until when, the event's number, and whether it was held and has no taker."""
        found = self._database.read(_JOINABLE, (at, seq, limit))
        return [(until, number, bool(is_free)) for until, number, is_free in found]

    def add_keys(self, term: Term, keyed: Sequence[Keyed]) -> None:
        """Adds keys of events that were decided before."""
        added = [row for one in keyed for row in _key_rows(one.event, one.keys, one.free)]
        if added:
            with self._leadership.deciding(term) as transaction:
                transaction.insert(_INTO_KEYS, added, "ON CONFLICT DO NOTHING")

    def filled(self, term: Term, shape: int) -> None:
        """All events that need keys of this shape have some: its tasks look for an event again."""
        with self._leadership.deciding(term) as transaction:
            transaction.write(_FILLED, (shape,))
            transaction.write(_READ_SHAPE_AGAIN, (shape,))

    def prune(self, before: int, idle_before: int, limit: int) -> int:
        """Forgets up to `limit` events' keys that no task can ask for any more, and shapes that no
        task has asked by since `idle_before`. Returns the number of events."""
        with self._database.transaction() as transaction:
            seqs = [seq for (seq,) in transaction.fetch(_OUTDATED, (before, limit))]
            if seqs:
                transaction.write(_DELETE_KEYS, (seqs,))
                transaction.write(_NO_LONGER_JOINABLE, (seqs,))
            used = {"some_time_ago": idle_before + IDLE // 2, "now": idle_before + IDLE}
            transaction.write(_STILL_USED, used)
            transaction.write(_FORGET_IDLE, (idle_before,))
        return len(seqs)

    # --- receivers ---

    def receivers(self) -> list[StoredReceiver]:
        """Which workflows the webhooks received when the definitions were last read."""
        found = self._database.read(_RECEIVERS)
        return [
            StoredReceiver(webhook, workflow, _versions(versions), added_at)
            for webhook, workflow, versions, added_at in found
        ]

    def change_receivers(
        self, term: Term, changed: Sequence[StoredReceiver], gone: Sequence[tuple[str, str]]
    ) -> None:
        """Records receivers that were added or changed: events that are held now get keys for their
        tasks. `gone`: webhooks with workflows that they no longer receive."""
        added = [(r.webhook, r.workflow, _text_of(r.versions), r.added_at) for r in changed]
        with self._leadership.deciding(term) as transaction:
            transaction.insert(_INTO_RECEIVERS, added, _CHANGED)
            for place in gone:
                transaction.write(_NO_RECEIVER, place)
            for one in changed:
                transaction.write(_REFILL, {"since": one.added_at, "workflow": one.workflow})

    def have_decided(self, webhooks: Sequence[str]) -> set[str]:
        """Those of the webhooks of which an event was decided before."""
        found = self._database.read(_HAS_DECIDED, (list(webhooks),)) if webhooks else []
        return {webhook for (webhook,) in found}


def _free(shape: int, keys: set[int]) -> Statement:
    if MANY in keys:
        return _FREE_OF_SHAPE, (shape,)
    return _FREE_WITH_KEYS, (shape, sorted(keys))


def _values(reading: Reading) -> Mapping[str, object]:
    task = reading.task
    after = reading.after_at, reading.after_seq
    came_at, came_seq = max(after, (reading.since, 0))
    waited_at, waited_seq = max(after, (task.scheduled_at, 0))
    return {
        "shape": task.shape,
        "key": task.key,
        "task_id": task.id,
        "wait": task.wait,
        "scheduled_at": task.scheduled_at,
        "waiting_since": task.waiting_since,
        "webhooks": list(reading.webhooks),
        "came_at": came_at,
        "came_seq": came_seq,
        "waited_at": waited_at,
        "waited_seq": waited_seq,
    }


def _versions(text: str | None) -> tuple[int, ...] | None:
    return None if text is None else tuple(json.loads(text))


def _text_of(versions: Sequence[int] | None) -> str | None:
    return None if versions is None else json.dumps(list(versions))


def _key_rows(event: Event, keys: Iterable[EventKey], free: bool) -> list[tuple[object, ...]]:
    return [(shape, key, event.received_at, event.seq, free) for shape, key in keys]


def write_keys(
    transaction: Transaction, decisions: Sequence[Decision], events: Mapping[str, Event]
) -> None:
    """Writes the decided events' keys, and which of them have no taker; forgets those of events
    that join nothing more."""
    added: list[tuple[object, ...]] = []
    free: list[int] = []
    taken: list[int] = []
    for decision in decisions:
        event, is_free = events[decision.event_id], decision.hold == "held"
        added += _key_rows(event, decision.keys, is_free)
        if event.decided_at is not None:
            (free if is_free else taken).append(event.seq)
    if added:
        transaction.insert(_INTO_KEYS, added, "ON CONFLICT DO NOTHING")
    for is_free, seqs in ((True, free), (False, taken)):
        if seqs:
            transaction.write(
                "UPDATE bridge.event_keys SET free = %s WHERE seq = ANY(%s)", (is_free, seqs)
            )
    closed = [event_id for decision in decisions for event_id in decision.closes]
    if closed:
        seqs = [seq for (seq,) in transaction.fetch(_CLOSE, (closed,))]
        transaction.write(_DELETE_KEYS, (seqs,))


def write_read(transaction: Transaction, ready: Sequence[str], later: Mapping[str, int]) -> None:
    """The `ready` tasks have looked for an event; the others look again at these times."""
    if ready:
        transaction.write(_READY, (sorted(ready),))
    by_time: dict[int, list[str]] = {}
    for task_id, at in later.items():
        by_time.setdefault(at, []).append(task_id)
    for at, task_ids in by_time.items():
        transaction.write(_READ_AT, (at, sorted(task_ids)))
