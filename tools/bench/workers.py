"""One worker on PostgreSQL, two beside it, and what idle processes take.

A backlog of events is decided and called against a server that answers at once, so that it is never
the limit. Half of the events complete a task, the others start a workflow. All are in the store
before the first is decided. Times are measured between a quarter and nine tenths of the calls: by
then each worker has begun its threads.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from store.open import open_store
from store.records import NewEvent, Task, new_event_id
from store.sql.store import Store
from tools.bench import processor
from tools.bench.fake_conductor import called, fake_conductor, task_of
from tools.bench.figures import Figure, median, spread
from tools.servers.postgres import Postgres
from tools.servers.processes import (
    Failed,
    bridge_environment,
    children_of,
    free_port,
    start_relay,
    start_worker,
)

_WEBHOOKS = 8
"""No two share a workflow. Every second one starts workflows, the others complete tasks."""
_AT_ONCE = 500
_TEXT = "x" * 1700
_HOUR = 3_600_000
_PATIENCE = 300.0
"""Seconds for one round."""


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    rounds: int = 3
    events: int = 10_000
    settling: float = 5.0
    """Seconds until processes that have begun do nothing more of themselves."""
    idle: float = 10.0
    """Seconds."""


def measure(folder: Path, say: Callable[[str], None], effort: Effort = Effort()) -> list[Figure]:
    """Events a second, and parts of a core."""
    (folder / "workers.yaml").write_text(_definitions(), encoding="utf-8")
    rates: dict[int, list[float]] = {1: [], 2: []}
    server = Postgres(durable=True).start()
    try:
        with fake_conductor(folder) as url:
            for _ in range(effort.rounds):
                for number, found in rates.items():
                    say(f"Measuring: workers, {number} at a time\n")
                    found.append(
                        _rate(_environment(folder, server, url), folder, url, number, effort)
                    )
            say("Measuring: what idles\n")
            idle = _idle(_environment(folder, server, url), folder, effort)
    finally:
        server.stop()
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    return [
        Figure(
            "workers", "one: events a second", median(rates[1]), ">= 500", spread(rates[1], "/s")
        ),
        Figure("workers", "two / one", median(ratios), ">= 1.5", spread(rates[2], "/s")),
        Figure("workers", "idle: % of a core, the busiest process", idle, "<= 2"),
    ]


def _name_of(number: int) -> str:
    """A webhook's name, and its workflow's."""
    return f"bench-{number % _WEBHOOKS}"


def _starts(number: int) -> bool:
    return number % _WEBHOOKS % 2 == 1


def _definitions() -> str:
    lines = ["webhooks:"]
    for number in range(_WEBHOOKS):
        name = _name_of(number)
        lines += [
            f"  - name: {name}",
            "    platform: github",
            "    secret: bench-secret-0123456789",
            "    hold: 1h",
        ]
        lines.append(
            f"    starts: [{{workflow: {name}}}]"
            if _starts(number)
            else f"    receivers: {{{name}: any}}"
        )
    return "\n".join(lines) + "\n"


def _environment(folder: Path, server: Postgres, url: str) -> dict[str, str]:
    """For a bridge with a database of its own."""
    return bridge_environment(
        bridge_webhooks=str(folder / "workers.yaml"),
        bridge_database=server.new_database("bench"),
        bridge_relay_metrics="off",
        bridge_worker_metrics="off",
        conductor_server_url=f"{url}/api",
        port=str(free_port()),
    )


def _rate(
    environment: dict[str, str], folder: Path, url: str, workers: int, effort: Effort
) -> float:
    """Events decided and called, a second. Raises Failed."""
    store = open_store(environment["BRIDGE_DATABASE"])
    for number in range(_WEBHOOKS):
        store.pauses.pause(_name_of(number), store.now())
    _wait_in(store, effort.events)
    before = called(url)
    with ExitStack() as stack:
        stack.callback(store.close)
        for _ in range(workers):
            stack.callback(start_worker(environment, folder / f"worker-{free_port()}.log").stop)
        _arrive(store, effort.events)
        processor.wait_until_idle(effort.settling)
        for number in range(_WEBHOOKS):
            store.pauses.resume(_name_of(number))
        store.signals.notify("events")
        first = _when_called(url, before + effort.events // 4)
        began = time.monotonic()
        number = _when_called(url, before + effort.events * 9 // 10) - first
        if not number:
            raise Failed(
                f"{effort.events} events are too few: all calls were made between two looks"
            )
        return number / (time.monotonic() - began)


def _wait_in(store: Store, events: int) -> None:
    """A waiting task for every second event."""
    term = store.leadership.elect("bench", 60)
    assert term is not None
    now = store.now()
    tasks = [
        Task(
            task_of(f"workflow-{number}"),
            f"workflow-{number}",
            _name_of(number),
            "wait",
            {"$.number": number},
            now,
        )
        for number in range(events)
        if not _starts(number)
    ]
    for first in range(0, len(tasks), _AT_ONCE):
        store.tasks.adopt(term, tasks[first : first + _AT_ONCE], now)
    store.leadership.resign(term)


def _arrive(store: Store, events: int) -> None:
    for first in range(0, events, _AT_ONCE):
        store.deliveries.append(
            [_event(number, store.now()) for number in range(first, min(events, first + _AT_ONCE))]
        )


def _event(number: int, now: int) -> NewEvent:
    payload = json.dumps({"number": number, "ref": "refs/heads/main", "text": _TEXT})
    headers = {"x-github-event": "push"}
    delivery_id = f"delivery-{number}"
    return NewEvent(
        new_event_id(),
        _name_of(number),
        now,
        payload,
        headers,
        {},
        now + _HOUR,
        delivery_id=delivery_id,
    )


def _when_called(url: str, number: int) -> int:
    """The calls that were made, once there are so many. Raises Failed if that takes minutes."""
    deadline = time.monotonic() + _PATIENCE
    while (made := called(url)) < number:
        if time.monotonic() > deadline:
            raise Failed(f"the workers have made {made} calls at the fake Conductor, and no more")
        time.sleep(0.01)
    return made


def _idle(environment: dict[str, str], folder: Path, effort: Effort) -> float:
    """Percent of a core that the busiest process of a relay and two workers takes while nothing
    comes."""
    with ExitStack() as stack:
        children = [start_relay(environment, folder / "idle-relay.log")]
        stack.callback(children[0].stop)
        for number in range(2):
            children.append(start_worker(environment, folder / f"idle-worker-{number}.log"))
            stack.callback(children[-1].stop)
        time.sleep(effort.settling)
        pids = [pid for child in children for pid in (child.pid, *children_of(child.pid))]
        before = {pid: processor.seconds(pid) for pid in pids}
        time.sleep(effort.idle)
        return max(100 * (processor.seconds(pid) - before[pid]) / effort.idle for pid in pids)
