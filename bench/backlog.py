"""``python -m bench.backlog STEP DATABASE EVENTS``: prepares a store for `bench.workers`, in three steps.

It uses only the store's protocols, and nothing else of the benchmarks, since older checkouts run it too.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence

from store.errors import StoreUnavailable
from store.open import open_store
from store.records import NewEvent, Task, new_event_id
from store.sql.store import Store

WEBHOOKS = 8
"""Each of its own part: no two share a workflow. Every second one starts workflows, the others complete tasks."""
_STEP = 500
_TEXT = "x" * 1700
_HOUR = 3_600_000


def name_of(number: int) -> str:
    """A webhook's name, and its workflow's."""
    return f"bench-{number}"


def definitions() -> str:
    """The webhooks, in YAML."""
    lines = ["webhooks:"]
    for number in range(WEBHOOKS):
        name = name_of(number)
        lines += [f"  - name: {name}", "    platform: github", "    secret: bench-secret-0123456789", "    hold: 1h"]
        lines.append(f"    starts: [{{workflow: {name}}}]" if number % 2 else f"    receivers: {{{name}: any}}")
    return "\n".join(lines) + "\n"


def prepare(store: Store, events: int) -> None:
    """A waiting task for every second event. All webhooks are paused, so that nothing is decided yet."""
    for number in range(WEBHOOKS):
        store.pauses.pause(name_of(number), store.now())
    term = store.leadership.elect("bench", 60)
    assert term is not None
    waiting = [number for number in range(events) if not number % WEBHOOKS % 2]
    for first in range(0, len(waiting), _STEP):
        tasks = [_task(number, store.now()) for number in waiting[first : first + _STEP]]
        store.tasks.adopt(term, tasks, store.now())
    store.leadership.resign(term)


def _task(number: int, now: int) -> Task:
    workflow_id = f"workflow-{number}"
    workflow = name_of(number % WEBHOOKS)
    return Task(f"task-of-{workflow_id}", workflow_id, workflow, "wait", {"$.number": number}, now)


def fill(store: Store, events: int) -> None:
    """The events, which a worker that runs already doesn't take for older than itself."""
    for first in range(0, events, _STEP):
        now = store.now()
        append(
            store,
            [
                NewEvent(
                    new_event_id(),
                    name_of(number % WEBHOOKS),
                    now,
                    json.dumps({"number": number, "ref": "refs/heads/main", "text": _TEXT}),
                    {"x-github-event": "push"},
                    {},
                    now + _HOUR,
                    delivery_id=f"delivery-{number}",
                )
                for number in range(first, min(events, first + _STEP))
            ],
        )


def append(store: Store, events: Sequence[NewEvent]) -> None:
    """Stores events with delivery ids. As senders do, it tries again if that isn't done in time, as on a busy disk."""
    for _ in range(3):
        try:
            store.deliveries.append(events)
        except StoreUnavailable:
            time.sleep(1)
        else:
            return
    store.deliveries.append(events)


def release(store: Store, events: int) -> None:
    """There are events to decide from now on."""
    for number in range(WEBHOOKS):
        store.pauses.resume(name_of(number))
    name = "notify" if hasattr(store.signals, "notify") else "tell"  # as older checkouts call it
    getattr(store.signals, name)("events")


if __name__ == "__main__":
    opened = open_store(sys.argv[2])
    {"prepare": prepare, "fill": fill, "release": release}[sys.argv[1]](opened, int(sys.argv[3]))
    opened.close()
