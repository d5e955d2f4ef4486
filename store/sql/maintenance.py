"""The store's own housekeeping, retention, what is due again after its clock was set back, and the
raw tables for a transfer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from store.errors import StoreUnavailable
from store.records import Pruned
from store.rules.fairness import fitting
from store.sql import keys, rows
from store.sql.database import Database, Part, Rows, Statement, Transaction
from store.sql.quarantine import prune, take_back

_BEFORE = ", ".join(f"({number})" for number in (0, *(4**power for power in range(13))))


def _times(column: str, table: str, number: str) -> str:
    # Not max(): the index gives the last row directly.
    newest = f"SELECT n.{number} FROM {table} n ORDER BY n.{number} DESC LIMIT 1"
    one = (
        f"SELECT r.{column} FROM {table} r WHERE r.{number} <= ({newest}) - before ORDER BY"
        f" r.{number} DESC LIMIT 1"
    )
    return f"SELECT ({one}) FROM asked"


_TIMES = f"""
WITH asked (before) AS (VALUES {_BEFORE})
{_times("received_at", "bridge.events", "seq")} UNION ALL {_times("created_at", "bridge.targets", "id")}
"""
"""When the newest event arrived and the newest target was written, and some before them, ever
further back: what came after the clock was set back has times of now, and on a busy store that is a
good deal within a second."""
_CHANGED = 1000
"""Rows changed per transaction."""
_MAKE_DUE = (
    (
        "UPDATE bridge.targets SET due_at = %(soon)s WHERE id IN (SELECT id FROM bridge.targets"
        " WHERE state = 'pending' AND due_at > %(soon)s ORDER BY due_at LIMIT %(most)s FOR UPDATE"
        " SKIP LOCKED)"
    ),
    (
        "UPDATE bridge.targets SET claimed_at = %(now)s WHERE id IN (SELECT id FROM bridge.targets"
        " WHERE state = 'claimed' AND claimed_at > %(future)s ORDER BY claimed_at LIMIT %(most)s"
        " FOR UPDATE SKIP LOCKED)"
    ),
    "UPDATE bridge.paces SET next_at = %(now)s WHERE next_at > %(soon)s",
    (
        "UPDATE bridge.quarantine SET due_at = %(soon)s WHERE (kind, id) IN (SELECT kind, id FROM"
        " bridge.quarantine WHERE due_at > %(soon)s ORDER BY due_at LIMIT %(most)s FOR UPDATE SKIP"
        " LOCKED)"
    ),
)


def make_due(database: Database) -> None:
    """If an event or target is from the future, makes items that would wait too long due soon, some
    at a time.

    Another worker's claim must never look older than it is, however long this process stalls
    between two lines, or its target would be called twice. So the clock is read after the rows that
    it is compared with, and a change that came too late is rolled back. In that case, too, raises
    StoreUnavailable.
    """
    if not _is_behind(database.read(_TIMES), database.now()):
        return
    for statement in _MAKE_DUE:
        with database.transaction() as transaction:
            # Again: before the transaction began, this machine's clock may have been the one that
            # is wrong.
            times, now = transaction.fetch(_TIMES), database.now()
            if not _is_behind(times, now):
                return
            values = {
                "now": now,
                "soon": now + rows.SOON,
                "future": now + rows.FROM_THE_FUTURE,
                "most": _CHANGED,
            }
            transaction.write(statement, values)
            if database.now() - now > rows.FROM_THE_FUTURE:
                raise StoreUnavailable(
                    "the store took too long to change items that wait for a time that is far ahead"
                )


def _is_behind(times: Rows, now: int) -> bool:
    """Whether the time, which was read after these rows, is behind one of them."""
    return any(at is not None and at > now + rows.FROM_THE_FUTURE for (at,) in times)


# Not `event_id = ANY(…)`: of an event that has very many, PostgreSQL would look for some in the
# whole table.
_TARGETS = """
SELECT t.id FROM unnest(%s::text[]) AS pruned (event_id) JOIN bridge.targets t ON t.event_id = pruned.event_id LIMIT %s
"""
_WITHOUT_TARGETS = """
SELECT id FROM unnest(%s::text[]) AS pruned (id) WHERE NOT EXISTS (
    SELECT 1 FROM bridge.targets t WHERE t.event_id = pruned.id
)
"""
# Most have none any more; of one that is forgotten early there may be some.
_KEYS_OF = """
DELETE FROM bridge.event_keys WHERE seq IN (SELECT seq FROM bridge.events WHERE id = ANY(%s))
"""
# Several workers may prune: each skips what another is deleting.
_TASKS = """
SELECT id, workflow_id, settled_at FROM bridge.tasks WHERE settled_at >= %s AND settled_at < %s
ORDER BY settled_at LIMIT %s FOR UPDATE SKIP LOCKED
"""


class Maintenance(ABC):
    """The store's own housekeeping, and retention. The leader runs it."""

    finished: ClassVar[str]
    """Selects ids and times of events that finished from one time on and before another, up to a
    number of them."""
    delete_events: ClassVar[str]
    """Deletes the events with these ids."""
    first: ClassVar[Sequence[Statement]] = ()
    """What comes first in a transaction of retention."""

    def __init__(self, database: Database):
        self._database = database
        self._events_from = self._tasks_from = 0
        """When what is left was settled, at the earliest. On PostgreSQL an index keeps the entries
        of what was deleted until the next vacuum: from the first one on, each step would pass over
        those of all steps before it."""

    @abstractmethod
    def advice(self) -> list[str]:
        """The risks of the database's own settings, each with a remedy."""

    @abstractmethod
    def run(self) -> None:
        """The store's own housekeeping, if any is due. Call it about once a second.

        If the store's clock was set back, items that wait for a time that is now far ahead become
        due soon.
        """

    @abstractmethod
    def backup(self, file: Path) -> None:
        """Copies the store, as it is now, to a new file that only this user can read, while others
        write to the store. There is no such file until the copy is complete.

        Raises OSError, StoreUnavailable, or CantBackUp on a database that other programs back up.
        """

    def prune(self, before: int, limit: int) -> Pruned:
        """Deletes up to `limit` events, and as many tasks, that were settled before that time: one
        step of several.

        An event with very many targets takes several steps. Also deletes their quarantined items,
        and those that were due before that time and that haven't been retried since.
        """
        with self._database.transaction() as transaction:
            transaction.fetch_together(self.first)
            found: dict[str, int] = dict(
                transaction.fetch(self.finished, (self._events_from, before, limit))
            )
            events, targets = self._prune_events(transaction, list(found)) if found else ([], 0)
            tasks = _prune_tasks(transaction, self._tasks_from, before, limit)
            prune(transaction, before, limit)
            transaction.write("DELETE FROM bridge.delivery_counts WHERE hour < %s", (before,))
        more = len(found) == limit or targets == rows.STEP or len(tasks) == limit
        last = max(found.values(), default=self._events_from)
        # The next run looks everywhere again: another worker may have been deleting some of it, and
        # failed.
        self._events_from = (
            min((found[id_] for id_ in found.keys() - events), default=last) if more else 0
        )
        self._tasks_from = max(tasks, default=self._tasks_from) if more else 0
        return Pruned(len(events), more)

    def _prune_events(self, transaction: Transaction, ids: list[str]) -> tuple[list[str], int]:
        """Deletes some targets of these events, and the events without any left. Returns the ids of
        these events, and the number of targets."""
        targets = [target_id for (target_id,) in transaction.fetch(_TARGETS, (ids, rows.STEP))]
        keys.detach(transaction, targets)
        take_back(transaction, "target", list(map(str, targets)))
        transaction.write("DELETE FROM bridge.targets WHERE id = ANY(%s)", (targets,))
        if len(targets) == rows.STEP:  # events that still have targets are left to the next step
            ids = [event_id for (event_id,) in transaction.fetch(_WITHOUT_TARGETS, (ids,))]
        take_back(transaction, "event", ids)
        transaction.write("DELETE FROM bridge.answers WHERE event_id = ANY(%s)", (ids,))
        transaction.write("DELETE FROM bridge.near_misses WHERE event_id = ANY(%s)", (ids,))
        transaction.write(_KEYS_OF, (ids,))
        transaction.write(self.delete_events, (ids,))
        return ids, len(targets)


def _prune_tasks(transaction: Transaction, since: int, before: int, limit: int) -> list[int]:
    """Deletes tasks that were settled in that time, with their workflows. Returns when they were
    settled."""
    found = transaction.fetch(_TASKS, (since, before, limit))
    if found:
        tasks, workflows, settled = map(list, zip(*found, strict=True))
        workflows = sorted(set(workflows))
        take_back(transaction, "task", tasks)
        take_back(transaction, "workflow", workflows)
        transaction.write("DELETE FROM bridge.tasks WHERE id = ANY(%s)", (tasks,))
        transaction.write("DELETE FROM bridge.workflows WHERE id = ANY(%s)", (workflows,))
        return settled
    return []


TRUTHS = ("not_sent", "free")
"""Columns that are numbers in a transfer, whatever their type in the database."""


TRANSFER = "transfer"
"""The fact that records how far a transfer into the store has got."""
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Table:
    """A table that every SQL store has (listed in `store.transfer`)."""

    name: str
    key: tuple[str, ...]
    """The primary key."""
    large: str | None = None
    """The column whose text may be large."""
    columns: tuple[str, ...] = ()
    """All columns, the key's first: see `Tables.with_columns`."""


class Tables(Part, ABC):
    """A store's raw tables, for moving everything to another store (`store.transfer`)."""

    columns: ClassVar[str]
    """Selects the columns of the table with this name, in their order."""

    def note(self) -> str | None:
        """How far a transfer into this store has got, as last written; None if none has begun."""
        found = self._database.read("SELECT value FROM bridge.facts WHERE name = %s", (TRANSFER,))
        return found[0][0] if found else None

    def with_columns(self, table: Table) -> Table:
        """The table with its columns."""
        found = [name for (name,) in self._database.read(self.columns, (table.name,))]
        return replace(
            table, columns=(*table.key, *(name for name in found if name not in table.key))
        )

    @abstractmethod
    def write(self, table: Table, rows: Sequence[Row], note: str) -> None:
        """Adds the rows, and records the transfer's progress, in one transaction."""

    @abstractmethod
    def finish(self) -> None:
        """Brings sequences, counts and statistics up to date with the rows, and deletes the record
        of progress."""

    def read(self, table: Table, after: Row | None, limit: int) -> list[Row]:
        """The first rows after that key, in order of key; booleans as 0 and 1.

        Up to `limit`; fewer if they are large, and none only if there are no more.
        """
        names = ", ".join(
            f"CAST({name} AS INTEGER)" if name in TRUTHS else name for name in table.columns
        )
        key = ", ".join(table.key)
        where = (
            f"WHERE ({key}) > ({', '.join(['%s'] * len(table.key))})" if after is not None else ""
        )
        rest = f"FROM bridge.{table.name} {where} ORDER BY {key} LIMIT %s"
        if table.large is not None:
            sizes = self._database.read(
                f"SELECT octet_length({table.large}) {rest}", (*(after or ()), limit)
            )
            limit = fitting([size or 0 for (size,) in sizes])
        return self._database.read(f"SELECT {names} {rest}", (*(after or ()), limit))

    def count(self, table: Table) -> int:
        """How many rows there are."""
        return int(self._database.read(f"SELECT count(*) FROM bridge.{table.name}")[0][0])
