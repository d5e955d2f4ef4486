"""What is found out about Conductor now and then: missing calls, webhooks of its own, workflows that don't fit ours."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from config.webhooks import Definitions
from worker import metrics
from worker.conductor.errors import ConductorError
from worker.conductor.server_webhooks import FACT, Remark, as_text, remarks
from worker.context import Context
from worker.discovery.probe import missing_calls
from worker.leader.reporting import Reporter
from worker.workflow_definitions.check import check_workflows

log = structlog.get_logger()

_MISSING_CALLS = "conductor_lacks"
"""The fact that says which calls Conductor lacks, or our key may not make; absent if there are none."""
_WORKFLOWS = "workflow_problems"
"""The fact with the receivers and starts that Conductor's workflows don't fit, one per line; absent if all do."""
WEBHOOKS_EVERY = 600.0
"""Seconds between two looks at Conductor's own webhooks."""
_WORKFLOWS_EVERY = 300.0
"""Seconds between two checks of the same definitions against Conductor's workflows."""
_WORKFLOWS_TAKE = 60.0
"""Seconds that one such check takes at most: here nobody waits for it."""
_PROBLEMS = 50
"""Problems with workflows that are reported one by one."""


class Checks:
    """Of one term. For one thread. Each check may raise StoreUnavailable."""

    def __init__(self, context: Context, reporter: Reporter):
        self._store = context.store
        self._conductor = context.conductor
        self._clock = context.clock
        self._left = context.settings.bridge_leave_to_conductor
        self._reporter = reporter
        self._missing_calls: str | None = None
        self._webhooks_due = self._workflows_due = float("-inf")
        self._remarks: Sequence[Remark] = ()
        self._checked: Definitions | None = None
        self._failure = ""
        """Why workflow definitions couldn't be read, in the log's words."""

    def calls(self, definitions: Definitions) -> None:
        """Finds out which calls can't be made before an event needs them, until none is missing. Raises
        ConductorError."""
        if self._missing_calls == "":
            return
        missing = "; ".join(map(str, missing_calls(self._conductor, definitions.starts)))
        if missing != self._missing_calls:
            if missing:
                log.error("some calls to Conductor can't be made", error=missing)
            self._store.facts.set(_MISSING_CALLS, missing or None)
            self._missing_calls = missing

    def webhooks(self, definitions: Definitions) -> None:
        """Finds out whether Conductor has its own webhooks. If it doesn't tell, nothing changes."""
        now = self._clock.monotonic()
        if now < self._webhooks_due:
            return
        self._webhooks_due = now + WEBHOOKS_EVERY
        try:
            theirs = self._conductor.webhooks()
        except ConductorError as error:
            log.info("can't tell whether Conductor has its own webhooks", error=str(error))
            return
        self._reporter.write(FACT, as_text(theirs))
        said = tuple(remarks(definitions.webhooks, theirs, self._left))
        if said != self._remarks:
            for remark in said:
                tell = log.warning if remark.level == "warning" else log.info
                tell(remark.text, remedy=remark.remedy, webhooks=list(remark.details))
            self._remarks = said

    def workflows(self, definitions: Definitions) -> None:
        """Compares the definitions with Conductor's workflows, if they are new or the last check was a while ago."""
        now = self._clock.monotonic()
        if definitions is self._checked and now < self._workflows_due:
            return
        self._checked, self._workflows_due = definitions, now + _WORKFLOWS_EVERY
        try:
            checked = check_workflows(self._conductor, definitions, seconds=_WORKFLOWS_TAKE)
        except ConductorError as error:
            self._note(str(error))
            return
        self._note(checked.unread)
        problems = checked.problems
        metrics.WORKFLOW_PROBLEMS.set(len(problems))
        lines = [str(problem) for problem in problems[:_PROBLEMS]]
        if len(problems) > _PROBLEMS:
            lines.append(f"and {len(problems) - _PROBLEMS} more: webhook-bridge check lists them")
        if self._reporter.write(_WORKFLOWS, "\n".join(lines) or None) and lines:
            log.warning("webhooks don't fit Conductor's workflow definitions", problems=lines)

    def _note(self, failure: str) -> None:
        """Logs why workflow definitions can't be read, once for each reason."""
        if failure and failure != self._failure:
            log.warning(
                "not all receivers, starts and messages can be checked against Conductor's workflows", error=failure
            )
        self._failure = failure
