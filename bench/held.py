"""A transaction that is held open while events flow, as pg_dump or a long report holds one: what that makes dearer.

``python -m bench held`` lets events live in two databases in turn: stored in groups, decided, claimed and recorded, as
relays and workers do, with a look for more after each step. In one of them another session holds a snapshot from the
beginning, so that nothing that events leave behind can be cleared away. Measured is the processor time of the server's
own processes over the last events, read in nanoseconds from the kernel, so other load on the machine changes little.

``--events N`` lets more events flow: what must not grow with them shows by that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench import processor
from bench.figures import Figure
from store.open import open_store
from store.records import Decision, NewEvent, NewTarget, Result, Term, new_event_id
from store.sql.store import Store
from testkit.postgres import Postgres

_TERM = Term("bench")
_GROUP = 8
"""Deliveries that share a commit."""
_AT_ONCE = 64
"""Events that are decided, and results that are recorded, in one transaction."""
_WEBHOOKS = 4
_PAYLOAD = json.dumps({"action": "opened", "number": 1, "text": "x" * 300})
_PROCESSES = """
SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'webhook-bridge'
"""


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    events: int = 20_000
    """In each database."""
    measured: int = 2_048
    """The last of these."""


class _Flow:
    """Events that live in one database, and what each step of their lives has cost."""

    def __init__(self, url: str) -> None:
        self._store = open_store(url)
        self._asking = psycopg.connect(url, autocommit=True)
        self.spent: dict[str, int] = {}
        """step → nanoseconds of the server's processor time."""
        assert self._store.leadership.elect(_TERM.holder, 86_400)

    @contextmanager
    def step(self, name: str) -> Iterator[Store]:
        """Counts what is done with the store meanwhile as this step's."""
        before = self._nanoseconds()
        yield self._store
        self.spent[name] = self.spent.get(name, 0) + self._nanoseconds() - before

    def _nanoseconds(self) -> int:
        return sum(processor.nanoseconds(pid) for (pid,) in self._asking.execute(_PROCESSES))

    def cycle(self) -> None:
        """`_AT_ONCE` events from their arrival to their end."""
        with self.step("store") as store:
            for number in range(_AT_ONCE // _GROUP):
                now = store.now()
                ids = [new_event_id() for _ in range(_GROUP)]
                webhook = f"bench-{number % _WEBHOOKS}"
                store.deliveries.append(
                    [NewEvent(id_, webhook, now, _PAYLOAD, {}, {}, now, delivery_id=f"d-{id_}") for id_ in ids]
                )
        with self.step("agenda") as store:
            events = store.decisions.agenda(_AT_ONCE * 2).undecided
        with self.step("decide") as store:
            made = [
                Decision(event.id, "pending", "no", (NewTarget("start", "bench", correlation_id=event.id),))
                for event in events
            ]
            store.decisions.decide(_TERM, made, [], store.now(), None, 0)
        with self.step("claim") as store:
            now = store.now()
            claimed = store.claims.claim("bench", now, now - 20_000, _AT_ONCE * 2)
            assert len(claimed) == len(events) == _AT_ONCE
        with self.step("record") as store:
            results = [Result(target, "done", workflow_id=f"w-{target.id}") for target in claimed]
            store.claims.record_results("bench", results, store.now())
        with self.step("agenda, nothing to decide") as store:
            assert not store.decisions.agenda(_AT_ONCE).undecided
        with self.step("claim, nothing due") as store:
            now = store.now()
            assert not store.claims.claim("bench", now, now - 20_000, _AT_ONCE)
            store.claims.next_due()

    def close(self) -> None:
        """Ends its sessions."""
        self._asking.close()
        self._store.close()


def measure(folder: Path, say: Callable[[str], None], effort: Effort = Effort()) -> list[Figure]:
    """What the last events cost with the snapshot, as a multiple of what they cost without it."""
    server = Postgres().start()
    say(f"Measuring: a snapshot that is held while {effort.events:,} events flow\n")
    held_in = server.new_database("held")
    free, held = _Flow(server.new_database("free")), _Flow(held_in)
    holder = psycopg.connect(held_in)
    try:
        holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT count(*) FROM webhook_bridge.events")
        cycles, measured = effort.events // _AT_ONCE, max(1, effort.measured // _AT_ONCE)
        for number in range(cycles):
            if number == cycles - measured:
                free.spent, held.spent = {}, {}
            for flow in (free, held) if number % 2 else (held, free):
                flow.cycle()
        return _figures(free.spent, held.spent, measured * _AT_ONCE)
    finally:
        holder.close()
        free.close()
        held.close()
        server.stop()


def _figures(free: dict[str, int], held: dict[str, int], events: int) -> list[Figure]:
    def detail(before: int, after: int) -> str:
        return f"{after / events / 1000:.0f} µs of the server's an event, {before / events / 1000:.0f} without"

    before, after = sum(free.values()), sum(held.values())
    found = [Figure("held", "an event's life", after / before, "<= 1.5", detail(before, after))]
    for name in free:
        found.append(Figure("held", name, held[name] / free[name], "", detail(free[name], held[name])))
    return found
