"""Lists, counts and details, for people."""

from __future__ import annotations

import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import get_args

from store.records import Event, EventStatus, Target, TargetState, Task
from store.sql import event_search, rows, stretches
from store.sql.database import Part
from store.sql.event_rows import HAS_REPLAYS
from store.sql.event_search import EventFilter, EventPage, WaitingEvents, waiting_for
from store.sql.stretches import Stretch

_ARRIVED = "SELECT seq FROM bridge.events WHERE seq > %s ORDER BY seq"
STATUSES: tuple[EventStatus, ...] = get_args(EventStatus)
_HOUR = 3_600_000
_LATER = 2**62
"""Later than any time, and more than any sequence number."""
UNRESOLVED_COUNTED = 10_000
"""Unresolved events that are counted, at most."""

_ALONE = "LIMIT 1 OFFSET 0"
"""Keeps PostgreSQL from joining: expecting few, it would read all that there are, and then sort
them."""
_FIRST = f"""
SELECT value, (
    SELECT u.seq FROM bridge.undecided u WHERE u.webhook = value AND NOT EXISTS (
        SELECT 1 FROM bridge.quarantine q
        WHERE q.kind = 'event' AND q.id = (SELECT e.id FROM bridge.events e WHERE e.seq = u.seq) {_ALONE}
    ) ORDER BY u.seq LIMIT 1
) AS seq FROM ({rows.jumps("webhook", "bridge.undecided", "true")}) AS webhooks
"""
"""Each webhook's first undecided event."""
_UNDECIDED = f"""
SELECT seq FROM ({_FIRST}) AS first WHERE (SELECT e.received_at FROM bridge.events e WHERE e.seq = first.seq) < %s
AND NOT value = ANY(%s) AND value NOT IN (SELECT webhook FROM bridge.pauses)
"""
_FIRST_DUE = f"""
SELECT value, (
    SELECT id FROM bridge.targets t WHERE t.state = 'pending' AND t.webhook = value AND t.due_at < %s
    AND NOT EXISTS (SELECT 1 FROM bridge.quarantine q WHERE q.kind = 'target' AND q.id = CAST(t.id AS TEXT) {_ALONE})
    ORDER BY due_at LIMIT 1
) AS id FROM ({rows.jumps("webhook", "bridge.targets", "state = 'pending'")}) AS webhooks
"""
_DUE = f"""
SELECT id, (SELECT t.attempts FROM bridge.targets t WHERE t.id = first.id) FROM ({_FIRST_DUE}) AS first
WHERE id IS NOT NULL AND NOT value = ANY(%s)
"""
_OLDEST_CLAIM = (
    "SELECT id, attempts FROM bridge.targets WHERE state = 'claimed' AND claimed_at < %s ORDER BY"
    " claimed_at LIMIT 1"
)

_CALLS = 5000
"""Pending calls that are looked at for the oldest one: so many that are due first, and that are due
last."""
_PENDING_CALLS = (
    "SELECT id, event_id FROM bridge.targets WHERE state = 'pending' ORDER BY due_at {} LIMIT"
    f" {_CALLS}"
)
# Not the first of all undecided events: PostgreSQL would look for it among all events, and the
# undecided come last.
_OLDEST_PENDING = f"""
SELECT min(received_at) FROM (
    SELECT (SELECT e.received_at FROM bridge.events e WHERE e.seq = first.seq) AS received_at FROM ({_FIRST}) AS first
    WHERE value NOT IN (SELECT webhook FROM bridge.pauses)
    UNION ALL SELECT e.received_at FROM (
        SELECT * FROM ({_PENDING_CALLS.format("")}) AS due_first
        UNION SELECT * FROM ({_PENDING_CALLS.format("DESC")}) AS due_last
        UNION SELECT * FROM (
            SELECT id, event_id FROM bridge.targets WHERE state = 'claimed' ORDER BY claimed_at LIMIT {_CALLS}
        ) AS claimed
    ) AS t JOIN bridge.events e ON e.id = t.event_id WHERE NOT EXISTS (
        SELECT 1 FROM bridge.quarantine q WHERE q.kind = 'target' AND q.id = CAST(t.id AS TEXT)
    )
) AS live
"""

# The newest of each status, so that each is found by the index however many replays there are.
_NEWEST_REPLAYS = " UNION ALL ".join(
    f"SELECT seq FROM (SELECT seq FROM {table} WHERE origin = %(origin)s AND status = '{status}'"
    " ORDER BY seq DESC LIMIT %(limit)s) AS part"
    for status in STATUSES
    for table in ["bridge.unsettled_events" if status == "pending" else "bridge.ended_events"]
)
_REPLAYS = (
    f"SELECT {rows.LISTED_EVENT} FROM bridge.events WHERE seq IN ({_NEWEST_REPLAYS}) ORDER BY seq"
)

# Parts of an index, so that no more is read of an event than is asked for, however many targets it
# has. If PostgreSQL knew the event, and that it has very many, it would look for some of them in
# the whole table.
_HAS_MORE = """
SELECT event_id FROM unnest(%s::text[]) AS asked (event_id) WHERE 1 = (
    SELECT 1 FROM bridge.targets t WHERE t.event_id = asked.event_id LIMIT 1 OFFSET %s
)
"""
_SOME_TARGETS = " UNION ALL ".join(
    f"SELECT * FROM (SELECT {rows.TARGET} FROM bridge.targets WHERE event_id = (SELECT %(event)s)"
    f" AND kind = '{kind}' AND state = '{state}' LIMIT %(most)s) AS {kind}_{state}"
    for kind, state in rows.STATES
)

# The sum, so that no database looks for the event's targets among all in the order of their ids.
_IN_ORDER = f"""
SELECT {rows.TARGET} FROM bridge.targets WHERE event_id = (SELECT %(event)s) ORDER BY id + 0
LIMIT %(limit)s OFFSET %(skipped)s
"""

# The one that is live, and those before it: on PostgreSQL each has an index of its own.
_ON_TASK = f"""
SELECT {rows.TARGET} FROM bridge.targets WHERE task_id = %s AND state IN {rows.TAKING}
UNION ALL SELECT {rows.TARGET} FROM bridge.targets WHERE task_id = %s AND state NOT IN {rows.TAKING}
ORDER BY id
"""

# One look into an index for each event, however many targets there are: a join might read them all.
_WITH_EFFECT = """
SELECT event_id FROM unnest(%s::text[]) AS asked (event_id) WHERE 1 = (
    SELECT 1 FROM bridge.targets t
    WHERE t.event_id = asked.event_id AND t.kind IN ('complete', 'start', 'message') AND t.state = 'done' LIMIT 1
)
"""


_TASKS_BY_ID = (
    f"SELECT {rows.TASK} FROM bridge.tasks WHERE id BETWEEN %s AND %s ORDER BY id LIMIT %s"
)
_TASKS_BY_WORKFLOW = (
    f"SELECT {rows.TASK} FROM bridge.tasks WHERE workflow_id BETWEEN %s AND %s ORDER BY workflow_id"
    " LIMIT %s"
)
_TARGETS_BY_WORKFLOW = f"""
SELECT {rows.TARGET} FROM bridge.targets WHERE workflow_id BETWEEN %s AND %s ORDER BY workflow_id DESC, id DESC LIMIT %s
"""
# A part for each of the lanes' indexes.
_TARGETS_IN_LANES = " UNION ALL ".join(
    f"SELECT * FROM (SELECT {rows.TARGET} FROM bridge.targets WHERE lane = ANY(%(lanes)s) AND"
    f" {which} ORDER BY lane, id DESC LIMIT %(limit)s) AS part"
    for which in ("settled_at IS NULL", "state = 'done'")
)
# One look into the index of delivery ids for each webhook.
_BY_DELIVERY = f"""
SELECT id FROM (
    SELECT (
        SELECT e.id FROM bridge.events e
        WHERE e.webhook = value AND e.delivery_id BETWEEN %s AND %s ORDER BY e.delivery_id LIMIT 1
    ) AS id FROM ({rows.jumps("webhook", "bridge.events", "delivery_id IS NOT NULL")}) AS webhooks
) AS found WHERE id IS NOT NULL LIMIT %s
"""

_UNRESOLVED = (
    "bridge.ended_events AS part WHERE status = 'failed' AND acknowledged_at IS NULL AND"
    " resolved_by IS NULL"
)
# A function of the status: SQLite would read all that failed, whenever that was.
_FAILED = """
SELECT e.id, e.webhook FROM (
    SELECT seq FROM bridge.ended_events WHERE settled_at > %s
    AND coalesce(status, '') = 'failed' AND acknowledged_at IS NULL AND resolved_by IS NULL LIMIT %s
) AS failed JOIN bridge.events e ON e.seq = failed.seq ORDER BY e.seq
"""
# Of the newest by their index: how many expired since then is not known without reading them.
_EXPIRED = """
SELECT webhook, count(*) FROM (
    SELECT webhook, settled_at FROM bridge.ended_events WHERE status = 'expired' ORDER BY seq DESC LIMIT 1000
) AS newest WHERE settled_at > %s GROUP BY webhook
"""
_COUNT_UNRESOLVED = (
    f"SELECT count(*) FROM (SELECT 1 FROM {_UNRESOLVED} LIMIT {UNRESOLVED_COUNTED}) AS counted"
)


class Queries(Part, ABC):
    """Lists, counts and details."""

    @abstractmethod
    def event_counts(self) -> dict[str, int]:
        """status → number of events."""

    # --- events and their targets ---

    @abstractmethod
    def _parts_of(self, query: EventFilter) -> list[str]:
        """The parts of the list: table and condition of each, which is read from one index, newest
        first. The table is `bridge.events`, or another with a `seq` (``AS part``). Parameters:
        `before`, `webhook` and `status`."""

    def arrivals(self, after: int) -> list[int]:
        """The numbers of the events after that `seq`, in order. Lower ones than the newest may
        become visible later."""
        return [seq for (seq,) in self._database.read(_ARRIVED, (after,))]

    def events(self, query: EventFilter) -> list[Event]:
        """The newest matching events, newest first."""
        return list(self.page(query).events)

    def page(self, query: EventFilter) -> EventPage:
        """The newest matching events, and how far they were searched for.

        Times are exact, but an event is overlooked that is more than a minute out of order: the
        clock was set back.
        """
        if query.status is not None and query.status not in STATUSES:
            return EventPage(())
        bounds = event_search.bounds_of(self._database, query)
        waiting = None
        if query.waiting is not None:
            waiting = waiting_for(self._database, query)
            if not waiting.parts:
                return EventPage(())
        if not query.searches:
            return EventPage(self._within(bounds, query, waiting))
        found: dict[int, Event] = {}
        part = bounds
        for part in event_search.slices(bounds):
            found |= {event.seq: event for event in self._within(part, query, waiting)}
            if len(found) >= query.limit:
                part = bounds
                break
        newest = sorted(found.values(), key=lambda event: event.seq, reverse=True)[: query.limit]
        if not part.is_cut:
            return EventPage(newest)
        return EventPage(newest, event_search.oldest(self._database, part))

    def _newest(self, part: str, most: str = "%(limit)s") -> str:
        """SQL for the numbers of a part's newest events, newest first; `most` is their number."""
        return f"SELECT seq FROM {part} ORDER BY seq DESC LIMIT {most}"

    def _within(
        self, bounds: event_search.Bounds, query: EventFilter, waiting: WaitingEvents | None
    ) -> list[Event]:
        values = event_search.values_of(query) | {"before": bounds.before, "after": bounds.after}
        which = event_search.condition_of(query)
        if waiting is not None:
            parts = list(waiting.parts)
            values |= waiting.values
        elif query.unresolved:
            parts = [f"{_UNRESOLVED} AND seq < %(before)s{query.of_webhook}"]
        else:
            parts = self._parts_of(query)
        parts = [_narrowed(f"{part} AND seq > %(after)s", which) for part in parts]
        if query.text and waiting is None:
            parts.append(event_search.by_id(query, which))
        seqs = " UNION ALL ".join(
            f"SELECT seq FROM ({self._newest(part)}) AS newest" for part in parts
        )
        columns = rows.LISTED_EVENT if query.listing else rows.EVENT
        sql = (
            f"SELECT {columns} FROM bridge.events WHERE seq IN ({seqs}) ORDER BY seq DESC LIMIT"
            " %(limit)s"
        )
        return [rows.event(row) for row in self._database.read(sql, values)]

    def event(self, event_id: str) -> Event | None:
        """The event with this id."""
        found = self._database.read(
            f"SELECT {rows.EVENT} FROM bridge.events WHERE id = %s", (event_id,)
        )
        return rows.event(found[0]) if found else None

    def by_time(self, times: Sequence[int], webhook: str | None = None) -> list[Stretch]:
        """What became of the events that arrived from each of these times to the next; the last
        stretch has all later ones.

        Counts a bounded number of events, however many there are; the rest is estimated.
        """
        firsts = event_search.firsts_at(self._database, [*times, _LATER])
        lists = {
            kind: self._parts_of(EventFilter(webhook, kind if kind != "all" else None))  # type: ignore[arg-type]
            for kind in ("all" if webhook is None else "delivered", *stretches.ENDED)
        }
        sql = stretches.counting({kind: part for kind, [part] in lists.items()}, self._newest)
        found = self._database.read_together(
            *(
                (sql, {"webhook": webhook, "first": first, "before": before})
                for first, before in itertools.pairwise(firsts)
            )
        )
        pending = stretches.spread(*self._pending(webhook), firsts)
        return [
            stretches.stretch_of(counted, first, before, number)
            for counted, first, before, number in zip(
                found, firsts, firsts[1:], pending, strict=False
            )
        ]

    def _pending(self, webhook: str | None) -> tuple[list[int], int]:
        """The numbers of the newest pending events, in order, and how many there are."""
        parts = self._parts_of(EventFilter(webhook, "pending"))
        values = {"webhook": webhook, "before": _LATER}
        every = " UNION ALL ".join(f"SELECT seq FROM {part}" for part in parts)
        newest = f"SELECT seq FROM ({every}) AS pending ORDER BY seq DESC LIMIT {stretches.PENDING}"
        number = f"SELECT count(*) FROM ({every}) AS pending"
        seqs, [(total,)] = self._database.read_together((newest, values), (number, values))
        return [seq for (seq,) in reversed(seqs)], total

    def unresolved(self) -> int:
        """Number of failed events that are neither acknowledged nor resolved; counts at most
        10,000."""
        return int(self._database.read(_COUNT_UNRESOLVED)[0][0])

    def unresolved_since(self, since: int) -> list[tuple[str, int]]:
        """(webhook, arrival) of the newest unresolved failed events, of those that arrived then or
        later; 10,000 at most."""
        newest = f"SELECT seq FROM {_UNRESOLVED} ORDER BY seq DESC LIMIT {UNRESOLVED_COUNTED}"
        return [
            (webhook, at)
            for webhook, at in self._database.read(
                f"SELECT webhook, received_at FROM bridge.events WHERE seq IN ({newest})"
                " AND received_at >= %s",
                (since,),
            )
        ]

    def failed_since(self, after: int, limit: int) -> list[tuple[str, str]]:
        """(id, webhook) of the unresolved events that failed after `after`, oldest arrivals first;
        up to `limit`."""
        return [
            (event_id, webhook)
            for event_id, webhook in self._database.read(_FAILED, (after, limit))
        ]

    def event_ids(self, first: str, last: str, limit: int) -> list[str]:
        """The ids from `first` to `last`, both included, in their order."""
        sql = "SELECT id FROM bridge.events WHERE id BETWEEN %s AND %s ORDER BY id LIMIT %s"
        return [event_id for (event_id,) in self._database.read(sql, (first, last, limit))]

    def expired_since(self, after: int) -> dict[str, int]:
        """webhook → how many of its events expired after that time, of the newest 1,000 that did."""
        return dict(self._database.read(_EXPIRED, (after,)))

    def events_of(self, event_ids: Sequence[str]) -> dict[str, Event]:
        """id → event, of those that exist."""
        return self._by_id(rows.EVENT, event_ids)

    def events_up_to(self, event_ids: Sequence[str], characters: int) -> dict[str, Event]:
        """id → event, of those that exist and whose payload has at most this many characters."""
        return self._by_id(rows.EVENT, event_ids, " AND octet_length(payload) <= %s", (characters,))

    def listed(self, event_ids: Sequence[str]) -> dict[str, Event]:
        """The same, without payloads."""
        return self._by_id(rows.LISTED_EVENT, event_ids)

    def _by_id(
        self,
        columns: str,
        event_ids: Sequence[str],
        also: str = "",
        values: tuple[object, ...] = (),
    ) -> dict[str, Event]:
        if not event_ids:
            return {}
        sql = f"SELECT {columns} FROM bridge.events WHERE id = ANY(%s){also}"
        return {
            event.id: event
            for event in map(rows.event, self._database.read(sql, (list(event_ids), *values)))
        }

    def replays(self, origins: Sequence[str], limit: int) -> dict[str, list[Event]]:
        """origin → the newest events of each status that have this origin, up to `limit` of each;
        oldest first, without payloads.

        Origins without any are left out.
        """
        if not origins:
            return {}
        having = [origin for (origin,) in self._database.read(HAS_REPLAYS, (list(origins),))]
        found = self._database.read_together(
            *((_REPLAYS, {"origin": one, "limit": limit}) for one in having)
        )
        return {
            one: list(map(rows.event, replays)) for one, replays in zip(having, found, strict=True)
        }

    def with_effect(self, event_ids: Sequence[str]) -> set[str]:
        """The ids of those of these events that have completed a task or started a workflow."""
        return {event_id for (event_id,) in self._database.read(_WITH_EFFECT, (list(event_ids),))}

    def targets_of(self, event_ids: Sequence[str]) -> list[Target]:
        """The targets of these events, in the order in which they were created."""
        sql = f"SELECT {rows.TARGET} FROM bridge.targets WHERE event_id = ANY(%s) ORDER BY id"
        return (
            list(map(rows.target_for_people, self._database.read(sql, (list(event_ids),))))
            if event_ids
            else []
        )

    def some_targets_of(self, event_ids: Sequence[str], most: int) -> list[Target]:
        """The same for lists: of an event with more than `most` targets, up to `most` of each kind
        and state."""
        if not event_ids:
            return []
        large = [
            event_id for (event_id,) in self._database.read(_HAS_MORE, (list(event_ids), most))
        ]
        found = self.targets_of(sorted(set(event_ids).difference(large)))
        parts = self._database.read_together(
            *((_SOME_TARGETS, {"event": one, "most": most}) for one in large)
        )
        found += [rows.target_for_people(row) for part in parts for row in part]
        return sorted(found, key=lambda target: target.id)

    def targets_in_order(self, event_id: str, limit: int, skipped: int = 0) -> list[Target]:
        """The event's targets in the order in which they were created: up to `limit` after the
        first `skipped`."""
        values = {"event": event_id, "limit": limit, "skipped": skipped}
        return list(map(rows.target_for_people, self._database.read(_IN_ORDER, values)))

    def target_states(self, event_id: str) -> dict[TargetState, int]:
        """State → how many of the event's targets have it; only those that some have."""
        sql = "SELECT state, count(*) FROM bridge.targets WHERE event_id = %s GROUP BY state"
        return dict(self._database.read(sql, (event_id,)))

    def targets_on(self, task_id: str) -> list[Target]:
        """All targets, past and present, for this task."""
        return list(map(rows.target_for_people, self._database.read(_ON_TASK, (task_id, task_id))))

    def oldest_pending(self) -> int | None:
        """When the oldest event arrived that is undecided or has a pending call, not counting held
        and set-aside ones, nor undecided ones of paused webhooks.

        Of more than 10,000 pending calls only those that are due first and last are looked at.
        """
        found: int | None = self._database.read(_OLDEST_PENDING)[0][0]
        return found

    def overdue(
        self, before: int, without: Collection[str] = (), paced: Collection[str] = ()
    ) -> set[str]:
        """What should have been decided or called before that time but wasn't: each webhook's first
        event and first target, and the oldest claim. Anything decided or tried is missing from the
        next answer.

        Leaves out set-aside items, events of paused webhooks and of `without`, and targets of
        `paced` webhooks.
        """
        undecided, due, claimed = self._database.read_together(
            (_UNDECIDED, (before, list(without))),
            (_DUE, (before, list(paced))),
            (_OLDEST_CLAIM, (before,)),
        )
        return {
            *(f"event {seq}" for (seq,) in undecided),
            # Each try is a separate item.
            *(f"target {target_id} {attempts}" for target_id, attempts in (*due, *claimed)),
        }

    # --- tasks ---

    def task(self, task_id: str) -> Task | None:
        """The task with this id."""
        found = self._database.read(
            f"SELECT {rows.TASK} FROM bridge.tasks WHERE id = %s", (task_id,)
        )
        return rows.task(found[0]) if found else None

    def tasks(self, task_ids: Sequence[str]) -> list[Task]:
        """The tasks with these ids, in this order, as far as they are still kept."""
        sql = f"SELECT {rows.TASK} FROM bridge.tasks WHERE id = ANY(%s)"
        read = map(rows.task, self._database.read(sql, (list(task_ids),)))
        found = {task.id: task for task in read}
        return [found[task_id] for task_id in task_ids if task_id in found]

    # --- what has an id, for people who know nothing else ---

    def tasks_with(self, first: str, last: str, limit: int) -> list[Task]:
        """Tasks whose own id, or whose workflow's, is from `first` to `last`; whether or not they
        still wait."""
        among = (first, last, limit)
        found = [
            *self._database.read(_TASKS_BY_ID, among),
            *self._database.read(_TASKS_BY_WORKFLOW, among),
        ]
        return list({task.id: task for task in map(rows.task, found)}.values())[:limit]

    def targets_with(self, first: str, last: str, limit: int) -> list[Target]:
        """Targets whose workflow's id is from `first` to `last`, the newest of each workflow
        first."""
        return list(
            map(
                rows.target_for_people,
                self._database.read(_TARGETS_BY_WORKFLOW, (first, last, limit)),
            )
        )

    def targets_in_lanes(self, lanes: Sequence[str], limit: int) -> list[Target]:
        """Messages in these lanes (`store.rules.keys`), whether or not they are delivered."""
        found = self._database.read(_TARGETS_IN_LANES, {"lanes": list(lanes), "limit": limit})
        return list(map(rows.target_for_people, found))

    def event_ids_of_delivery(self, first: str, last: str, limit: int) -> list[str]:
        """The events whose delivery ids are from `first` to `last`: of each webhook the first one."""
        return [event_id for (event_id,) in self._database.read(_BY_DELIVERY, (first, last, limit))]

    def near_misses(self, event_id: str) -> list[Task]:
        """The tasks that came nearest to an event that none took, as far as they are still kept."""
        found = self._database.read(
            "SELECT tasks FROM bridge.near_misses WHERE event_id = %s", (event_id,)
        )
        return self.tasks(json.loads(found[0][0])) if found else []

    def waiting_tasks(
        self, after: str = "", limit: int = 1000, workflow: str | None = None
    ) -> list[Task]:
        """Waiting tasks after that id, in order of id."""
        only, values = event_search.only_of("workflow", workflow)
        sql = (
            f"SELECT {rows.TASK} FROM bridge.tasks WHERE state = 'waiting' AND id > %s{only} ORDER"
            " BY id LIMIT %s"
        )
        found = self._database.read(sql, (after, *values, limit))
        # SQLite reads an id that isn't UTF-8 as a different one: stop when the same rows come
        # again.
        return [task for task in map(rows.task, found) if task.id > after]

    def broken_tasks(
        self, limit: int = 50, without: Collection[str] = (), workflow: str | None = None
    ) -> list[Task]:
        """Waiting tasks whose matches are missing or can't be parsed, without those of these
        workflows; or only those of one workflow."""
        only, values = event_search.only_of("workflow", workflow)
        sql = (
            f"SELECT {rows.TASK} FROM bridge.tasks"
            " WHERE state = 'waiting' AND broken IS NOT NULL AND NOT workflow = ANY(%s)"
            f"{only} ORDER BY id LIMIT %s"
        )
        return list(map(rows.task, self._database.read(sql, (list(without), *values, limit))))

    def waiting_by_workflow(self) -> dict[str, int]:
        """workflow → number of waiting tasks."""
        sql = (
            "SELECT workflow, count(*) FROM bridge.tasks WHERE state = 'waiting' GROUP BY workflow"
        )
        return dict(self._database.read(sql))

    def waiting_count(self) -> int:
        """Number of waiting tasks."""
        return int(
            self._database.read("SELECT count(*) FROM bridge.tasks WHERE state = 'waiting'")[0][0]
        )

    # --- deliveries ---

    def delivery_counts(self, since: int) -> dict[str, dict[str, int]]:
        """webhook → outcome (accepted, duplicate, filtered, rejected, challenge) → number since
        then."""
        # In this order: by webhook first, SQLite would read the primary key from end to end.
        sql = (
            "SELECT webhook, outcome, CAST(sum(number) AS BIGINT) FROM bridge.delivery_counts WHERE"
            " hour > %s GROUP BY outcome, webhook"
        )
        counts: dict[str, dict[str, int]] = {}
        for webhook, outcome, number in self._database.read(sql, (since - _HOUR,)):
            counts.setdefault(webhook, {})[outcome] = number
        return counts

    def delivery_hours(self, since: int, webhook: str | None = None) -> list[tuple[int, str, int]]:
        """(hour as Unix milliseconds, outcome, number of deliveries) since then, in chronological
        order."""
        only, values = event_search.only_of("webhook", webhook)
        sql = (
            "SELECT hour, outcome, CAST(sum(number) AS BIGINT) FROM bridge.delivery_counts WHERE"
            f" hour > %s{only} GROUP BY hour, outcome ORDER BY hour"
        )
        found = self._database.read(sql, (since - _HOUR, *values))
        return [(hour, outcome, number) for hour, outcome, number in found]

    def delivery_hours_of(
        self, webhooks: Sequence[str], since: int
    ) -> dict[str, list[tuple[int, str, int]]]:
        """The same for each of these webhooks, in no order."""
        sql = (
            "SELECT webhook, hour, outcome, number FROM bridge.delivery_counts"
            " WHERE webhook = ANY(%s) AND hour > %s"
        )
        found: dict[str, list[tuple[int, str, int]]] = {name: [] for name in webhooks}
        for webhook, *row in self._database.read(sql, (list(webhooks), since - _HOUR)):
            found[webhook].append(tuple(row))
        return found


def _narrowed(part: str, which: str) -> str:
    """The part of a list with a further condition on columns of events."""
    if not which or part.startswith("bridge.events "):
        return part + which
    # Not a join: it could begin with all events, and look for few among them.
    return f"{part} AND 1 = (SELECT 1 FROM bridge.events e WHERE e.seq = part.seq{which})"
