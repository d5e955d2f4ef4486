"""What an explanation needs to know besides the event and the task."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from admin.events.families import Family
from admin.explain.set_aside import SetAsides, describe_set_aside
from config.webhooks import Webhook
from criteria.matches import Criterion
from store.hiding import Hidden, hidden, shown_of
from store.records import Event, Target, Workflow


@dataclass(frozen=True)
class Context:
    """Everything else that explains one event and one task."""

    webhooks: Mapping[str, Webhook]
    targets_of: Mapping[str, Sequence[Target]]
    """event id → its targets."""
    targets_on: Mapping[str, Sequence[Target]]
    """task id → all targets that were ever made for it."""
    workflows: Mapping[str, Workflow]
    """workflow id → what was looked up about it."""
    now: int
    clock_skew: int = 2000
    """Milliseconds that a workflow may have started after an event and still take it."""
    conductor_offset: int = 0
    """Milliseconds by which Conductor's clock is ahead of ours."""
    conductor_error: str | None = None
    """Why Conductor can't be reached, if it can't."""
    paused: Mapping[str, int] = field(default_factory=dict)
    """webhook → since when it is paused."""
    hide: Callable[[str], Hidden] = lambda webhook: None
    """What must not be shown of a webhook's events."""

    family: Family | None = None
    """The event's replays, if it is an event that is explained."""
    repeated_at: Sequence[int] = ()
    """When the sender delivered that event again, as far as that is kept."""
    left: Collection[str] = ()
    """Workflows that are left to webhooks of Conductor's own."""
    set_aside: SetAsides = field(default_factory=dict)
    _last_shown: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = field(default_factory=list, repr=False)
    """The last document, and what people may see of it: one event is compared with many tasks."""

    def hidden(self, webhook: str, criteria: Iterable[Criterion], document: Mapping[str, Any]) -> tuple[Criterion, ...]:
        """The criteria as people may see them, for an event of this webhook."""
        hide = self.hide(webhook)
        if not self._last_shown or self._last_shown[0][0] is not document:
            self._last_shown[:] = [(document, shown_of(document, hide))]
        return hidden(criteria, document, hide, self._last_shown[0][1])

    def ours(self, server: int) -> int:
        """Conductor's time in terms of our clock, as the worker compares it."""
        return server - self.conductor_offset


def is_left(workflow: str) -> str:
    """Why the bridge does nothing for a workflow that is left to Conductor."""
    return f"{workflow} is left to webhooks of Conductor's own: BRIDGE_LEAVE_TO_CONDUCTOR names it"


def because(context: Context, event: Event | None = None) -> str:
    if event is not None and (item := context.set_aside.get(("event", event.id))) is not None:
        return f"; it is {describe_set_aside(item)}"
    return f"; Conductor can't be reached: {context.conductor_error}" if context.conductor_error else ""
