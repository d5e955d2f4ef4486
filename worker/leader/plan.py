"""The decisions that are made after one scan."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from store.records import Decision, Event, NewTarget
from worker.leader.held_index import HeldEvent
from worker.leader.rules import completion
from worker.leader.task_index import WaitingTask


@dataclass
class Plan:
    """Decisions that aren't written yet. Only events that are held from now on are in the held index already."""

    paced: Collection[str]
    """The webhooks with a pace."""
    decisions: list[Decision] = field(default_factory=list)
    ended: list[HeldEvent] = field(default_factory=list)
    """Events whose hold ends, after all decisions."""
    events: dict[str, Event] = field(default_factory=dict)
    """id → event that is new or free again, of those decided."""
    taken: set[str] = field(default_factory=set)
    """The ids of the tasks that events take."""
    released: dict[str, HeldEvent] = field(default_factory=dict)
    """id → event that is no longer held."""

    def decide(self, event: Event, decision: Decision) -> None:
        """The decision on an event that is new or free again."""
        self.events[event.id] = event
        self._add(decision)

    def take(self, event: HeldEvent, task: WaitingTask) -> None:
        """The task takes the held event."""
        self.release(event, completion(task))

    def release(self, event: HeldEvent, *targets: NewTarget) -> None:
        """These are the held event's targets."""
        self.released[event.id] = event
        self._add(Decision(event.id, "pending", "no", targets, event.webhook in self.paced))

    def ignore(self, event: HeldEvent, forgotten: bool = False) -> None:
        """Another event came first for the only task that the held event is for; or it is `forgotten`, since a stranger
        made it up."""
        self.released[event.id] = event
        self._add(Decision(event.id, "ignored", "no", forgotten=forgotten))

    def end(self, event: HeldEvent) -> None:
        """The event's hold is over."""
        self.released[event.id] = event
        self.ended.append(event)

    def _add(self, decision: Decision) -> None:
        self.decisions.append(decision)
        self.taken.update(target.task_id for target in decision.targets if target.task_id is not None)
