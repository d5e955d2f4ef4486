"""What an explanation says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from admin.explain.inputs import Input, in_lines
from config.webhooks import Message, Start
from criteria.matches import Criterion
from store.records import Event, SetAside, Target, Task
from store.rules.replays import UNRESOLVED

Verdict = Literal["taken", "matches", "differs", "out of reach", "broken"]
"""`taken`: by this event. `matches`: every criterion holds, and the reason says what else is in the way."""


@dataclass(frozen=True)
class Comparison:
    """One event compared with one task."""

    event: Event
    task: Task
    verdict: Verdict
    reason: str
    criteria: tuple[Criterion, ...] = ()
    is_near: bool = False
    """Of a receiver's task that is out of reach: whether every criterion holds all the same."""

    @property
    def first_failed(self) -> Criterion | None:
        """The first criterion that doesn't hold."""
        return next((criterion for criterion in self.criteria if not criterion.holds), None)

    @property
    def nearness(self) -> tuple[int, float]:
        """Sorts comparisons: the closer to a delivery, the greater."""
        out_of_reach = 3 if self.is_near else 0
        order = {"taken": 5, "matches": 4, "differs": 2, "broken": 1, "out of reach": out_of_reach}[self.verdict]
        held = sum(criterion.holds for criterion in self.criteria)
        return order, held / len(self.criteria) if self.criteria else 1.0


@dataclass(frozen=True)
class StartExplanation:
    """What one entry of `starts` did about an event."""

    start: Start
    holds: bool
    reason: str
    criteria: tuple[Criterion, ...] = ()
    input: Input | None = None
    """What its workflow gets, as people may see it; None for the whole payload."""

    @property
    def input_text(self) -> str | None:
        """The same on several lines."""
        return None if self.input is None else in_lines(self.input)


@dataclass(frozen=True)
class MessageExplanation:
    """What one entry of `messages` made of an event."""

    message: Message
    holds: bool
    reason: str
    criteria: tuple[Criterion, ...] = ()
    """Those of its `when`, if they don't all hold."""


@dataclass(frozen=True)
class StoryStep:
    """Something that happened to an event."""

    at: int
    what: str
    """A sentence."""
    went_wrong: bool = False
    workflow_id: str | None = None
    """The workflow in which it had an effect."""
    other_event_id: str | None = None
    """The replay, or the event, that it names."""


@dataclass(frozen=True)
class EventExplanation:
    """An event explained."""

    event: Event
    meaning: tuple[str, ...]
    """What its status means, in sentences."""
    starts: tuple[StartExplanation, ...]
    tasks: tuple[Comparison, ...]
    """Closest first."""
    replays: tuple[Event, ...] = ()
    """Its direct replays, oldest first, without payloads."""
    resolved_by: str | None = None
    """The replay that delivered what the event didn't."""
    set_aside: SetAside | None = None
    """Why the event is set aside, if it is."""
    messages: tuple[MessageExplanation, ...] = ()
    story: tuple[StoryStep, ...] = ()
    """What happened to it, in order."""

    @property
    def can_be_noted(self) -> bool:
        """Whether it can be acknowledged, or reopened."""
        event = self.event
        return event.acknowledged_at is not None or (event.status in UNRESOLVED and event.resolved_by is None)


@dataclass(frozen=True)
class TaskExplanation:
    """A task explained."""

    meaning: str
    targets: Sequence[Target]
    near: Sequence[Comparison]
    """The events that came closest to it, closest first."""
    set_aside: SetAside | None
    """Why it, or its workflow, is set aside."""
