"""Conductor, as the command line and the page ask it: for its workflows, and to run one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from config.settings import Settings
from store.clock import MonotonicClock
from worker.conductor.client import Conductor
from worker.conductor.errors import ConductorError
from worker.conductor.server import Server

_KEPT = 30.0
"""Seconds for which the list of workflows counts as new."""
_ASKED_AGAIN = 1.0
"""The same for somebody who looks for a workflow that isn't in it."""
_TIMEOUT = 3.0
"""Seconds that a page waits for it."""


def connect(settings: Settings, timeout: float) -> Conductor:
    """The Conductor that the settings name; each call takes at most so many seconds."""
    return Conductor(Server.of(settings), timeout)


@dataclass(frozen=True)
class Catalogue:
    """The workflows that are registered in Conductor."""

    versions: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Workflow → versions in ascending order."""
    failure: str = ""
    """Why they can't be listed now; empty if they can."""


class Workflows:
    """Conductor's workflows for all of the page's threads, of which one at a time asks for them."""

    def __init__(self, conductor: Conductor, clock: MonotonicClock = time):
        self._conductor = conductor
        self._clock = clock
        self._asking = threading.Lock()
        self._known = Catalogue(failure="Conductor has not answered yet")
        self._until = float("-inf")

    def catalogue(self, wanted: Iterable[str] = ()) -> Catalogue:
        """The workflows, half a minute old at most, or a second if one of those `wanted` isn't among them.

        While another thread asks for them: as they were last.
        """
        until = self._until if self._known.versions.keys() >= set(wanted) else self._until - _KEPT + _ASKED_AGAIN
        if self._clock.monotonic() >= until and self._asking.acquire(blocking=False):
            try:
                self._known = self._ask()
                self._until = self._clock.monotonic() + _KEPT
            finally:
                self._asking.release()
        return self._known

    def _ask(self) -> Catalogue:
        try:
            return Catalogue(self._conductor.within(_TIMEOUT).workflow_versions())
        except ConductorError as error:
            return Catalogue(failure=str(error))
