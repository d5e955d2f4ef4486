"""What a replay of many would do: which events, which are left out and why, and what a person must confirm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from admin.bridge import Bridge
from store.records import Event
from store.rules.transitions import is_whole
from store.sql.event_search import EventFilter
from store.sql.queries import Queries

REPLAY_DELIVERED = "a replay was already delivered"
REPLAY_PENDING = "a replay is pending"
SAME_EVENT = "the same event is replayed already"
ACKNOWLEDGED = "it is acknowledged"
SETTLED = frozenset({REPLAY_DELIVERED, REPLAY_PENDING, SAME_EVENT, ACKNOWLEDGED})
"""Reasons to leave an event out that ask nothing of anybody."""
_PAGE = 200


@dataclass
class Plan:
    """What a replay of many would do."""

    chosen: list[Event] = field(default_factory=list)
    """The events to replay, oldest first."""
    left_out: Counter[str] = field(default_factory=Counter)
    """reason → events that match but would not be replayed."""
    had_effect: int = 0
    """How many of the chosen were delivered, wholly or in part."""
    newest: int = 0
    """The largest `seq` of all that match."""

    @property
    def total(self) -> int:
        """Events that match."""
        return len(self.chosen) + self.left_out.total()

    @property
    def by_webhook(self) -> dict[str, dict[str, int]]:
        """webhook → status → events to replay."""
        found: dict[str, dict[str, int]] = {}
        for event in self.chosen:
            statuses = found.setdefault(event.webhook, {})
            statuses[event.status] = statuses.get(event.status, 0) + 1
        return dict(sorted(found.items()))

    @property
    def to_confirm(self) -> list[str]:
        """What a person should confirm before these events are replayed; empty if nothing."""
        pending = sum(event.status == "pending" for event in self.chosen)
        webhooks = len(self.by_webhook)
        found = []
        if self.had_effect:
            found.append(f"{_number(self.had_effect, 'was', 'were')} delivered, wholly or in part, and would be again")
        if pending:
            found.append(f"{_number(pending, 'is', 'are')} pending and may be delivered without a replay, too")
        if webhooks > 1:
            found.append(f"the events belong to {webhooks} webhooks")
        return found


def _number(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def choose(bridge: Bridge, query: EventFilter, most: int | None = None) -> list[Event]:
    """The events that match the query, oldest first; at most the newest `most`.

    However long that takes, unless there is a `most`. `query.limit` is ignored. Events that arrive later, replays
    included, are not among them.
    """
    found: list[Event] = []
    query = replace(query, limit=_PAGE)
    while True:
        page = bridge.page(query)
        found += page.events
        if most is not None and len(found) >= most:
            return found[:most][::-1]
        if len(page.events) == _PAGE:
            before = page.events[-1]
        elif most is None and page.searched_to is not None:
            before = page.searched_to
        else:
            return found[::-1]
        # What lies before the bounds of the first search isn't among what people saw on a page.
        is_bound = most is not None and page.searched_to is not None
        after = page.searched_to.seq - 1 if is_bound and page.searched_to is not None else query.after_seq
        query = replace(query, before_seq=before.seq, after_seq=after)


def plan_of(bridge: Bridge, matching: Sequence[Event], acknowledged: bool = False) -> Plan:
    """The plan for these events, oldest first: one of each family, if none of its replays is delivered or pending.

    Leaves out acknowledged events, unless they are asked for.
    """
    plan = Plan(newest=matching[-1].seq if matching else 0)
    origins = set[str]()
    for first in range(0, len(matching), _PAGE):
        page = matching[first : first + _PAGE]
        family_of = families(bridge.store.queries, page)
        wanted = []
        for event in page:
            family = family_of[event.id]
            reason = why_settled(event, family, acknowledged)
            if is_undefined(bridge, event.webhook):
                reason = undefined(event.webhook)
            if reason is None and family.origin in origins:
                reason = SAME_EVENT
            if reason is None:
                origins.add(family.origin)
                wanted.append(event)
            else:
                plan.left_out[reason] += 1
        plan.chosen += wanted
        acted = bridge.store.queries.with_effect([event.id for event in wanted])
        plan.had_effect += sum(event.status == "delivered" or event.id in acted for event in wanted)
    return plan


def why_settled(event: Event, family: Family, acknowledged: bool = False) -> str | None:
    """Why the event, of this family, needs no replay; None if it may.

    An acknowledged one needs none unless these are `acknowledged` too.
    """
    if event.acknowledged_at is not None and not acknowledged:
        return ACKNOWLEDGED
    if event.resolved_by is not None or family.delivered is not None:
        return REPLAY_DELIVERED
    return REPLAY_PENDING if family.pending is not None else None


def is_undefined(bridge: Bridge, webhook: str) -> bool:
    """Whether the webhook is certainly no longer defined: not if the definitions have errors."""
    return webhook not in bridge.definitions.by_name and not bridge.definitions.errors


def undefined(webhook: str) -> str:
    """Why events of such a webhook aren't replayed."""
    return f"the webhook {webhook} is no longer defined"


REPLAYS_READ = 20
"""Replays of one family that are read, at most: the newest in each status."""


@dataclass(frozen=True, slots=True)
class Family:
    """A sender's event, its replays, and their replays: all have the same payload."""

    origin: str
    """The id of the sender's event, which may be pruned."""
    replays: tuple[Event, ...]
    """The newest, oldest first, without payloads."""

    @property
    def delivered(self) -> Event | None:
        """A replay that was delivered to every target that it may have; None if there is none."""
        return next((one for one in self.replays if one.status == "delivered" and is_whole(one.only)), None)

    @property
    def pending(self) -> Event | None:
        """A replay that is pending, and may be delivered."""
        return next((one for one in self.replays if one.status == "pending"), None)

    def replays_of(self, event_id: str) -> list[Event]:
        """The newest direct replays of one of its events, oldest first."""
        return [one for one in self.replays if one.replay_of == event_id][-REPLAYS_READ:]


def families(queries: Queries, events: Sequence[Event]) -> dict[str, Family]:
    """event id → its family, for each of these events."""
    origins = {event.id: event.origin or event.id for event in events}
    replays = queries.replays(sorted(set(origins.values())), REPLAYS_READ)
    found = {origin: Family(origin, tuple(replays.get(origin, ()))) for origin in set(origins.values())}
    return {event_id: found[origin] for event_id, origin in origins.items()}
