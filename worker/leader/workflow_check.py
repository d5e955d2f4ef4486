"""Checks now and then whether the webhooks fit the workflow definitions, which Conductor may change at any time."""

from __future__ import annotations

import structlog

from config.webhooks import Definitions, Problem
from store.clock import MonotonicClock
from worker.conductor.client import Conductor
from worker.conductor.errors import ConductorError
from worker.workflow_definitions.check import check_workflows

log = structlog.get_logger()

_EVERY = 300.0
"""Seconds between two checks of the same webhooks."""
_SECONDS = 60.0
"""That one check takes at most: here nobody waits for it."""


class WorkflowCheck:
    """Of one term."""

    def __init__(self, conductor: Conductor, clock: MonotonicClock):
        self._conductor = conductor
        self._clock = clock
        self._checked: Definitions | None = None
        self._due = 0.0
        self._failure = ""
        """Why the last check wasn't complete, in the log's words."""

    def run(self, definitions: Definitions) -> tuple[Problem, ...] | None:
        """What doesn't fit of these definitions, if they are new or the last check was a while ago; None if neither is
        so, or nothing can be told."""
        if definitions is self._checked and self._clock.monotonic() < self._due:
            return None
        self._checked, self._due = definitions, self._clock.monotonic() + _EVERY
        try:
            checked = check_workflows(self._conductor, definitions, seconds=_SECONDS)
        except ConductorError as error:
            self._note(str(error))
            return None
        self._note(checked.unread)
        return checked.problems

    def _note(self, failure: str) -> None:
        """Logs why workflow definitions can't be read, once for each reason."""
        if failure and failure != self._failure:
            log.warning(
                "not all receivers, starts and messages can be checked against Conductor's workflows", error=failure
            )
        self._failure = failure
