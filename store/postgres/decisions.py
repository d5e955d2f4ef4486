"""What the deciding worker reads and writes. Rows are locked in one order: events, targets, tasks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from store import rows, storable, transitions
from store.postgres import onces
from store.postgres.agenda import Reading
from store.postgres.changes import changing_events, lock_events, states_of
from store.postgres.connections import Connection
from store.postgres.large_decisions import LargeDecisions
from store.postgres.leadership import deciding
from store.postgres.signals import ProcessWakeUp
from store.postgres.targets import columns, new_targets
from store.records import Decision, Target, Task, Term, Workflow

_NEW_TASK = f"{rows.TASK}, seen_at"
_TASK_ARRAYS = (
    "%b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::bigint[], %b::int[], %b::text[], %b::text[],"
    " %b::text[], %b::text[], %b::bigint[]"
)


class Decisions(Reading, LargeDecisions):
    """Implements `store.protocols.Decisions`."""

    _wakeup: ProcessWakeUp

    # --- decisions ---

    def decide(
        self,
        term: Term,
        decisions: Sequence[Decision],
        expired: Sequence[str],
        now: int,
        claim_for: str | None,
        claim: int,
    ) -> list[Target]:
        with deciding(self._connections, term) as connection:
            changes = {decision.event_id: transitions.after_decision(decision, now) for decision in decisions}
            # Who records results for these events has done it, or waits for this: their targets' states stand.
            if expired:
                lock_events(self._connections, connection, [*changes, *expired])
            states = states_of(self._connections, connection, expired)
            over = {event_id: transitions.event_after_hold(found, now) for event_id, found in states.items()}
            statements = [changing_events(changes, now)] if changes else []
            if over:
                statements.append(changing_events(over))
            if taken := sorted(_taken(decisions)):
                statements.append(("UPDATE bridge.tasks SET state = 'taken' WHERE id = ANY(%s)", (taken,)))
            if new_rows := _new_rows(decisions, now, claim_for, claim):
                statements.append(new_targets(new_rows))
            found = self._connections.fetch_together(connection, statements)
            made = map(rows.target, found[-1] if new_rows else ())
            targets = sorted(made, key=lambda target: target.id)
            onces.take_free(self._connections, connection, targets)
        claimed = [target for target in targets if target.state == "claimed"]
        if len(claimed) < len(targets):
            self._wakeup.ring("targets")
        return claimed

    # --- tasks ---

    def adopt(self, term: Term, tasks: Sequence[Task], now: int) -> list[Task]:
        tasks = list(map(storable.task, tasks))
        fresh = set[str]()
        for step in rows.steps(tasks):
            with deciding(self._connections, term) as connection:
                fresh |= self._insert_tasks(connection, step, "waiting", now)
        return [task for task in tasks if task.id in fresh]

    def _insert_tasks(self, connection: Connection, tasks: Sequence[Task], state: str, now: int) -> set[str]:
        """Inserts the tasks that aren't known, or are known as settled and were queued again; returns their ids."""
        by_id = {task.id: task for task in sorted(tasks, key=lambda task: task.id)}
        if not by_id:
            return set()
        new_rows = [rows.new_task_row(task, state, now) for task in by_id.values()]
        found = self._connections.fetch(
            connection,
            f"INSERT INTO bridge.tasks ({_NEW_TASK}) SELECT {_NEW_TASK} FROM unnest({_TASK_ARRAYS})"
            f" WITH ORDINALITY AS new ({_NEW_TASK}, number) ORDER BY number"
            # Conductor queues a task again only if it is to be worked on again (a rerun): that one waits anew.
            " ON CONFLICT (id) DO UPDATE SET state = excluded.state, settled_at = NULL,"
            " scheduled_at = excluded.scheduled_at, matches = excluded.matches, broken = excluded.broken,"
            " seen_at = excluded.seen_at"
            " WHERE excluded.found_by = 'queue' AND tasks.state IN ('completed', 'gone')"
            # What was handed over since the agenda was read is found now: it must not be missed until the next one.
            " OR excluded.state = 'waiting' AND tasks.state = 'returned' RETURNING id",
            columns(new_rows),
        )
        return {row[0] for row in found}

    def drop(self, term: Term, task_ids: Sequence[str], now: int) -> None:
        for step in rows.steps(task_ids):
            with deciding(self._connections, term) as connection:
                self._connections.execute(
                    connection,
                    "UPDATE bridge.tasks SET state = 'gone', settled_at = %s WHERE id = ANY(%s) AND state = 'waiting'",
                    (now, sorted(step)),
                )

    def look_again(self, term: Term, task_ids: Sequence[str]) -> None:
        for step in rows.steps(task_ids):
            with deciding(self._connections, term) as connection:
                self._connections.execute(
                    connection,
                    "UPDATE bridge.tasks SET state = 'waiting' WHERE id = ANY(%s) AND state = 'returned'",
                    (sorted(step),),
                )

    def hand_over(self, tasks: Sequence[Task], now: int) -> None:
        for step in rows.steps(list(map(storable.task, tasks))):
            with self._connections.transaction() as connection:
                self._insert_tasks(connection, step, "returned", now)
        self._wakeup.ring("events")

    # --- workflows ---

    def workflow(self, workflow_id: str) -> Workflow | None:
        found = self._connections.read(f"SELECT {rows.WORKFLOW} FROM bridge.workflows WHERE id = %s", (workflow_id,))
        return Workflow(*found[0]) if found else None

    def remember_workflows(self, workflows: Sequence[Workflow]) -> None:
        by_id = {w.id: w for w in sorted(workflows, key=lambda w: w.id)}
        for step in rows.steps(list(map(rows.workflow_row, by_id.values()))):
            with self._connections.transaction() as connection:
                self._connections.execute(
                    connection,
                    f"INSERT INTO bridge.workflows ({rows.WORKFLOW}) SELECT {rows.WORKFLOW}"
                    " FROM unnest(%b::text[], %b::int[], %b::text[], %b::bigint[], %b::text[])"
                    f" AS new ({rows.WORKFLOW}) ORDER BY id ON CONFLICT (id) DO UPDATE SET version = excluded.version,"
                    " root_id = excluded.root_id, root_started_at = excluded.root_started_at,"
                    " root_correlation_id = excluded.root_correlation_id",
                    columns(step),
                )


def _taken(decisions: Iterable[Decision]) -> set[str]:
    """The tasks that events take by these decisions."""
    return {
        new.task_id
        for decision in decisions
        for new in decision.targets
        if new.task_id is not None and transitions.task_after_decision(new) == "taken"
    }


def _new_rows(decisions: Iterable[Decision], now: int, claim_for: str | None, claim: int) -> list[tuple[Any, ...]]:
    """The new targets, of which the first `claim` are claimed."""
    found: list[tuple[Any, ...]] = []
    left = claim if claim_for is not None else 0
    for decision in decisions:
        for new in decision.targets:
            is_mine = left > 0 and not decision.paced and new.not_before <= now
            left -= is_mine
            found.append(rows.new_target_row(decision.event_id, new, claim_for if is_mine else None, now))
    return found
