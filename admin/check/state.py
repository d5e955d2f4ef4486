"""Reads from the store what `find_issues` needs."""

from __future__ import annotations

from admin.bridge import DAY, Bridge
from admin.check.health import BROKEN_READ, FAILED_READ, State
from admin.events.kept_rejections import KeptRejections
from store.event_filter import EventFilter
from store.records import Event

_SET_ASIDE_SHOWN = 100


def state_of(bridge: Bridge, now: int) -> State:
    """What `find_issues` needs."""
    store = bridge.store
    decider = store.leadership.leader()
    return State(
        facts=store.facts.all(),
        problems=bridge.definitions.errors,
        warnings=bridge.definitions.warnings,
        webhooks=bridge.definitions.by_name,
        verified_at=bridge.verified_at(),
        counts=store.queries.event_counts(),
        oldest_pending=store.queries.oldest_pending(),
        unresolved=store.queries.unresolved(),
        failed=failed_since(bridge, now - DAY),
        broken=bridge.broken_tasks(BROKEN_READ),
        waiting=store.queries.waiting_by_workflow(),
        deliveries=store.queries.delivery_counts(now - DAY),
        set_aside=store.quarantine.items(limit=_SET_ASIDE_SHOWN),
        set_aside_counts=store.quarantine.counts(),
        deciding_until=decider[1] if decider else None,
        now=now,
        acceptable=KeptRejections(bridge).acceptable(),
        left=bridge.settings.bridge_leave_to_conductor,
    )


def failed_since(bridge: Bridge, since: int) -> list[Event]:
    """The newest failed events of that time or later that are unresolved, newest first; a page of them at most."""
    newest = bridge.events(EventFilter(unresolved=True, limit=FAILED_READ))
    return [event for event in newest if event.received_at > since]
