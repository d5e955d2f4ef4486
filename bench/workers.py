"""Four workers on PostgreSQL with a backlog, against a server that is never the limit: events decided and called.

``python -m bench workers --beside FOLDER`` compares this checkout with another one, in turn, on the same PostgreSQL
server: ``git worktree add FOLDER COMMIT`` makes one of an earlier commit. Both run with this interpreter and its
packages. Each round has a database of its own, made and filled by the checkout whose workers then run, so schemas may
differ. ``--workers N`` runs another number of workers.

Half of the events complete a task, the others start a workflow. All are in the store before the first is decided.
Times are measured between a quarter and nine tenths of the calls: by then each worker has begun its threads. On a
machine whose cores are all in use, rate and processor time say the same; where others use it too, compare the latter.
The log is counted from before the first decision to after the last result: decisions run ahead of calls, in one round
further than in another.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from bench import backlog, processor
from bench.checkouts import checkouts, in_turn
from bench.fake_conductor import called, fake_conductor
from bench.figures import Figure, median, spread
from testkit.postgres import Postgres
from testkit.processes import ROOT, Child, Failed, bridge_environment, free_port, start_worker

_PATIENCE = 300.0
"""Seconds for one round."""


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    rounds: int = 3
    events: int = 10_000
    workers: int = 4
    settling: float = 3.0
    """Seconds until the workers have begun, and one of them leads."""


@dataclass(frozen=True)
class Round:
    """What one round measured; times are processor milliseconds an event."""

    rate: float
    """Events a second."""
    leader: float
    """The busiest worker's."""
    workers: float
    """All workers' together."""
    database: float
    server: float
    """The fake Conductor's."""
    wal: float = 0
    """Bytes an event."""


def measure(
    folder: Path, say: Callable[[str], None], beside: Path | None = None, effort: Effort = Effort()
) -> list[Figure]:
    """This checkout's figures, and how they compare with those of the one `beside` it."""
    (folder / "workers.yaml").write_text(backlog.definitions(), encoding="utf-8")
    both = checkouts(beside)
    rounds: dict[Path, list[Round]] = {checkout: [] for checkout in both}
    server = Postgres(durable=True).start()
    try:
        for checkout in in_turn(both, effort.rounds):
            say(f"Measuring: {effort.workers} workers of {checkout}\n")
            rounds[checkout].append(_round(checkout, folder, server, effort))
    finally:
        server.stop()
    return _figures(rounds[ROOT], None if beside is None else rounds[both[0]], effort.workers)


def _figures(ours: Sequence[Round], theirs: Sequence[Round] | None, workers: int) -> list[Figure]:
    area = f"{workers} workers"
    found = [
        Figure(area, "events decided and called, a second", median([r.rate for r in ours]), "", _parts(ours)),
        Figure(area, "bytes of WAL an event", median([r.wal for r in ours]), ""),
    ]
    if theirs is None:
        return found
    compared: list[tuple[str, str, Callable[[Round], float]]] = [
        ("the same, beside the other checkout", ">= 1", lambda r: r.rate),
        ("processor time an event, beside it", "<= 1", lambda r: r.workers + r.database),
        ("bytes of WAL an event, beside it", "<= 1", lambda r: r.wal),
    ]
    for what, goal, value in compared:
        ratios = [value(mine) / value(other) for mine, other in zip(ours, theirs, strict=True)]
        found.append(Figure(area, what, median(ratios), goal, f"{spread(ratios)}; there {_parts(theirs)}"))
    return found


def _parts(rounds: Sequence[Round]) -> str:
    names = ("leader", "workers", "database", "server")
    shares = ", ".join(f"{name} {median([getattr(r, name) for r in rounds]):.3g}" for name in names)
    return f"{spread([r.rate for r in rounds], '/s')}, ms an event: {shares}"


def _round(checkout: Path, folder: Path, server: Postgres, effort: Effort) -> Round:
    with fake_conductor(folder) as (conductor, url):
        environment = bridge_environment(
            bridge_webhooks=str(folder / "workers.yaml"),
            bridge_database=server.new_database("bench"),
            bridge_worker_metrics="off",
            bridge_log_format="json",
            conductor_server_url=f"{url}/api",
        )
        environment["PYTHONPATH"] = environment["PYTHONPATH"].replace(str(ROOT), str(checkout))
        _step("prepare", environment, checkout, effort.events)
        log = folder / f"worker-{free_port()}.log"
        workers = [start_worker(environment, log, checkout) for _ in range(effort.workers)]
        try:
            time.sleep(effort.settling)
            _step("fill", environment, checkout, effort.events)
            processor.wait_until_idle(effort.settling)
            wal = _wal(environment["BRIDGE_DATABASE"])
            _step("release", environment, checkout, effort.events)
            found = _watch(url, workers, server.child, conductor, effort.events)
            _when_called(url, effort.events)
            processor.wait_until_idle(effort.settling)
            return replace(found, wal=(_wal(environment["BRIDGE_DATABASE"]) - wal) / effort.events)
        finally:
            for worker in workers:
                worker.stop()
            server.drop_database(environment["BRIDGE_DATABASE"])


def _watch(url: str, workers: Sequence[Child], server: Child | None, conductor: Child, events: int) -> Round:
    """All but the log."""
    first = _when_called(url, events // 4)
    began, times_before = time.monotonic(), _times(workers, server, conductor)
    last = _when_called(url, events * 9 // 10)
    took, times = time.monotonic() - began, _times(workers, server, conductor)
    number = last - first
    if number == 0:
        raise Failed(f"{events} events are too few: all calls were made between two looks")
    spent = [1000 * (after - before) / number for before, after in zip(times_before, times, strict=True)]
    *of_workers, of_database, of_conductor = spent
    return Round(number / took, max(of_workers), sum(of_workers), of_database, of_conductor)


def _times(workers: Sequence[Child], server: Child | None, conductor: Child) -> list[float]:
    """Processor seconds of each worker, of the database and of the fake Conductor."""
    database = processor.family(server.pid) if server is not None else []
    return [
        *(processor.seconds(worker.pid) for worker in workers),
        sum(map(processor.seconds, database)),
        processor.seconds(conductor.pid),
    ]


def _wal(database: str) -> int:
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT (pg_current_wal_lsn() - '0/0')::bigint").fetchone()
    assert found is not None
    return int(found[0])


def _when_called(url: str, number: int) -> int:
    """The calls that were made, once there are so many. Raises Failed if that takes minutes."""
    deadline = time.monotonic() + _PATIENCE
    while (made := called(url)) < number:
        if time.monotonic() > deadline:
            raise Failed(f"the workers have made {made} calls at the fake Conductor, and no more")
        time.sleep(0.01)
    return made


def _step(step: str, environment: dict[str, str], checkout: Path, events: int) -> None:
    """Runs one step of `bench.backlog` as the checkout's code, which may not have it."""
    text = (ROOT / "bench" / "backlog.py").read_text(encoding="utf-8")
    command = [sys.executable, "-c", text, step, environment["BRIDGE_DATABASE"], str(events)]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"the store can't be prepared ({step}): {done.stderr.strip()[-500:]}")
