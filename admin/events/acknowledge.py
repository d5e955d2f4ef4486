"""Acknowledges events that came to nothing, so that nobody needs to act on them, and reopens them:
one, or many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from admin.bridge import Bridge
from admin.errors import CantDo
from admin.events.replay import REPLAY_DELIVERED, Plan
from config.quantities import counted
from store.records import Event
from store.story import REASON_KEPT, Note, Noted

ALREADY = "it is acknowledged already"
NOT_ACKNOWLEDGED = "it isn't acknowledged"
CHANGED = "it has changed meanwhile"
_STEP = 500
_WHY_NOT = {"pending": "it is pending: it may still be delivered", "delivered": "it was delivered"}


class CantNote(CantDo):
    """The event can't be acknowledged, or reopened; the text says why."""


def check_reason(what: Noted, reason: str | None) -> str:
    """The reason as it is kept. Raises CantNote if an acknowledgement has none, or it is too long."""
    text = (reason or "").strip()
    if what == "acknowledged" and not text:
        raise CantNote("say why the event needs nothing: others will read it")
    if len(text) > REASON_KEPT:
        raise CantNote(f"the reason is too long: {REASON_KEPT} characters at most")
    return text


def note(bridge: Bridge, event_id: str, what: Noted, reason: str) -> None:
    """Acknowledges or reopens one event, and records the change. Raises NotFound, CantNote,
    StoreUnavailable."""
    plan = plan_notes([bridge.event(event_id)], what)
    if not note_all(bridge, plan, what, reason, f"id {event_id}"):
        (why_not,) = plan.left_out
        raise CantNote(f"event {event_id} can't be {what}: {why_not}")


def plan_notes(matching: Sequence[Event], what: Noted) -> Plan:
    """Which of these events, oldest first, would be acknowledged or reopened, and why others
    wouldn't."""
    plan = Plan(newest=matching[-1].seq if matching else 0)
    for event in matching:
        why_not = _why_not(event, what)
        if why_not is None:
            plan.chosen.append(event)
        else:
            plan.left_out[why_not] += 1
    return plan


def note_all(bridge: Bridge, plan: Plan, what: Noted, reason: str, chosen_by: str) -> Counter[str]:
    """Acknowledges or reopens the chosen events, and records the changes; returns webhook → number
    of events.

    Adds to what the plan leaves out those that have changed meanwhile. Raises StoreUnavailable,
    with some done.
    """
    made = Note(bridge.store.now(), bridge.who, what, reason)
    done: Counter[str] = Counter()
    try:
        for first in range(0, len(plan.chosen), _STEP):
            step = {event.id: event.webhook for event in plan.chosen[first : first + _STEP]}
            changed = bridge.store.acknowledgements.record(list(step), made)
            done.update(step[event_id] for event_id in changed)
            if len(changed) < len(step):
                plan.left_out[CHANGED] += len(step) - len(changed)
    finally:
        for webhook, number in sorted(done.items()):
            detail = f"{counted(number, 'event')}, by {chosen_by}"
            bridge.record(what, webhook, f"{detail}: {reason}" if reason else detail)
    return done


def _why_not(event: Event, what: Noted) -> str | None:
    if what == "reopened":
        return None if event.acknowledged_at is not None else NOT_ACKNOWLEDGED
    if event.acknowledged_at is not None:
        return ALREADY
    return REPLAY_DELIVERED if event.resolved_by is not None else _WHY_NOT.get(event.status)
