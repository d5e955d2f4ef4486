"""Chaos on PostgreSQL under load: a relay and three workers, thousands of deliveries, and an audit.

The five scenarios of the published harness for job queues on PostgreSQL
(https://github.com/hardbyte/postgresql-job-queue-benchmarking: the server stopped and started
again, sessions terminated, connections used up, a worker killed, a worker killed again and again),
and what else happens to a database in production: a transaction that is held open, a pooler that
drops everything, machines whose clocks jump.

`TEST_CHAOS_RATE` sets how many deliveries a second the flood has.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from store.errors import StoreUnavailable
from store.open import open_store
from store.sql.store import Store
from tests.acceptance.faults import flood
from tests.acceptance.faults.flood import Flood
from tests.acceptance.faults.ledger import Ledger
from tests.support.chance import SEED
from tests.support.fleet import Fleet
from tests.support.kills import restart_relay, restart_worker
from tests.support.storms import lasting
from tools.servers.client import wait_for
from tools.servers.pgbouncer import PgBouncer
from tools.servers.postgres import Postgres
from tools.servers.processes import Failed
from tools.servers.wall_clock import WallClock

pytestmark = [pytest.mark.long, pytest.mark.storm, pytest.mark.slow]
SECONDS = lasting(6)
RATE = float(os.environ.get("TEST_CHAOS_RATE", "25"))
WORKERS = 3
CALM = 2.0
"""Seconds of load before the chaos begins."""
IDLE_SESSIONS = 300
"""As many as the harness holds; the server has no more."""
JUMPS = (-3600, -600, -90, 90, 600, 3600)
"""Seconds by which a machine's clock is wrong."""


@dataclass
class Scene:
    """What a scenario plays with."""

    server: Postgres
    database: str
    """Its URL, past any pooler."""
    fleet: Fleet
    random: random.Random

    def pause(self, least: float, most: float) -> None:
        time.sleep(self.random.uniform(least, most))

    def session(self) -> psycopg.Connection[tuple[object, ...]]:
        """A session of somebody else on the database."""
        return psycopg.connect(self.database, autocommit=True)


Scenario = Callable[[Scene, float], None]
"""Plays for so many seconds, and leaves everything as it was."""


def server_is_stopped(scene: Scene, seconds: float) -> None:
    """The server is stopped in immediate mode again and again, and is away for up to a quarter of
    the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        scene.server.stop_at_once()
        scene.pause(0, min(20.0, seconds / 4))
        scene.server.start()
        scene.pause(1, 3)


def sessions_are_terminated(scene: Scene, seconds: float) -> None:
    """All other sessions are terminated twice a second, idle ones and those in a transaction."""
    end = time.monotonic() + seconds
    with scene.session() as session:
        while time.monotonic() < end:
            session.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            time.sleep(0.5)


def connections_are_used_up(scene: Scene, seconds: float) -> None:
    """Somebody takes every connection that there is, and even those of the bridge, whose sessions
    are terminated."""
    with ExitStack() as stack, scene.session() as session:
        for _ in range(IDLE_SESSIONS):
            try:
                stack.enter_context(closing(scene.session()))
            except psycopg.OperationalError:
                break
        time.sleep(seconds / 2)
        session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND application_name = 'webhook-bridge'"
        )
        end = time.monotonic() + seconds / 2
        while time.monotonic() < end:
            with suppress(psycopg.OperationalError):
                stack.enter_context(closing(scene.session()))
            time.sleep(0.01)


def processes_are_killed(scene: Scene, seconds: float) -> None:
    """kill -9 of a worker or the relay, at random, at least of each once."""
    end = time.monotonic() + seconds
    kills = [lambda: restart_relay(scene.fleet.relays[0])]
    kills += [lambda host=host: restart_worker(host) for host in scene.fleet.hosts]  # type: ignore[misc]
    todo = scene.random.sample(kills, len(kills))
    while todo or time.monotonic() < end:
        (todo.pop() if todo else scene.random.choice(kills))()
        scene.pause(0, 2)


def a_transaction_is_held_open(scene: Scene, seconds: float) -> None:
    """A snapshot, as pg_dump holds one, and a transaction with a number, which keeps later ones
    from looking old."""
    with scene.session() as snapshot, scene.session() as numbered:
        snapshot.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        snapshot.execute("SELECT count(*) FROM webhook_bridge.events")
        numbered.execute("BEGIN")
        numbered.execute("SELECT txid_current()")
        time.sleep(seconds)


SCENARIOS: tuple[Scenario, ...] = (
    processes_are_killed,  # first, so that all others happen to the same processes
    server_is_stopped,
    sessions_are_terminated,
    connections_are_used_up,
    a_transaction_is_held_open,
)


@pytest.fixture
def play(own_postgres: Postgres, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Plays scenarios under load, one after the other with the same processes, and audits what
    became of each."""
    ledger = Ledger(flood.CHAINS)
    made: list[Fleet] = []

    def play(
        *scenarios: Scenario,
        database: str,
        by: str = "",
        prepare: Callable[[Fleet], None] | None = None,
    ) -> None:
        """`by`: the URL by which the bridges reach the database, if it is another."""
        fleet = Fleet(
            tmp_path, ledger.url, flood.DEFINITIONS, *[by or database] * WORKERS, relays=1
        )
        made.append(fleet)
        if prepare:
            prepare(fleet)
        fleet.start()
        sent = Flood(ledger, fleet.github, RATE)
        scene = Scene(own_postgres, database, fleet, random.Random(SEED))
        for scenario in scenarios:
            print(f"\n{scenario.__name__}, seed {SEED}")
            sent.run()
            time.sleep(CALM)
            scenario(scene, SECONDS)
            ended = time.monotonic()
            assert all(host.worker and host.worker.running for host in fleet.hosts), (
                "no worker gives up"
            )
            with closing(
                _opened(database)
            ) as store:  # one from before would have the connections that broke
                flood.has_effect(store, sent)
                recovered = time.monotonic() - ended
                sent.stop()
                sent.audit(store)
                assert store.quarantine.counts() == {}, "nothing was set aside"
            print(
                f"{sent.events} deliveries so far, {sent.sent_again} sent again,"
                f" a new one carried out {recovered:.1f} s after the end"
            )
        with closing(_opened(database)) as store:
            _each_leads(fleet, store, sent)
            sent.audit(store)

    yield play
    for fleet in made:
        fleet.stop()
    ledger.stop()


def _opened(database: str) -> Store:
    """The store, once its database lets somebody in again."""

    def opened() -> Store | None:
        with suppress(StoreUnavailable):
            return open_store(database)
        return None

    return wait_for(opened, "the database can be used")  # type: ignore[return-value]


def _each_leads(fleet: Fleet, store: Store, sent: Flood) -> None:
    """Stops the worker that leads until none is left: each of them leads and calls, without having
    been started anew since it was last killed."""
    left = list(fleet.hosts)
    while left:
        flood.has_effect(store, sent)
        holder, _ = wait_for(store.leadership.leader, "somebody leads")
        leading = next(host for host in left if host.worker and f":{host.worker.pid}:" in holder)
        assert leading.stop_worker() == 0
        left.remove(leading)


def test_nothing_is_lost_or_done_twice_or_out_of_order_whatever_happens_to_processes_and_database(
    play: Callable[..., None], own_postgres: Postgres
) -> None:
    play(*SCENARIOS, database=own_postgres.new_database())


@pytest.fixture
def pooled(own_postgres: Postgres, tmp_path: Path) -> Iterator[tuple[str, PgBouncer]]:
    """A database's URL, and a pooler for it. Name it before `play`: bridges stop at once while they
    have their database."""
    database = own_postgres.new_database()
    try:
        pooler = PgBouncer(database, tmp_path / "pgbouncer.log", sessions=20).start()
    except Failed as error:
        pytest.skip(str(error))
    yield database, pooler
    pooler.stop()


def test_nothing_is_lost_or_done_twice_or_out_of_order_while_a_pooler_drops_everything(
    pooled: tuple[str, PgBouncer], play: Callable[..., None]
) -> None:
    database, pooler = pooled

    def pooler_is_killed(scene: Scene, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pooler.kill()
            scene.pause(0, 3)
            pooler.start()
            scene.pause(0, 3)

    play(pooler_is_killed, database=database, by=pooler.url)


@pytest.mark.skipif(not WallClock.is_possible(), reason="needs Linux and a C compiler")
def test_nothing_is_lost_or_done_twice_or_out_of_order_while_the_machines_clocks_jump(
    play: Callable[..., None], own_postgres: Postgres, tmp_path: Path
) -> None:
    clocks: list[WallClock] = []

    def give_clocks(fleet: Fleet) -> None:
        for host in fleet.hosts:
            clocks.append(WallClock(host.folder))
            host.environment.update(clocks[-1].environment)

    def clocks_jump(scene: Scene, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            scene.random.choice(clocks).set(scene.random.choice(JUMPS))
            scene.pause(0, 2)

    play(clocks_jump, database=own_postgres.new_database(), prepare=give_clocks)
