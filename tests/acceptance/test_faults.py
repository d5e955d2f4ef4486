"""Nothing lost and nothing twice, whatever is killed: a load, faults at random moments, and an
audit of Conductor."""

from __future__ import annotations

import random
import signal
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.faults.load import Load, webhooks
from tests.support.bridge import Bridge
from tests.support.chance import SEED
from tests.support.faulty_proxy import FAULTS, Fault, FaultyProxy
from tests.support.kills import kills, storm
from tests.support.storms import lasting
from tools.servers import PATIENCE
from tools.servers.backends import Conductors
from tools.servers.client import Conductor

SECONDS = lasting(5)


@pytest.fixture
def load(
    conductor_server: Conductors,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    database_settings: Callable[[], dict[str, str]],
) -> Iterator[Load]:
    """A bridge at Conductor, and the load for it."""
    label = f"{zlib.crc32(request.node.name.encode()):08x}"
    # A start that takes longer than twice the time-out would be made again.
    settings = {"bridge_call_timeout": "5s", "bridge_discovery_interval": "3s"}
    bridge = Bridge(
        tmp_path / "bridge",
        conductor_server.url,
        webhooks(label),
        **settings,
        **database_settings(),
    )
    load = Load(Conductor(conductor_server.url), bridge, label, SEED)
    load.register()
    yield load
    bridge.stop()


@pytest.mark.server
@pytest.mark.long
@pytest.mark.storm
def test_every_accepted_event_has_its_effect_exactly_once_while_every_process_is_killed(
    load: Load, conductor_server: Conductors
) -> None:
    bridge, random_ = load.bridge.start(), random.Random(SEED)
    load.conductor_is_killed = True
    load.run(clients=4)
    rounds = storm(kills(bridge, conductor_server), SECONDS, random_, pause=2.5)
    load.stop()
    load.audit()
    print(
        f"seed {SEED}: {load.events} events in {rounds} rounds, {load.retries} deliveries sent again"
    )
    assert load.events > 50


@pytest.mark.server
@pytest.mark.long  # tests/worker/leader/test_rules.py breaks simulated calls in the same ways
@pytest.mark.storm
def test_calls_that_break_in_every_way_have_their_effect_exactly_once(
    load: Load, conductor_server: Conductors
) -> None:
    random_ = random.Random(SEED)

    def decide(method: str, path: str) -> Fault | None:
        """A quarter of all calls breaks, polls among them: a lost poll's tasks are known to the
        index alone."""
        return random_.choice(FAULTS) if random_.random() < 0.25 else None

    proxy = FaultyProxy(conductor_server.port, decide, late=0.7, hang=1.5)
    try:
        load.bridge.environment.update(CONDUCTOR_SERVER_URL=proxy.url, BRIDGE_CALL_TIMEOUT="1s")
        load.bridge.start()
        load.run(clients=4, scenarios=max(8, int(SECONDS / 2)))
        load.join()
        # A try that looks three times for an earlier start seldom succeeds here.
        load.audit(patience=5 * PATIENCE)
    finally:
        load.bridge.stop()
        proxy.stop()
    print(f"seed {SEED}: {load.events} events, {dict(proxy.counts)}")
    assert set(proxy.counts) == set(FAULTS)


@pytest.mark.slow(30)
@pytest.mark.long
@pytest.mark.storm
def test_a_worker_that_freezes_is_replaced_and_does_nothing_twice_when_it_wakes(load: Load) -> None:
    bridge, random_ = load.bridge.start(), random.Random(SEED)
    workers = [bridge.worker, bridge.start_worker()]
    load.run(clients=4)
    for number in range(max(1, int(SECONDS / 10))):
        frozen = workers[number % 2]
        assert frozen is not None
        time.sleep(random_.uniform(0.5, 1.5))
        frozen.signal(signal.SIGSTOP)
        # The other decides once the lease has run out, and takes the claims over once they have. If
        # it froze within a transaction, the store is locked meanwhile, and deliveries are answered
        # with 503.
        time.sleep(random_.uniform(9, 11))
        frozen.signal(signal.SIGCONT)
    load.stop()
    load.audit()
    for worker in workers:
        assert worker is not None
        assert worker.running, f"exit code {worker.process.returncode}"
        assert worker.stop() == 0


@pytest.mark.long
@pytest.mark.storm
def test_two_workers_share_the_load_while_they_are_killed_in_turn(load: Load) -> None:
    bridge, random_ = load.bridge, random.Random(SEED)
    bridge.start()
    workers = [bridge.worker, bridge.start_worker()]
    load.run(clients=4)
    for number in range(max(2, int(SECONDS / 4))):
        time.sleep(random_.uniform(0.5, 2))
        worker = workers[number % 2]
        assert worker is not None
        worker.kill()
        workers[number % 2] = bridge.start_worker()
    load.stop()
    load.audit()
    for worker in workers:
        assert worker is not None
        worker.stop()


@pytest.mark.long  # test_postgres_faults.py has two relays too
def test_several_relays_on_one_store_take_turns(load: Load) -> None:
    """A delivery that one relay accepted is a duplicate to another."""
    bridge = load.bridge.start()
    database = bridge.environment["BRIDGE_DATABASE"]
    second = Bridge(
        bridge.folder, load.conductor.url, webhooks(load.label), bridge_database=database
    )
    second.start_relay()
    try:
        load.run(clients=2, scenarios=8)
        body = {"to": "nobody"}
        first = bridge.github("waits", body, delivery="the same delivery")
        again = second.github("waits", body, delivery="the same delivery")
        assert (first.status, again.status) == (200, 200)
        assert again.json == {"eventId": first.json["eventId"], "duplicate": True}
        load.join()
        load.audit()
    finally:
        second.stop()
