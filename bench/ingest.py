"""What a delivery takes, on both stores and with few and many senders.

``python -m bench ingest --beside FOLDER`` compares this checkout with another one, in turn: ``git worktree add FOLDER
COMMIT`` makes one of an earlier commit. Both run with this interpreter and its packages, on the same PostgreSQL server.

On a machine whose cores are all in use, rate and processor time say the same; where others use it too, compare the
latter.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench import load, processor
from bench.checkouts import checkouts, in_turn
from bench.figures import Figure, median, spread
from testkit.postgres import Postgres
from testkit.processes import ROOT, bridge_environment, free_port, start_relay

STORES = ("sqlite", "postgres")
_DEFINITIONS = f"""webhooks:
  - name: bench
    platform: github
    secret: {load.SECRET}
    starts: [{{workflow: bench}}]
"""
_COMMITS = """
SELECT (SELECT xact_commit FROM pg_stat_database WHERE datname = %s), (SELECT wal_sync FROM pg_stat_wal)
"""
_UNTIL_COUNTED = 1.5
"""Seconds until a session has said what it did."""


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    rounds: int = 3
    seconds: float = 4.0
    """Of load."""
    connections: Sequence[int] = (16, 64, 256)


@dataclass(frozen=True)
class Round:
    """What a load was like."""

    rate: float
    relay: float
    """Microseconds of processor time of a delivery; so are the next two."""
    database: float
    sender: float
    commits: float
    """Transactions of PostgreSQL for each delivery."""
    flushes: float
    """Of its write-ahead log, for each delivery."""
    p99: float
    """Milliseconds."""


def measure(
    folder: Path, say: Callable[[str], None], beside: Path | None = None, effort: Effort = Effort()
) -> list[Figure]:
    """This checkout's figures, and how they compare with those of the one `beside` it."""
    definitions = folder / "ingest.yaml"
    definitions.write_text(_DEFINITIONS, encoding="utf-8")
    both = checkouts(beside)
    found: list[Figure] = []
    server = Postgres(durable=True).start()
    try:
        for store in STORES:
            with contextlib.ExitStack() as stack:
                relays = {
                    checkout: stack.enter_context(_running(checkout, store, folder, definitions, server))
                    for checkout in both
                }
                for connections in effort.connections:
                    say(f"Measuring: ingest on {store} with {connections} connections\n")
                    rounds: dict[Path, list[Round]] = {checkout: [] for checkout in both}
                    for checkout in in_turn(both, effort.rounds):
                        rounds[checkout].append(_round(relays[checkout], server, connections, effort.seconds))
                    theirs = None if beside is None else rounds[both[0]]
                    found += _figures(f"{store}, {connections} senders", rounds[ROOT], theirs)
    finally:
        server.stop()
    return found


@dataclass(frozen=True)
class _Relay:
    pid: int
    port: int
    database: str
    """PostgreSQL's name of it; empty on SQLite."""


@contextlib.contextmanager
def _running(checkout: Path, store: str, folder: Path, definitions: Path, server: Postgres) -> Iterator[_Relay]:
    port = free_port()
    url = server.new_database("bench") if store == "postgres" else f"sqlite:///{folder}/{port}.db"
    environment = bridge_environment(
        bridge_webhooks=str(definitions), bridge_database=url, bridge_relay_metrics="off", port=str(port)
    )
    environment["PYTHONPATH"] = environment["PYTHONPATH"].replace(str(ROOT), str(checkout))
    relay = start_relay(environment, folder / f"relay-{port}.log", checkout, checkout)
    try:
        yield _Relay(relay.pid, port, url.rpartition("/")[2] if store == "postgres" else "")
    finally:
        relay.stop()


def _round(relay: _Relay, server: Postgres, connections: int, seconds: float) -> Round:
    assert server.child is not None
    pids = relay.pid, server.child.pid
    before, committed, sending = [*map(_spent, pids)], _committed(server, relay), time.process_time()
    measured = load.run(relay.port, "/webhook/bench", seconds, connections)
    sent = time.process_time() - sending
    after = [*map(_spent, pids)]
    time.sleep(_UNTIL_COUNTED)
    counted = [now - then for now, then in zip(_committed(server, relay), committed, strict=True)]
    us = 1e6 / measured.answers
    relays, database = ((now - then) * us for now, then in zip(after, before, strict=True))
    commits, flushes = (number / measured.answers for number in counted)
    return Round(measured.rate, relays, database, sent * us, commits, flushes, measured.p99)


def _spent(pid: int) -> float:
    return sum(map(processor.seconds, processor.family(pid)))


def _committed(server: Postgres, relay: _Relay) -> tuple[int, int]:
    if not relay.database:
        return 0, 0
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        found = connection.execute(_COMMITS, (relay.database,)).fetchone()
        assert found is not None
        return int(found[0]), int(found[1])


def _figures(area: str, ours: Sequence[Round], theirs: Sequence[Round] | None) -> Iterator[Figure]:
    yield Figure(area, "deliveries a second", median([r.rate for r in ours]), "", _parts(ours))
    if theirs is None:
        return
    compared: list[tuple[str, str, Callable[[Round], float]]] = [
        ("the same, beside the other checkout", ">= 1", lambda r: r.rate),
        ("processor time of relay and database, beside it", "<= 1", lambda r: r.relay + r.database),
    ]
    for what, goal, value in compared:
        ratios = [value(mine) / value(other) for mine, other in zip(ours, theirs, strict=True)]
        yield Figure(area, what, median(ratios), goal, f"{spread(ratios)}; there {_parts(theirs)}")


def _parts(rounds: Sequence[Round]) -> str:
    shares = ", ".join(
        f"{name} {median([getattr(r, name) for r in rounds]):.3g}"
        for name in ("relay", "database", "sender", "commits", "flushes", "p99")
    )
    return f"{spread([r.rate for r in rounds], '/s')}, us a delivery: {shares} ms"
