"""Two relays and two workers on one PostgreSQL, and everything that can happen to them and to it."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import subprocess
import tempfile
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from store.open import open_store
from store.sql.event_search import EventFilter
from tests.acceptance.faults.load import Load, webhooks
from tests.support.bridge import Bridge
from tests.support.chance import SEED
from tests.support.fleet import Fleet
from tests.support.kills import restart_relay, restart_worker, storm
from tests.support.storms import lasting
from tools.servers.client import Answer, Conductor, http, wait_for
from tools.servers.namespace import Namespace
from tools.servers.postgres import Postgres, unprivileged
from tools.servers.processes import Child, Failed, free_port

pytestmark = pytest.mark.long
SECONDS = lasting(5)
ROOM = 200 * 1024**2
"""Bytes of the small disk."""


@pytest.fixture
def fleet_of(
    conductor_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., tuple[Fleet, Load]]]:
    """Makes a fleet on these databases, a host each, and a load for it."""
    made: list[Fleet] = []

    def make(*databases: str) -> tuple[Fleet, Load]:
        label = f"{zlib.crc32(request.node.name.encode()):08x}"
        fleet = Fleet(tmp_path / "fleet", conductor_url, webhooks(label), *databases)
        made.append(fleet)
        load = Load(Conductor(conductor_url), fleet, label, SEED)  # type: ignore[arg-type]
        load.register()
        return fleet, load

    yield make
    for fleet in made:
        fleet.stop()


@pytest.mark.slow(40)
@pytest.mark.storm
def test_nothing_is_lost_or_done_twice_while_relays_workers_and_postgresql_are_killed(
    own_postgres: Postgres, fleet_of: Callable[..., tuple[Fleet, Load]]
) -> None:
    database = own_postgres.new_database()
    fleet, load = fleet_of(database, database)
    fleet.start()
    random_ = random.Random(SEED)

    def restart_postgres() -> None:
        own_postgres.kill()
        time.sleep(random_.uniform(0, 3))
        own_postgres.start()

    faults: list[Callable[[], None]] = [
        restart_postgres,
        *(lambda host=host: restart_relay(host) for host in fleet.hosts),  # type: ignore[misc]
        *(lambda host=host: restart_worker(host) for host in fleet.hosts),  # type: ignore[misc]
        restart_postgres,
    ]
    load.run(clients=4)
    rounds = storm(faults, SECONDS, random_)
    load.stop()
    load.audit()
    print(
        f"seed {SEED}: {load.events} events in {rounds} rounds, {load.retries} deliveries sent again"
    )


# --- a standby takes over ---


class Standby:
    """A copy of the server that its commits wait for, and that can take its place."""

    def __init__(self, primary: Postgres) -> None:
        # Where whoever runs the server can reach them.
        programs = self._programs = primary._programs
        if not (programs / "pg_basebackup").exists():
            pytest.skip(f"{primary.origin} has no pg_basebackup, which makes a standby")
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="bridge-standby-"))
        if os.geteuid() == 0:
            shutil.chown(self.folder, "nobody", "nogroup")
        source = ["-h", "127.0.0.1", "-p", str(primary.port), "-U", "bridge"]
        copy = [
            str(programs / "pg_basebackup"),
            *source,
            "-D",
            str(self.folder / "data"),
            "-R",
            "-X",
            "stream",
        ]
        done = subprocess.run(
            [*unprivileged(), *copy, "-c", "fast"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            pytest.skip(f"no standby can be made here: {done.stderr.strip()}")
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "300",
            "synchronous_standby_names": "",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(programs / "postgres"), "-D", str(self.folder / "data"), *options]
        self.child = Child(
            "the standby",
            [*unprivileged(), *command],
            self.folder / "standby.log",
            folder=self.folder,
        )
        self.child.wait_until(lambda: self._ask("SELECT 1") == "1")

    def _ask(self, statement: str) -> str:
        command = [str(self._programs / "psql"), "-X", "-A", "-t", "-w", "-c", statement]
        url = f"postgresql://bridge@127.0.0.1:{self.port}/postgres"
        return subprocess.run(
            [*command, url], capture_output=True, text=True, check=False
        ).stdout.strip()

    def promote(self) -> None:
        """It takes writes from now on."""
        assert self._ask("SELECT pg_promote()") == "t"

    def stop(self) -> None:
        self.child.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def standby(own_postgres: Postgres) -> Iterator[Standby]:
    """One of that server. Name it before `fleet_of`: bridges stop at once while they have their
    database."""
    standby = Standby(own_postgres)
    yield standby
    standby.stop()


def test_a_synchronous_standby_takes_over_with_all_that_was_answered(
    own_postgres: Postgres, standby: Standby, fleet_of: Callable[..., tuple[Fleet, Load]]
) -> None:
    database = own_postgres.new_database()
    own_postgres._psql("ALTER SYSTEM SET synchronous_standby_names = '*'")
    own_postgres._psql("SELECT pg_reload_conf()")
    parts = urlsplit(database)
    both = f"{parts.username}@127.0.0.1:{own_postgres.port},127.0.0.1:{standby.port}"
    url = f"postgresql://{both}{parts.path}"
    fleet, load = fleet_of(url, url)
    fleet.start()
    load.run(clients=4)
    time.sleep(4)
    own_postgres.kill()
    time.sleep(1)
    standby.promote()
    before = load.events
    wait_for(lambda: load.events > before + 20, "deliveries are accepted on the new primary")
    load.stop()
    load.audit()
    print(f"seed {SEED}: {load.events} events, {load.retries} deliveries sent again")


# --- cut off ---


def at(database: str, place: str) -> str:
    """The database's URL by another way."""
    return urlsplit(database)._replace(netloc=f"bridge@{place}").geturl()


def worker_says(host: Bridge) -> str:
    assert host.worker is not None
    return host.worker.output()


def decided(log: str) -> set[str]:
    """The events that a worker decided, by its log."""
    return set(re.findall(r'"event_id": "([^"]+)".*"event decided"', log))


@pytest.fixture
def network() -> Iterator[Namespace]:
    """Two links, of which the first can be taken down."""
    if Postgres().given:
        pytest.skip("needs a server of its own")
    try:
        network = Namespace(links=2)
    except Failed as reason:
        pytest.skip(str(reason))
    with network:
        yield network


@pytest.fixture
def databases(network: Namespace) -> Iterator[tuple[str, str]]:
    """One database, as its URLs by either link."""
    cut_off, way = network.addresses
    server = Postgres(within=network.within, host=way).start()
    database = server.new_database()
    yield at(database, f"{cut_off}:{server.port}"), database
    server.stop()


def test_a_host_that_is_cut_off_refuses_and_calls_nothing_and_others_take_over(
    network: Namespace, databases: tuple[str, str], fleet_of: Callable[..., tuple[Fleet, Load]]
) -> None:
    fleet, load = fleet_of(*databases)
    there, here = fleet.hosts
    there.start()  # its worker decides
    here.start()
    load.run(clients=4)
    time.sleep(3)
    network.set_first_link("down")
    key = str(uuid.uuid4())
    # While it is cut off: a relay that waits for the database would answer nothing.
    for _ in range(3):
        answer = there.github("waits", {"to": key}, delivery=key, once=True)
        assert answer.status == 503, answer.text
    store = open_store(databases[1])
    first = store.leadership.leader()
    wait_for(
        lambda: store.leadership.leader() not in (None, first) or first is None,
        "the other worker decides",
    )
    before, said = load.events, len(worker_says(there))
    wait_for(lambda: load.events > before + 20, "deliveries go on at the other relay")
    its_own = decided(worker_says(there)[:said])
    assert not decided(worker_says(there)[said:]), "nothing more is decided"
    # A call that it began before may take as long as any; what the other one decided it may not
    # call for.
    assert (
        set(re.findall(r'"event_id": "([^"]+)".*"target done"', worker_says(there)[said:]))
        <= its_own
    )
    network.set_first_link("up")
    wait_for(lambda: http("GET", f"{there.url}/readyz").status == 200, "the relay is ready again")
    wait_for(lambda: accepted(there, key), "the relay accepts again")
    events = store.queries.events(EventFilter(text=key))
    assert len(events) == 1, "what was refused was not kept twice"
    here.stop_worker()  # it may leave nothing to the other one
    mended = len(worker_says(there))
    wait_for(lambda: "target done" in worker_says(there)[mended:], "its worker calls again")
    load.stop()
    load.audit()
    store.close()


def accepted(host: Bridge, key: str) -> Answer | None:
    answer = host.github("waits", {"to": key}, delivery=key, once=True)
    return answer if answer.status == 200 else None


# --- full ---


@pytest.fixture
def cramped_postgres(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Postgres]:
    """A server on that file system. Name it before `fleet_of`, as `standby`."""
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(small_disk))
        server = Postgres()
        if server.given:
            pytest.skip("the disk of a PostgreSQL that was given can't be filled")
        server.start()
    yield server
    server.stop()


def test_a_full_disk_under_the_database_is_answered_with_503_until_there_is_room(
    small_disk: Path, cramped_postgres: Postgres, fleet_of: Callable[..., tuple[Fleet, Load]]
) -> None:
    database = cramped_postgres.new_database()
    fleet, load = fleet_of(database, database)
    fleet.start()
    load.run(clients=2, scenarios=6)
    load.join()
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65536))
    refused = wait_for(lambda: a_refused_one(fleet), "the disk is full")
    assert http("GET", f"{fleet.hosts[0].url}/healthz").status == 200
    ballast.unlink()

    def accepts_again() -> Answer | None:
        # With no room for its log a server stops, at once or as it recovers.
        if not cramped_postgres.healthy():
            cramped_postgres.kill()
            cramped_postgres.start()
        return accepted(fleet.hosts[0], refused)

    wait_for(accepts_again, "there is room again")
    load.run(clients=2, scenarios=6)
    load.join()
    load.audit()


def a_refused_one(fleet: Fleet) -> str | None:
    """The key of a large delivery that was refused; None if all were accepted."""
    for _ in range(20):
        key = str(uuid.uuid4())
        filler = "".join(random.choices("abcdefgh", k=100_000))  # no compression makes room
        answer = fleet.github("waits", {"to": key, "filler": filler}, delivery=key, once=True)
        if answer.status != 200:
            assert answer.status == 503, answer.text
            return key
    return None
