"""Which events may be decided: those all of whose takers are known, as far as that can be waited for.

A scan may show that a task waits although it can't be read yet: on a busy server, reading it takes longer than a scan
waits. And a poll's answer may be lost, whose tasks the index learns of a moment later. An event that came after such a
task may be for it, if it may be for its workflow's tasks at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from worker.discovery.suspects import Awaited


@dataclass(frozen=True, slots=True)
class Known:
    """What a scan has found out about the tasks that were waiting when it began."""

    complete: bool = True
    """Whether it has seen all of them; if not, events without a known taker wait."""
    patient: bool = False
    """Whether then those with a known taker wait too: there may be more takers."""
    up_to: int = 0
    """Holds that ended before then are over: tasks that were waiting then are known, or no longer awaited. In Unix
    milliseconds."""
    awaited: Mapping[str, int] = field(default_factory=dict)
    """Workflow → up to when its tasks are known, if there are any that can't be read right now. The empty text stands
    for any workflow: it isn't known whose tasks a poll may just have lost."""

    def may_lack_takers(self, received_at: int, receivers: Collection[str], has_takers: bool) -> bool:
        """Whether an event for these receivers, which arrived then, waits for takers that aren't known yet."""
        if not self.complete:
            return self.patient or not has_takers
        return any(
            received_at >= up_to and (not workflow or workflow in receivers) for workflow, up_to in self.awaited.items()
        )


@dataclass(slots=True)
class _Tasks:
    """The tasks of one workflow, or of any."""

    up_to: int
    """Those that were waiting before then are known, or no longer awaited."""
    wave: tuple[int, float] | None = None
    """When a scan began, and since when the last of what wasn't known then is awaited."""

    def scanned(self, began: int, complete: bool, since: Sequence[float]) -> None:
        self.up_to = min(self.up_to, began)
        if self.wave is not None:
            self.wave = min(self.wave[0], began), self.wave[1]
        if self.wave is not None and not (since and since[0] <= self.wave[1]):
            self.up_to, self.wave = max(self.up_to, self.wave[0]), None
        if complete and not since:
            self.up_to = max(self.up_to, began)
        elif complete and self.wave is None:
            self.wave = began, since[-1]


class KnownTasks:
    """Remembers from scan to scan up to when all waiting tasks are known.

    An event waits for what wasn't known at the first scan after it arrived. What is missing in later scans is no
    concern of its own, so that ever new faults don't keep it waiting. Belongs to the loop's thread.
    """

    def __init__(self) -> None:
        self._up_to = 0
        """When the last complete scan began."""
        self._holds_up_to = 0
        """`Known.up_to` of the last scan."""
        self._missing: dict[str, _Tasks] = {}
        """The workflows with tasks that weren't known at a scan since."""

    def scanned(
        self, began: int, complete: bool, patient: bool, awaited: Sequence[Awaited], silent: bool = False
    ) -> Known:
        """A scan that began then has ended. `awaited`: what isn't known yet, but may be soon, the oldest first.

        `silent`: it counts as complete although the index gave no answer. Events are decided then, but no hold ends.
        """
        since: dict[str, list[float]] = {}
        for one in awaited:
            since.setdefault(one.workflow, []).append(one.since)
        # None is later than this scan's beginning, unless the clock was set back: then holds would end too early.
        self._up_to, self._holds_up_to = min(self._up_to, began), min(self._holds_up_to, began)
        for workflow in since:
            self._missing.setdefault(workflow, _Tasks(self._up_to))
        for workflow, tasks in self._missing.items():
            tasks.scanned(began, complete, since.get(workflow, ()))
        if complete:
            self._up_to = max(self._up_to, began)
            self._missing = {workflow: tasks for workflow, tasks in self._missing.items() if workflow in since}
        if not silent:
            self._holds_up_to = min([self._up_to, *(tasks.up_to for tasks in self._missing.values())])
        return Known(
            complete, patient, self._holds_up_to, {workflow: self._missing[workflow].up_to for workflow in since}
        )
