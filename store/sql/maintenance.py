"""Retention: deletes what finished long ago."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from store.records import Pruned
from store.sql import once_keys, rows
from store.sql.database import Database, Transaction
from store.sql.quarantine import prune, take_back

# Not `event_id = ANY(…)`: of an event that has very many, PostgreSQL would look for some in the whole table.
_TARGETS = """
SELECT t.id FROM unnest(%s::text[]) AS pruned (event_id) JOIN bridge.targets t ON t.event_id = pruned.event_id LIMIT %s
"""
_WITHOUT_TARGETS = """
SELECT id FROM unnest(%s::text[]) AS pruned (id) WHERE NOT EXISTS (
    SELECT 1 FROM bridge.targets t WHERE t.event_id = pruned.id
)
"""
# Several workers may prune: each skips what another is deleting.
_TASKS = """
SELECT id, workflow_id FROM bridge.tasks WHERE settled_at < %s ORDER BY settled_at LIMIT %s FOR UPDATE SKIP LOCKED
"""
_KEPT_DELIVERIES = """
WITH pruned AS MATERIALIZED (
    SELECT id FROM bridge.kept_deliveries WHERE at < %s ORDER BY at LIMIT %s FOR UPDATE SKIP LOCKED
)
DELETE FROM bridge.kept_deliveries WHERE id IN (SELECT id FROM pruned) RETURNING id
"""


class Maintenance(ABC):
    """The store's own housekeeping, and retention. The leader runs it."""

    finished: ClassVar[str]
    """Selects the ids of events that finished before a time, up to a number of them."""
    delete_events: ClassVar[str]
    """Deletes the events with these ids."""

    def __init__(self, database: Database):
        self._database = database

    @abstractmethod
    def advice(self) -> list[str]:
        """The risks of the database's own settings, each with a remedy."""

    @abstractmethod
    def run(self) -> None:
        """The store's own housekeeping, if any is due. Call it about once a second.

        If the store's clock was set back, items that wait for a time that is now far ahead become due soon.
        """

    def prune(self, before: int, limit: int) -> Pruned:
        """Deletes up to `limit` events, and as many tasks, that were settled before that time: one step of several.

        An event with very many targets takes several steps. Also deletes their quarantined items, and those that were
        due before that time and that haven't been retried since.
        """
        with self._database.transaction() as transaction:
            found = [event_id for (event_id,) in transaction.fetch(self.finished, (before, limit))]
            events, targets = self._prune_events(transaction, found) if found else (0, 0)
            tasks = _prune_tasks(transaction, before, limit)
            prune(transaction, before, limit)
            # Python before 3.12 doesn't count what a statement of SQLite deletes that begins with WITH.
            kept = len(transaction.fetch(_KEPT_DELIVERIES, (before, limit)))
            transaction.write("DELETE FROM bridge.delivery_counts WHERE hour < %s", (before,))
        return Pruned(events, len(found) == limit or targets == rows.STEP or limit in (tasks, kept))

    def _prune_events(self, transaction: Transaction, ids: list[str]) -> tuple[int, int]:
        """Deletes some targets of these events, and the events without any left. Returns the number of each."""
        targets = [target_id for (target_id,) in transaction.fetch(_TARGETS, (ids, rows.STEP))]
        once_keys.prune(transaction, targets)
        take_back(transaction, "target", list(map(str, targets)))
        transaction.write("DELETE FROM bridge.targets WHERE id = ANY(%s)", (targets,))
        if len(targets) == rows.STEP:  # events that still have targets are left to the next step
            ids = [event_id for (event_id,) in transaction.fetch(_WITHOUT_TARGETS, (ids,))]
        take_back(transaction, "event", ids)
        transaction.write("DELETE FROM bridge.answers WHERE event_id = ANY(%s)", (ids,))
        transaction.write(self.delete_events, (ids,))
        return len(ids), len(targets)


def _prune_tasks(transaction: Transaction, before: int, limit: int) -> int:
    """Deletes tasks, with their workflows. Returns the number of tasks."""
    tasks: dict[str, str] = dict(transaction.fetch(_TASKS, (before, limit)))
    if tasks:
        workflows = sorted(set(tasks.values()))
        take_back(transaction, "task", list(tasks))
        take_back(transaction, "workflow", workflows)
        transaction.write("DELETE FROM bridge.tasks WHERE id = ANY(%s)", (list(tasks),))
        transaction.write("DELETE FROM bridge.workflows WHERE id = ANY(%s)", (workflows,))
    return len(tasks)
