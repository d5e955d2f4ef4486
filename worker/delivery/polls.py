"""Asks Conductor which of the watched workflows have ended.

Conductor doesn't announce that, and a sender waits, so it is asked often. Workflow names take
turns. A turn is one request for the ids of all running workflows with that name, however many are
watched. Those that it leaves out are read. So is the one that was read longest ago, since the list
alone proves nothing. Where the list fails, or would cost more than reading each, the workflows are
read instead, those that were read longest ago first.

One bound holds for all: after a turn that finds no end, all rest for as long as it took. So polls
are in progress for half of the time at most, and a workflow is read the more rarely, the more are
watched and the slower the server is.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor as Pool
from dataclasses import dataclass, field

import structlog

from store.answers import AnsweringWorkflow
from store.clock import MonotonicClock
from worker.conductor.client import Conductor
from worker.conductor.errors import ConductorError, NotFound
from worker.conductor.responses import End
from worker.retries import wait_before

log = structlog.get_logger()

EVERY = 0.05
"""Seconds between two turns of a name, at least."""
_READS = 12
"""Workflows that a turn reads at most because no list contains them."""
THREADS = 6
_PATIENCE = 2.0
"""Seconds to wait for an answer."""
_LONGEST_REST = 1.0
"""Seconds."""
_SLOWEST = 3.0
"""Seconds between two reads of a workflow that can't be read, at most, and a quarter more."""
_NO_LISTS = 5.0
"""Seconds for which workflows are read after a list failed, or cost more."""
_READ_COSTS = 0.005
"""Seconds that a read costs, compared with a list."""
_GONE_AFTER = 3
"""How often in a row Conductor must say that it has no such workflow."""


@dataclass(slots=True, eq=False)
class _Watched:
    id: str
    read_at: float = float("-inf")
    due_at: float = float("-inf")
    """Not read before, as the last read failed."""
    failures: int = 0
    missing: int = 0
    """How often in a row Conductor had no such workflow."""


@dataclass(slots=True, eq=False)
class _Flow:
    """The watched workflows with one name."""

    due_at: float = float("-inf")
    lists_at: float = float("-inf")
    """No list is asked for before."""
    workflows: dict[str, _Watched] = field(default_factory=dict)


class Polls:
    """For one thread. All times are seconds by the monotonic clock."""

    def __init__(self, conductor: Conductor, clock: MonotonicClock, pool: Pool):
        """`pool`: makes the reads of a turn, `THREADS` at a time."""
        self._conductor = conductor.within(_PATIENCE)
        self._clock = clock
        self._pool = pool
        self._flows: dict[str, _Flow] = {}
        self._rests_until = float("-inf")

    def watch(self, workflows: Iterable[AnsweringWorkflow]) -> None:
        """Watches these workflows, and no others any more."""
        before, self._flows = self._flows, {}
        for name, workflow_id in workflows:
            known = before.get(name, _Flow())
            flow = self._flows.setdefault(name, _Flow(known.due_at, known.lists_at))
            flow.workflows[workflow_id] = known.workflows.get(workflow_id) or _Watched(workflow_id)

    def due_at(self) -> float:
        """When the next turn is due."""
        return max(
            self._rests_until,
            min((flow.due_at for flow in self._flows.values()), default=float("inf")),
        )

    def turn(self) -> dict[str, End | None]:
        """Takes the next turn, if it is due: returns the workflows that have ended → how; None if
        Conductor has none of that id any more. They are returned again later while they are
        watched. Raises nothing."""
        began = now = self._clock.monotonic()
        if now < self.due_at():
            return {}
        name, flow = min(self._flows.items(), key=lambda item: item[1].due_at)
        running = self._running(name, flow)
        ready = sorted(
            (one for one in flow.workflows.values() if one.due_at <= now),
            key=lambda one: one.read_at,
        )
        left_out = [one for one in ready if one.id not in running]
        chosen = dict.fromkeys([*left_out[:_READS], *ready[:1]])
        results = list(self._pool.map(self._read, chosen))
        now = self._clock.monotonic()
        # More may be left for the next turn, but other names that are due come first.
        flow.due_at = now
        if len(left_out) <= _READS:
            flow.due_at += EVERY
        ended: dict[str, End | None] = {}
        for one, found in zip(chosen, results, strict=True):
            if self._has_ended(one, found, now):
                ended[one.id] = found if isinstance(found, End) else None
        self._rests_until = now
        if not ended:
            self._rests_until += min(now - began, _LONGEST_REST)
        return ended

    def _running(self, name: str, flow: _Flow) -> frozenset[str]:
        """The ids on the list; empty if none is asked for, or there was no answer."""
        began = self._clock.monotonic()
        if len(flow.workflows) < 2 or began < flow.lists_at:
            return frozenset()
        try:
            running = frozenset(self._conductor.running(name))
        except ConductorError as error:
            log.warning(
                "running workflows can't be listed; reading each", workflow=name, error=str(error)
            )
            running = None
        now = self._clock.monotonic()
        if running is None or now - began > _READ_COSTS * len(flow.workflows):
            flow.lists_at = now + _NO_LISTS
        return running or frozenset()

    def _read(self, watched: _Watched) -> End | Exception | None:
        """What a thread of the pool finds; None if the workflow hasn't ended. Raises nothing."""
        try:
            return self._conductor.outcome(watched.id)
        except Exception as error:  # the others' ends must still be noted
            return error

    def _has_ended(self, watched: _Watched, found: End | Exception | None, now: float) -> bool:
        watched.read_at = now
        if isinstance(found, NotFound):
            watched.missing += 1
        else:
            watched.missing = 0
        if found is None:
            watched.failures = 0
            return False
        # Also after an end: if it is read again, the answer couldn't be recorded.
        watched.failures += 1
        watched.due_at = now + wait_before(watched.failures, _SLOWEST)
        if watched.failures == 1 and isinstance(found, Exception):
            log.warning(
                "a workflow can't be read",
                workflow_id=watched.id,
                error=f"{type(found).__name__}: {found}",
            )
        return isinstance(found, End) or watched.missing >= _GONE_AFTER
