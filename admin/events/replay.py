"""Replays events: one, or many in the order in which they arrived."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from admin.bridge import Bridge, NotFound
from config.webhooks import DEFAULT_HOLD
from store.records import EventFilter, NewEvent, new_event_id

_PAGE = 200


class CantReplay(Exception):
    """The event can't be replayed; the text says why."""


def replay(bridge: Bridge, event_id: str) -> str:
    """Adds the event once more, as one that arrives now; returns the new event's id.

    Raises NotFound, CantReplay if its webhook is no longer defined, StoreUnavailable.
    """
    event = bridge.event(event_id)
    webhook = bridge.definitions.by_name.get(event.webhook)
    broken = bool(bridge.definitions.errors)
    if webhook is None and not broken:
        raise CantReplay(
            f"the webhook {event.webhook} is no longer defined: nothing would be delivered; define it again first"
        )
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
                query=event.query,
                hold_until=now + int(hold * 1000),
                delivery_id=None,
                replay_of=event.id,
            )
        ]
    )
    return committed.event_id


@dataclass(frozen=True, slots=True)
class Chosen:
    """An event to replay."""

    seq: int
    id: str
    webhook: str
    received_at: int


@dataclass
class Progress:
    """How far a replay of many has come."""

    total: int
    replayed: Counter[str] = field(default_factory=Counter)
    """webhook → events."""
    left_out: Counter[str] = field(default_factory=Counter)
    """reason → events that can't be replayed."""
    last: str | None = None
    """The last event that was handled."""

    @property
    def done(self) -> int:
        """Events that were handled."""
        return self.replayed.total() + self.left_out.total()


def choose(
    bridge: Bridge, query: EventFilter, since: int | None = None, after_seq: int = 0, most: int | None = None
) -> list[Chosen]:
    """The events that match the query and arrived at `since` or later, oldest first; at most the newest `most`.

    `query.limit` is ignored. Events that arrive later, replays included, are not among them.
    """
    found: list[Chosen] = []
    before = query.before_seq
    while page := bridge.events(replace(query, before_seq=before, limit=_PAGE)):
        for event in page:
            if event.seq <= after_seq or (since is not None and event.received_at < since):
                # The clocks of several relays may differ a little; sequence numbers are in order.
                if event.seq <= after_seq or event.received_at < (since or 0) - _OUT_OF_ORDER:
                    return found[::-1]
                continue
            found.append(Chosen(event.seq, event.id, event.webhook, event.received_at))
            if most is not None and len(found) >= most:
                return found[::-1]
        before = page[-1].seq
    return found[::-1]


_OUT_OF_ORDER = 60_000
"""Milliseconds by which the times of events may be out of order."""


def replay_all(
    bridge: Bridge,
    chosen: Sequence[Chosen],
    rate: float | None = None,
    wait: Callable[[float], object] = time.sleep,
    stopping: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Progress]:
    """Replays one after the other, at most `rate` a second; yields before the first and after each.

    Ends between two events once it is `stopping`, which may cut a `wait` short. Raises StoreUnavailable.
    """
    progress = Progress(len(chosen))
    yield progress
    began = clock()
    for number, event in enumerate(chosen):
        if rate is not None and (early := began + number / rate - clock()) > 0:
            wait(early)
        if stopping():
            return
        try:
            replay(bridge, event.id)
            progress.replayed[event.webhook] += 1
        except NotFound:
            progress.left_out["pruned meanwhile"] += 1
        except CantReplay:
            progress.left_out[f"the webhook {event.webhook} is no longer defined"] += 1
        progress.last = event.id
        yield progress
