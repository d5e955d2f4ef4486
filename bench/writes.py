"""What an event makes PostgreSQL write in its life: stored, decided, called and recorded, and deleted by retention.

Counted from the write-ahead log, so other load on the machine changes nothing. ``python -m bench.writes`` prints all of
it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import errors

from bench import load
from bench.figures import Figure
from store.open import open_store
from store.records import Decision, NewEvent, NewTarget, Result, Target, Task, Term, new_event_id
from store.sql.store import Store
from testkit.postgres import Postgres
from testkit.processes import Failed

EVENTS = 2048
_GROUP = 8
"""Deliveries that share a commit."""
_AT_ONCE = 64
"""Events decided, and results recorded, in one transaction."""
_TERM = Term("bench")
_PAYLOADS = {"small": json.dumps({"action": "opened", "number": 1, "text": "x" * 300}), "a push": load.BODY.decode()}
"""300 bytes, and the 2 KB of the relay's benchmark."""
_HEADERS = {"x-github-event": "push"}
_RECORDS = """
SELECT "resource_manager/record_type", count, record_size, fpi_size
FROM pg_get_wal_stats(%s::pg_lsn, %s::pg_lsn, true) WHERE count > 0
"""
_TABLES = """
SELECT relname, n_tup_ins, n_tup_upd, n_tup_hot_upd, n_tup_del FROM pg_stat_user_tables
WHERE n_tup_ins + n_tup_upd + n_tup_del > 0 ORDER BY relname
"""


@dataclass
class Written:
    """What one step of the events' lives wrote to the log."""

    size: int = 0
    """Bytes, without images of whole pages, which depend on when the last checkpoint was."""
    images: int = 0
    """Bytes of those."""
    records: dict[str, int] = field(default_factory=dict)
    """kind → number."""

    @property
    def index_entries(self) -> int:
        """Entries that were added to indexes."""
        return sum(number for kind, number in self.records.items() if kind.startswith("Btree/INSERT"))

    @property
    def commits(self) -> int:
        """Transactions that wrote something."""
        return self.records.get("Transaction/COMMIT", 0)

    @property
    def versions(self) -> int:
        """Versions of rows that were added to tables."""
        return sum(
            number
            for kind, number in self.records.items()
            if kind.removesuffix("+INIT") in ("Heap/INSERT", "Heap/UPDATE", "Heap/HOT_UPDATE")
        )


class _Log:
    """Reads how the log grows."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute("CREATE EXTENSION IF NOT EXISTS pg_walinspect")
        self._connection.execute("CHECKPOINT")
        self._at = self._place()

    def _place(self) -> str:
        # What a session has inserted may not be written yet, and the reader needs it.
        self._connection.execute("SELECT pg_logical_emit_message(true, 'bench', '')")
        (place,) = self._connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone() or ("",)
        return str(place)

    def since(self) -> Written:
        """What was written since the last call."""
        before, self._at = self._at, self._place()
        written = Written()
        for kind, number, size, images in self._connection.execute(_RECORDS, (before, self._at)):
            written.size += int(size)
            written.images += int(images)
            written.records[kind] = int(number)
        return written

    def tables(self) -> list[tuple[str, int, int, int, int]]:
        """Of each table: rows inserted, updated, of these in place (HOT), and deleted."""
        self._connection.execute("SELECT pg_sleep(0.5)")  # those sessions may still be ending
        return [tuple(row) for row in self._connection.execute(_TABLES)]

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()


@dataclass(frozen=True)
class Life:
    """What the lives of some events wrote."""

    events: int
    steps: dict[str, Written]
    """In their order."""
    tables: Sequence[tuple[str, int, int, int, int]]

    @property
    def size(self) -> float:
        """Bytes of an event's whole life."""
        return sum(step.size for step in self.steps.values()) / self.events

    @property
    def index_entries(self) -> float:
        """Of an event's whole life."""
        return sum(step.index_entries for step in self.steps.values()) / self.events

    @property
    def versions(self) -> float:
        """Versions of rows in an event's whole life."""
        return sum(step.versions for step in self.steps.values()) / self.events


def live(url: str, payload: str, completes: bool, events: int = EVENTS, at_once: bool = False) -> Life:
    """Lets events live on an empty store; each completes a task, or starts a workflow.

    `at_once`: the leader claims targets as it decides, as it does while it has calls free. Otherwise a worker does that
    later.
    """
    store = open_store(url)
    try:
        assert store.leadership.elect(_TERM.holder, 600)
        store.tasks.adopt(_TERM, [Task("none", "none", "none", "none", {}, 0)], store.now())
        log = _Log(url)
        steps: dict[str, Written] = {}
        _store(store, payload, completes, events)
        steps["store"] = log.since()
        claimed = _decide(store, completes, events, at_once)
        steps["decide"] = log.since()
        _record(store, claimed)
        steps["record"] = log.since()
        while store.maintenance.prune(store.now() + 1000, 500).more:
            pass
        steps["delete"] = log.since()
    finally:
        store.close()  # a session reports what it did to the tables when it ends
    tables = log.tables()
    log.close()
    return Life(events, steps, tables)


def _store(store: Store, payload: str, completes: bool, events: int) -> None:
    now = store.now()
    for _ in range(events // _GROUP):
        if completes:
            tasks = [new_event_id() for _ in range(_GROUP)]
            found = [Task(f"t-{id_}", f"w-{id_}", "flow", "wait", {"$.number": 1}, now) for id_ in tasks]
            store.tasks.adopt(_TERM, found, now)
        group = [
            NewEvent(id_, "bench", now, payload, _HEADERS, {}, now, delivery_id=f"d-{id_}", type="push")
            for id_ in (new_event_id() for _ in range(_GROUP))
        ]
        store.deliveries.append(group)


def _decide(store: Store, completes: bool, events: int, at_once: bool) -> list[list[Target]]:
    """Decides them all; returns the targets that each decision claims."""
    claimed = []
    tasks = iter([task for task in store.queries.waiting_tasks(limit=2 * events) if task.id != "none"])
    while found := store.decisions.agenda(_AT_ONCE).undecided:
        decisions = []
        for event in found:
            if completes:
                task = next(tasks)
                target = NewTarget("complete", task.workflow, task.workflow_id, task.id, task.reference_name)
            else:
                target = NewTarget("start", "bench", correlation_id=event.id)
            decisions.append(Decision(event.id, "pending", "no", (target,), scan_at=store.now()))
        claim = ("bench", _AT_ONCE) if at_once else (None, 0)
        claimed.append(store.decisions.decide(_TERM, decisions, [], store.now(), *claim))
    return claimed


def _record(store: Store, made: list[list[Target]]) -> None:
    """Records the results of these claims, and of those that can be made."""
    now = store.now()
    claims = iter([targets for targets in made if targets])
    while claimed := next(claims, []) or store.claims.claim("bench", now, 0, _AT_ONCE):
        results = [Result(target, "done", workflow_id=target.workflow_id or f"w-{target.id}") for target in claimed]
        store.claims.record_results("bench", results, now)


def lives(server: Postgres, events: int = EVENTS) -> Iterator[tuple[str, Life]]:
    """What the lives of events of several kinds write, each kind in a database of its own."""
    for size, payload in _PAYLOADS.items():
        for kind, completes in (("starts a workflow", False), ("completes a task", True)):
            for how, at_once in (("", False), (", claimed with its decision", True)):
                database = server.new_database("writes")
                life = live(database, payload, completes, events, at_once)
                server.drop_database(database)  # or what a vacuum writes in it counts as the next one's
                yield f"{size}, {kind}{how}", life


def measure(say: Callable[[str], None], events: int = EVENTS) -> list[Figure]:
    """Bytes of the log for an event's life; none where the server can't tell, as PostgreSQL before 15 can't."""
    server = Postgres().start()
    found = []
    try:
        say("Measuring: what an event makes PostgreSQL write\n")
        for kind, life in lives(server, events):
            detail = f"{life.index_entries:.3g} index entries, {life.versions:.3g} row versions"
            found.append(Figure("postgres", f"log of an event: {kind}", life.size, "", detail))
    except (errors.FeatureNotSupported, errors.UndefinedFile, errors.InsufficientPrivilege) as error:
        say(f"That can't be counted here: {error}\n")
    finally:
        server.stop()
    return found


def main() -> int:
    """Prints all of it."""
    server = Postgres().start()
    try:
        for kind, life in lives(server):
            events = life.events
            print(f"\n{kind}: {life.size:.0f} bytes, {life.index_entries:.3g} index entries,", end=" ")
            print(f"{life.versions:.3g} row versions an event")
            for name, step in life.steps.items():
                size, images = step.size / events, step.images / events
                entries, versions = step.index_entries / events, step.versions / events
                print(f"  {name:8} {size:6.0f} bytes, {images:4.0f} of whole pages", end="; ")
                print(f"{entries:4.3g} index entries, {versions:4.3g} row versions", end="; ")
                print(f"{step.commits} commits of all {events}")
            print(f"  {'table':18} {'inserted':>9} {'updated':>9} {'in place':>9} {'deleted':>9}")
            for table, *numbers in life.tables:
                print(f"  {table:18} {' '.join(f'{number:9}' for number in numbers)}")
    except (Failed, psycopg.Error) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
