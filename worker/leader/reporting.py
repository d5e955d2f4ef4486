"""What a leader finds out about Conductor, and reports: metrics, the log, and facts in the store,
which people see."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress

import structlog

from config.logs import some_of
from config.webhooks import Definitions
from store.clock import MonotonicClock
from store.errors import StoreUnavailable
from store.sql.store import Store
from worker import metrics
from worker.conductor.errors import ConductorError
from worker.conductor.workflow_definitions import check_workflows
from worker.context import RIGHT_AT, Context
from worker.discovery.barrier import Barrier
from worker.discovery.index import Index
from worker.discovery.missing import Missing
from worker.discovery.probe import missing_calls
from worker.discovery.suspects import KINDS
from worker.misfits import FACT, as_text, misfits_in

log = structlog.get_logger()

_OFFSET_CHANGE = 5
"""Milliseconds by which the clocks' offset must change before it is reported again."""
_TAKEN_BACK = 100_000
"""Set-aside items of a kind that a new leader takes back."""
_ALONE_EVERY = 3_600_000
"""Milliseconds after which it is recorded again that tasks are found by the index alone."""
CHECKS_EVERY = 300.0
"""Seconds between two checks of the same definitions."""
_WORKFLOWS_TAKE = 60.0
"""Seconds that comparing definitions with Conductor's workflows takes at most: here nobody waits
for it."""

# Names of facts in the store.
_CONDUCTOR = "conductor"
"""``up``, or why Conductor can't be used."""
_OFFSET = "conductor_clock_offset"
"""Milliseconds that Conductor's clock is ahead of ours."""
_WAY = "discovery"
"""How waiting tasks that no queue hands out are found, and why no better way is used."""
_INDEX_FAILS = "index_fails"
"""Why the index can't be searched while events wait for it; absent if none waits."""
_SEARCHED_TO = "index_searched_to"
"""The server's time up to which the index was searched, in milliseconds."""
_SEARCHED_FOR = "index_searched_for"
"""The receivers for whose tasks the index was searched up to then, a list in JSON."""
_ALONE = "tasks_by_index_alone"
"""When a task was last found by the index alone, in Unix milliseconds."""
ANOTHER_SERVER = "another_server"
"""Which tasks Conductor doesn't know while it knows none that tell the right server; absent if it
is that one."""
_MISSING_CALLS = "conductor_lacks"
"""Which calls Conductor lacks, or our key may not make; absent if there are none."""


class Reporter:
    """Belongs to one term. What can't be written because the store is unavailable is written when
    it next comes up."""

    def __init__(self, store: Store, clock: MonotonicClock = time) -> None:
        self._store = store
        self._clock = clock
        self._written: dict[str, str | None] = {}
        """The facts that this leader has written."""
        self._alone_at = 0

    def write(self, fact: str, text: str | None) -> bool:
        """Writes the fact unless this leader last wrote the same; returns whether it is written, as
        the store may be unavailable."""
        if fact not in self._written or self._written[fact] != text:
            with suppress(StoreUnavailable):
                self._store.facts.set(fact, text)
                self._written[fact] = text
                return True
        return False

    # --- Conductor ---

    def conductor(self, text: str) -> None:
        """``up``, or why Conductor can't be used."""
        self.write(_CONDUCTOR, text)

    def offset(self, offset: int) -> None:
        """The clocks' offset, for explanations, which compare Conductor's times with ours as the
        decider does."""
        written = self._written.get(_OFFSET)
        if written is None or abs(offset - int(written)) > _OFFSET_CHANGE:
            self.write(_OFFSET, str(offset))

    # --- discovery ---

    def discovery(self, index: Index) -> None:
        """Reports how tasks are found, if that has changed."""
        way = f"{index.way}: {index.reason}" if index.reason else index.way
        if index.proven and self.write(_WAY, way):
            if index.way == "workflows":
                log.warning(
                    "waiting tasks can't be searched: reading all running workflows",
                    reason=index.reason,
                )
            else:
                log.info("waiting tasks are searched", way=way)
            metrics.discovery_way(index.way)

    def waiting_for_index(self, webhooks: Collection[str], reason: str) -> None:
        """Reports that events of these webhooks wait because the index can't be searched, and why."""
        metrics.INDEX_WAITS.set(len(webhooks))
        text = f"{', '.join(sorted(webhooks))}: {reason}" if webhooks else None
        self.write(_INDEX_FAILS, text)

    def found_by_index_alone(self, barrier: Barrier) -> None:
        """Reports a task that no queue has handed out. Raises StoreUnavailable."""
        if not barrier.needs_index:
            log.info(
                "a task was found by the index alone: every scan searches the index from now on"
            )
        barrier.found_alone(self._clock.monotonic())
        now = self._store.now()
        if abs(now - self._alone_at) > _ALONE_EVERY:
            self._store.facts.set(_ALONE, str(now))
            self._alone_at = now

    def searched(self, moment: int, receivers: AbstractSet[str]) -> None:
        """Records up to when, by the server's clock, and for which receivers' tasks the index was
        searched, and that what was found is stored. Raises StoreUnavailable."""
        names = json.dumps(sorted(receivers))
        if self._written.get(_SEARCHED_FOR) != names:
            self._store.facts.set(_SEARCHED_FOR, names)
            self._written[_SEARCHED_FOR] = names
        self._store.facts.set(_SEARCHED_TO, str(moment))

    def searched_for(self) -> set[str]:
        """The receivers for whose tasks the last leader searched the index. Raises
        StoreUnavailable."""
        return set(json.loads(self._store.facts.all().get(_SEARCHED_FOR, "[]")))

    def server(self, right_at: int, absent: Sequence[str]) -> None:
        """Reports when Conductor was last the right server; and the tasks that it doesn't know, if
        it is another one now."""
        self.write(RIGHT_AT, str(right_at))
        metrics.ANOTHER_SERVER.set(bool(absent))
        tasks = some_of(sorted(absent))
        if self.write(ANOTHER_SERVER, ", ".join(tasks) or None) and tasks:
            what = "Conductor knows none of the tasks that waited before: it is another server, or empty. They are kept"
            log.error(what, tasks=tasks)

    # --- what a predecessor has reported ---

    def recall(self, barrier: Barrier, missing: Missing) -> int:
        """Initializes these from the store; returns up to when the index was searched. Raises
        StoreUnavailable.

        Takes back the tasks and workflows that were set aside: those that still fail are set aside
        again.
        """
        facts: Mapping[str, str] = self._store.facts.all()
        if (alone := facts.get(_ALONE)) is not None:
            self._alone_at = int(alone)
            barrier.found_alone(
                self._clock.monotonic() - max(0.0, (self._store.now() - self._alone_at) / 1000)
            )
        missing.right_at = int(facts.get(RIGHT_AT, self._store.now()))
        for kind in KINDS:
            items = self._store.quarantine.items(kind, limit=_TAKEN_BACK)
            self._store.quarantine.take_back(kind, [item.id for item in items])
        return int(facts.get(_SEARCHED_TO, 0))


class Checks:
    """What is checked about Conductor. Of one term. For one thread."""

    def __init__(self, context: Context, reporter: Reporter):
        self._store = context.store
        self._conductor = context.conductor
        self._clock = context.clock
        self._reporter = reporter
        self._missing_calls: str | None = None
        self._due = float("-inf")
        self._checked: Definitions | None = None
        self._failure = ""
        """Why workflow definitions couldn't be read, in the log's words."""

    def run(self, definitions: Definitions) -> None:
        """Checks new definitions at once, and the same ones from time to time. Raises
        ConductorError and StoreUnavailable."""
        now = self._clock.monotonic()
        if definitions is self._checked and now < self._due:
            return
        self._calls(definitions)
        self._workflows(definitions)
        self._checked, self._due = definitions, now + CHECKS_EVERY

    def _calls(self, definitions: Definitions) -> None:
        """Finds out which calls can't be made before an event needs them, until none is missing."""
        if self._missing_calls == "":
            return
        missing = "; ".join(map(str, missing_calls(self._conductor, definitions.starts)))
        if missing != self._missing_calls:
            if missing:
                log.error("some calls to Conductor can't be made", error=missing)
            self._store.facts.set(_MISSING_CALLS, missing or None)
            self._missing_calls = missing

    def _workflows(self, definitions: Definitions) -> None:
        """Compares the definitions with Conductor's workflows."""
        try:
            checked = check_workflows(self._conductor, definitions, seconds=_WORKFLOWS_TAKE)
        except ConductorError as error:
            self._note(str(error))
            return
        self._note(checked.unread)
        problems = checked.problems
        metrics.WORKFLOW_PROBLEMS.set(len(problems))
        text = as_text(problems)
        if self._reporter.write(FACT, text) and text is not None:
            causes = list(map(str, misfits_in(text)))
            log.warning("webhooks don't fit Conductor's workflow definitions", problems=causes)

    def _note(self, failure: str) -> None:
        """Logs why workflow definitions can't be read, once for each reason."""
        if failure and failure != self._failure:
            log.warning(
                "not all receivers, starts and messages can be checked against Conductor's workflows",
                error=failure,
            )
        self._failure = failure
