"""Replays events: one, or many as planned, in the order in which they arrived."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

from admin.bridge import Bridge
from admin.errors import CantDo, NotFound
from admin.events.descriptions import describe_effects
from admin.events.replay_plan import REPLAY_PENDING, Plan, families, is_undefined, undefined, why_settled
from admin.explain.wording import describe_target
from config.model import DEFAULT_HOLD
from store.errors import StoreUnavailable
from store.one_target import OneTarget
from store.records import Committed, Event, NewEvent, Target, new_event_id, place_of
from store.rules.transitions import LIVE
from store.sql.admin import ERASED


class CantReplay(CantDo):
    """The event can't be replayed; the text says why."""


class NeedsConfirmation(CantDo):
    """The event had an effect, or may still have one; the text says which."""


def replay(bridge: Bridge, event_id: str, target: int | None = None, confirmed: bool = False) -> str:
    """Adds the event once more, as one that arrives now; returns the new event's id.

    With `target`, the number of one of its targets from 1, the new event may have only that one. Raises NotFound,
    CantReplay if its webhook is no longer defined or that target isn't over, NeedsConfirmation if what it does would be
    done again and that isn't `confirmed`, StoreUnavailable.
    """
    one = None if target is None else _target(bridge, event_id, target)
    effect = None if confirmed else _effect(bridge, event_id, one)
    if effect is not None:
        raise NeedsConfirmation(effect)
    return _add(bridge, event_id, None, None if one is None else place_of(one)).event_id


def _effect(bridge: Bridge, event_id: str, target: Target | None) -> str | None:
    """What a replay would do again, or what may be done without it; None if nothing."""
    if target is not None:
        done = describe_target(target) if target.state == "done" else None
        return f"{done} A replay does that again" if done else None
    event = bridge.event(event_id)
    family = families(bridge.store.queries, [event])[event.id]
    targets = bridge.targets_by_event([one for one in (event, family.delivered) if one is not None])
    effects = describe_effects(target for some in targets.values() for target in some)
    if effects or event.status == "delivered" or family.delivered is not None:
        what = f"it or its replay {family.delivered.id}" if family.delivered is not None else "it"
        return f"{what} has {effects or 'been delivered'}, and a replay does that again"
    if event.status == "pending" or family.pending is not None:
        return "it is pending, or a replay of it is, and may be delivered without another replay, too"
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
        raise CantReplay(f"target {number} of event {event_id} is still being called: wait for its end")
    return target


def _add(bridge: Bridge, event_id: str, delivery_id: str | None, only: OneTarget | None = None) -> Committed:
    event = bridge.event(event_id)
    if event.payload == ERASED:
        raise CantReplay(f"the payload of event {event_id} has been erased")
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
    """Replays one after the other, at most `rate` a second; yields before the first and after each. Records at its end
    what it did; `chosen_by` says how the events were chosen.

    Leaves out events that others have replayed since they were planned, and those that were acknowledged since, unless
    `acknowledged` ones are replayed too.
    Ends between two events once it is `stopping`, which may cut a `wait` short. Raises StoreUnavailable.
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
