"""Two Conductor servers on one PostgreSQL behind a plain TCP proxy: killed in turn under load, they lose nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testkit import PATIENCE
from testkit.backends import ConductorOnPostgres
from testkit.client import Conductor, wait_for
from tests.acceptance.bridge import Bridge
from tests.acceptance.faults.kills import storm
from tests.acceptance.faults.load import Load, webhooks
from tests.storms import SEED, lasting

SECONDS = lasting(5)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConductorOnPostgres]:
    """Both servers."""
    cluster = ConductorOnPostgres(tmp_path_factory.mktemp("cluster"), say=lambda text: None, servers=2)
    try:
        cluster.start(timeout=300)
        yield cluster
    finally:
        cluster.stop()


@pytest.mark.slow(60)
@pytest.mark.long
@pytest.mark.storm
def test_servers_that_are_killed_in_turn_under_load_lose_nothing_and_leave_nothing_standing(
    cluster: ConductorOnPostgres, tmp_path: Path
) -> None:
    random_ = random.Random(SEED)
    # A start that takes longer than twice the time-out would be made again; each of the servers has a part of a core.
    settings = {"bridge_call_timeout": "6s", "bridge_discovery_interval": "3s"}
    bridge = Bridge(tmp_path / "bridge", cluster.url, webhooks("cluster"), **settings)
    conductor = Conductor(cluster.url)
    load = Load(conductor, bridge, "cluster", SEED)
    load.conductor_is_killed = True
    load.register()

    def kill_one() -> None:
        cluster.kill()
        time.sleep(random_.uniform(1, 3))  # the other one goes on alone
        cluster.start(timeout=300)

    try:
        bridge.start()
        load.run(clients=2)  # the servers are what takes the time
        storm([kill_one] * len(cluster.servers), SECONDS, random_)
        load.stop()
        load.audit()
        for name in load.started_names():
            wait_for(
                lambda name=name: not load.patiently(lambda: conductor.call("GET", f"/workflow/running/{name}")),  # type: ignore[misc]
                f"seed {SEED}: no workflow {name} is left standing",
                timeout=PATIENCE,
                every=1,
            )
    finally:
        bridge.stop()
