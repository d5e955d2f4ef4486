"""Replays events: one, or many as planned, in the order in which they arrived."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from admin.bridge import Bridge
from admin.errors import CantDo, NotFound
from admin.events.families import families
from admin.events.replay_plan import REPLAY_PENDING, Chosen, Plan, is_undefined, undefined, why_settled
from config.webhooks import DEFAULT_HOLD
from store.one_target import OneTarget, place_of
from store.records import Committed, NewEvent, new_event_id
from store.rules.transitions import LIVE


class CantReplay(CantDo):
    """The event can't be replayed; the text says why."""


def replay(bridge: Bridge, event_id: str, target: int | None = None) -> str:
    """Adds the event once more, as one that arrives now; returns the new event's id.

    With `target`, the number of one of its targets from 1, the new event may have only that one. Raises NotFound,
    CantReplay if its webhook is no longer defined or that target isn't over, StoreUnavailable.
    """
    only = None if target is None else _place(bridge, event_id, target)
    return _add(bridge, event_id, None, only).event_id


def _place(bridge: Bridge, event_id: str, number: int) -> OneTarget:
    queries = bridge.store.queries
    targets = sum(queries.target_states(event_id).values())
    found = queries.targets_in_order(event_id, 1, number - 1) if 1 <= number <= targets else []
    if not found:
        has = f"its targets have the numbers 1 to {targets}" if targets else "it has none"
        raise CantReplay(f"event {event_id} has no target {number}: {has}")
    (target,) = found
    if target.state in LIVE:
        raise CantReplay(f"target {number} of event {event_id} is still being called: wait for its end")
    return place_of(target)


def _add(bridge: Bridge, event_id: str, delivery_id: str | None, only: OneTarget | None = None) -> Committed:
    event = bridge.event(event_id)
    if is_undefined(bridge, event.webhook):
        raise CantReplay(f"{undefined(event.webhook)}: nothing would be delivered; define it again first")
    webhook = bridge.definitions.by_name.get(event.webhook)
    if event.is_callback and event.only is not None:  # it is for the task that waits now, whatever its URL was made for
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


@dataclass
class Progress:
    """How far a replay of many has come."""

    total: int
    left_out: Counter[str]
    """reason → events that aren't replayed."""
    replayed: Counter[str] = field(default_factory=Counter)
    """webhook → events."""
    last: str | None = None
    """The last event that was handled."""

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
) -> Iterator[Progress]:
    """Replays one after the other, at most `rate` a second; yields before the first and after each.

    Leaves out events that others have replayed since they were planned, and those that were acknowledged since, unless
    `acknowledged` ones are replayed too.
    Ends between two events once it is `stopping`, which may cut a `wait` short. Raises StoreUnavailable.
    """
    progress = Progress(plan.total, plan.left_out.copy())
    yield progress
    began = clock()
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
        progress.last = event.id
        yield progress


def _replay_unless_settled(bridge: Bridge, chosen: Chosen, acknowledged: bool) -> str | None:
    """Replays the event; returns why not, if so."""
    event = bridge.store.queries.listed([chosen.id]).get(chosen.id)
    if event is None:
        return "pruned meanwhile"
    family = families(bridge.store.queries, [event])[event.id]
    if (reason := why_settled(event, family, acknowledged)) is not None:
        return reason
    latest = family.replays[-1].id if family.replays else family.origin
    try:
        # Two people who replay the same events at the same time see the same latest one: the store takes one replay.
        committed = _add(bridge, event.id, f"replay after {latest}")
    except NotFound:
        return "pruned meanwhile"
    except CantReplay:
        return "the webhook was removed from the definitions meanwhile"
    return REPLAY_PENDING if committed.duplicate else None
