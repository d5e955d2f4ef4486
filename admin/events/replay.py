"""Replays events: one, or many as planned, in the order in which they arrived."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from admin.bridge import Bridge
from admin.errors import CantDo, NotFound
from admin.wording.statuses import describe_effects
from admin.wording.targets import describe_target
from config.model import DEFAULT_HOLD
from store.errors import StoreUnavailable
from store.one_target import OneTarget
from store.records import Committed, Event, NewEvent, Target, new_event_id, place_of
from store.rules.transitions import LIVE, is_whole
from store.sql.admin import ERASED
from store.sql.event_search import EventFilter
from store.sql.queries import Queries

REPLAY_DELIVERED = "a replay was already delivered"
REPLAY_PENDING = "a replay is pending"
SAME_EVENT = "the same event is replayed already"
ACKNOWLEDGED = "it is acknowledged"
SETTLED = frozenset({REPLAY_DELIVERED, REPLAY_PENDING, SAME_EVENT, ACKNOWLEDGED})
"""Reasons to leave an event out that ask nothing of anybody."""
_PAGE = 200


# --- families


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
    def delivered(self) -> list[Event]:
        """The replays that were delivered: to every target that they may have, or to one."""
        return [one for one in self.replays if one.status == "delivered"]

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
    found = {
        origin: Family(origin, tuple(replays.get(origin, ()))) for origin in set(origins.values())
    }
    return {event_id: found[origin] for event_id, origin in origins.items()}


# --- one


class CantReplay(CantDo):
    """The event can't be replayed; the text says why."""


class NeedsConfirmation(CantDo):
    """The event had an effect, or may still have one; the text says which."""


def replay(
    bridge: Bridge, event_id: str, target: int | None = None, confirmed: bool = False
) -> str:
    """Adds the event once more, as one that arrives now; returns the new event's id.

    With `target`, the number of one of its targets from 1, the new event may have only that one.
    Raises NotFound, CantReplay if its webhook is no longer defined or that target isn't over,
    NeedsConfirmation if what it does would be done again and that isn't `confirmed`,
    StoreUnavailable.
    """
    one = None if target is None else _target(bridge, event_id, target)
    if not confirmed:
        effect = _effect(bridge, event_id) if one is None else _effect_of(bridge, event_id, one)
        if effect is not None:
            raise NeedsConfirmation(effect)
    return _add(bridge, event_id, None, None if one is None else place_of(one)).event_id


def _effect_of(bridge: Bridge, event_id: str, target: Target) -> str | None:
    """What a replay to this target would do again; None if nothing."""
    if target.state == "done":
        return f"{describe_target(target)} A replay does that again"
    event = bridge.event(event_id)
    for replay in families(bridge.store.queries, [event])[event.id].delivered:
        if is_whole(replay.only) or replay.only == place_of(target):
            return f"its replay {replay.id} has been delivered, and another does that again"
    return None


def _effect(bridge: Bridge, event_id: str) -> str | None:
    """What a replay would do again, or what may be done without it; None if nothing."""
    event = bridge.event(event_id)
    family = families(bridge.store.queries, [event])[event.id]
    replay = next(iter(family.delivered), None)
    targets = bridge.targets_by_event([event] if replay is None else [event, replay])
    effects = describe_effects(target for some in targets.values() for target in some)
    if effects or event.status == "delivered" or replay is not None:
        what = "it" if replay is None else f"it or its replay {replay.id}"
        return f"{what} has {effects or 'been delivered'}, and a replay does that again"
    if event.status == "pending" or family.pending is not None:
        return (
            "it is pending, or a replay of it is, and may be delivered without another replay, too"
        )
    return None


def _target(bridge: Bridge, event_id: str, number: int) -> Target:
    queries = bridge.store.queries
    targets = sum(queries.target_states(event_id).values())
    found = queries.targets_in_order(event_id, 1, number - 1) if 1 <= number <= targets else []
    if not found:
        has = f"its targets have the numbers 1 to {targets}" if targets else "it has none"
        raise CantReplay(f"event {event_id} has no target {number}: {has}")
    (target,) = found
    if target.state in LIVE:
        raise CantReplay(
            f"target {number} of event {event_id} is still being called: wait for its end"
        )
    return target


def _add(
    bridge: Bridge, event_id: str, delivery_id: str | None, only: OneTarget | None = None
) -> Committed:
    event = bridge.event(event_id)
    if event.payload == ERASED:
        raise CantReplay(f"the payload of event {event_id} has been erased")
    if is_undefined(bridge, event.webhook):
        raise CantReplay(
            f"{undefined(event.webhook)}: nothing would be delivered; define it again first"
        )
    webhook = bridge.definitions.by_name.get(event.webhook)
    # It is for the task that waits now, whatever its URL was made for.
    if event.is_callback and event.only is not None:
        only = replace(event.only, made_at=None)
    now = bridge.store.now()  # the store's clock, since tasks and holds are compared with it
    hold = webhook.hold if webhook is not None else DEFAULT_HOLD
    (committed,) = bridge.store.deliveries.append(
        [
            NewEvent(
                id=new_event_id(),
                webhook=event.webhook,
                received_at=now,
                payload=event.payload,
                headers=event.headers,
                claims=event.claims,
                enclosing=event.enclosing,
                query=event.query,
                hold_until=now + int(hold * 1000),
                delivery_id=delivery_id,
                replay_of=event.id,
                origin=event.origin or event.id,
                only=only or event.only,
                type=event.type,
                summary_parts=event.summary_parts,
            )
        ]
    )
    return committed


# --- many


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
    def by_webhook(self) -> dict[str, Counter[str]]:
        """webhook → status → events to replay."""
        found: dict[str, Counter[str]] = {}
        for event in self.chosen:
            found.setdefault(event.webhook, Counter())[event.status] += 1
        return dict(sorted(found.items()))

    @property
    def to_confirm(self) -> list[str]:
        """What a person should confirm before these events are replayed; empty if nothing."""
        pending = sum(event.status == "pending" for event in self.chosen)
        webhooks = len(self.by_webhook)
        found = []
        if self.had_effect:
            found.append(
                f"{_number(self.had_effect, 'was', 'were')} delivered, wholly or in part, and would"
                " be again"
            )
        if pending:
            found.append(
                f"{_number(pending, 'is', 'are')} pending and may be delivered without a"
                " replay, too"
            )
        if webhooks > 1:
            found.append(f"the events belong to {webhooks} webhooks")
        return found


def _number(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def choose(bridge: Bridge, query: EventFilter, most: int | None = None) -> list[Event]:
    """The events that match the query, oldest first; at most the newest `most`.

    However long that takes, unless there is a `most`. `query.limit` is ignored. Events that arrive
    later, replays included, are not among them.
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
        query = replace(query, before_seq=before.seq)
        # What lies before the bounds of the first search isn't among what people saw on a page.
        if most is not None and page.searched_to is not None:
            query = replace(query, after_seq=page.searched_to.seq - 1)


def plan_of(bridge: Bridge, matching: Sequence[Event], acknowledged: bool = False) -> Plan:
    """The plan for these events, oldest first: one of each family, if none of its replays is
    delivered or pending.

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
        plan.had_effect += sum(
            event.status == "delivered" or event.id in acted or bool(family_of[event.id].delivered)
            for event in wanted
        )
    return plan


def why_settled(event: Event, family: Family, acknowledged: bool = False) -> str | None:
    """Why the event, of this family, needs no replay; None if it may.

    An acknowledged one needs none unless these are `acknowledged` too.
    """
    if event.acknowledged_at is not None and not acknowledged:
        return ACKNOWLEDGED
    if event.resolved_by is not None or any(is_whole(one.only) for one in family.delivered):
        return REPLAY_DELIVERED
    return REPLAY_PENDING if family.pending is not None else None


def is_undefined(bridge: Bridge, webhook: str) -> bool:
    """Whether the webhook is certainly no longer defined: not if the definitions have errors."""
    return webhook not in bridge.definitions.by_name and not bridge.definitions.errors


def undefined(webhook: str) -> str:
    """Why events of such a webhook aren't replayed."""
    return f"the webhook {webhook} is no longer defined"


@dataclass
class Progress:
    """How far a replay of many has come."""

    total: int
    left_out: Counter[str]
    """reason → events that aren't replayed."""
    replayed: Counter[str] = field(default_factory=Counter)
    """webhook → events."""

    @property
    def done(self) -> int:
        """Events that were handled."""
        return self.replayed.total() + self.left_out.total()


def replay_all(
    bridge: Bridge,
    plan: Plan,
    rate: float | None = None,
    wait: Callable[[float], object] = time.sleep,
    stopping: Callable[[], bool] = lambda: False,
    acknowledged: bool = False,
    clock: Callable[[], float] = time.monotonic,
    chosen_by: str = "hand",
) -> Iterator[Progress]:
    """Replays one after the other, at most `rate` a second; yields before the first and after each.
    Records at its end what it did; `chosen_by` says how the events were chosen.

    Leaves out events that others have replayed since they were planned, and those that were
    acknowledged since, unless `acknowledged` ones are replayed too. Ends between two events once it
    is `stopping`, which may cut a `wait` short. Raises StoreUnavailable.
    """
    progress = Progress(plan.total, plan.left_out.copy())
    began = clock()
    try:
        yield progress
        for number, event in enumerate(plan.chosen):
            if rate is not None and (early := began + number / rate - clock()) > 0:
                wait(early)
            if stopping():
                return
            reason = _replay_unless_settled(bridge, event, acknowledged)
            if reason is None:
                progress.replayed[event.webhook] += 1
            else:
                progress.left_out[reason] += 1
            yield progress
    finally:
        with suppress(StoreUnavailable):
            for webhook, times in sorted(progress.replayed.items()):
                bridge.record("replayed", webhook, f"{times} events, by {chosen_by}")


def _replay_unless_settled(bridge: Bridge, chosen: Event, acknowledged: bool) -> str | None:
    """Replays the event; returns why not, if so."""
    event = bridge.store.queries.listed([chosen.id]).get(chosen.id)
    if event is None:
        return "pruned meanwhile"
    family = families(bridge.store.queries, [event])[event.id]
    reason = why_settled(event, family, acknowledged)
    if reason is not None:
        return reason
    latest = family.replays[-1].id if family.replays else family.origin
    try:
        # Two people who replay the same events at the same time see the same latest one: the store
        # takes one replay.
        committed = _add(bridge, event.id, f"replay after {latest}")
    except NotFound:
        return "pruned meanwhile"
    except CantReplay:
        return "the webhook was removed from the definitions meanwhile"
    return REPLAY_PENDING if committed.duplicate else None
