"""An event's targets as people see them: there may be a hundred thousand, of which they see some."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from store.records import Target, TargetState
from store.sql.queries import Queries

TARGETS_LISTED = 100
"""Targets of each kind and state that are read of an event that has more in all."""


@dataclass(frozen=True, slots=True)
class EventTargets:
    """An event's targets in the order in which they were created: all of them, unless there are very many."""

    some: Sequence[Target]
    """The first `TARGETS_LISTED`, whose places here are their numbers, and then some of each kind and state."""
    others: Mapping[TargetState, int] = field(default_factory=dict)
    """State → how many others have it."""

    @property
    def number(self) -> int:
        """Of all targets."""
        return len(self.some) + sum(self.others.values())

    def beyond(self, first: int) -> dict[TargetState, int]:
        """State → how many have it of those that come after the first ones. `first`: `TARGETS_LISTED` at most."""
        return dict(Counter(target.state for target in self.some[first:]) + Counter(self.others))


def read_targets(queries: Queries, event_id: str) -> EventTargets:
    """The event's targets. Raises StoreUnavailable."""
    found = {target.id: target for target in queries.some_targets_of([event_id], TARGETS_LISTED)}
    if len(found) < TARGETS_LISTED:
        return EventTargets(list(found.values()))
    found |= {target.id: target for target in queries.targets_in_order(event_id, TARGETS_LISTED)}
    others = Counter(queries.target_states(event_id))
    others.subtract(target.state for target in found.values())
    return EventTargets([found[id_] for id_ in sorted(found)], +others)
