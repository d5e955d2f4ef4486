"""One bad item never holds up another: a drawn part of workflows and events ails for as long as
anybody looks.

It lasts 45 minutes at most, as a target is given up after an hour of 500.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.faults.load import webhooks
from tests.acceptance.faults.sick import AILMENTS, SickLoad, SickProxy
from tests.support.bridge import Bridge, unique
from tests.support.chance import SEED
from tests.support.storms import lasting
from tools.servers import PATIENCE
from tools.servers.backends import Conductors, chosen_kind
from tools.servers.client import Conductor, wait_for

pytestmark = [pytest.mark.long, pytest.mark.storm, pytest.mark.slow(60)]
STORES = (os.environ.get("TEST_STORE", "postgres" if chosen_kind() == "postgres" else "sqlite"),)
"""One, as a storm takes a minute: PostgreSQL where Conductor uses it too."""
SECONDS = lasting(5)


@pytest.fixture
def load(
    conductor_server: Conductors,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    database_settings: Callable[[], dict[str, str]],
) -> Iterator[SickLoad]:
    """A bridge at a proxy before Conductor, and the load for it. Receivers with versions are looked
    up."""
    label = f"{zlib.crc32(request.node.name.encode()):08x}"
    definitions = webhooks(label)
    for workflow in ("wait", "loop"):
        definitions = definitions.replace(
            f"{unique(f'{workflow}_{label}')}: any", f"{unique(f'{workflow}_{label}')}: 1"
        )
    definitions = definitions.replace("    receivers:", "    hold: 1d\n    receivers:")
    proxy = SickProxy(conductor_server.port, hang=4.0)
    settings = {"bridge_call_timeout": "3s", "bridge_discovery_interval": "3s"}
    bridge = Bridge(tmp_path / "bridge", proxy.url, definitions, **settings, **database_settings())
    load = SickLoad(Conductor(conductor_server.url), bridge, label, SEED)
    load.proxy = proxy
    load.register()
    yield load
    bridge.stop()
    proxy.stop()


def test_what_ails_holds_up_nothing_else_and_has_its_effect_once_it_is_well(load: SickLoad) -> None:
    load.bridge.start()
    load.run(clients=4)
    time.sleep(SECONDS)
    load.stop()
    for ailment in AILMENTS:
        load.one_of_two(ailment)
    print(
        f"seed {SEED}: {load.events} events; {len(load.ailing)} effects ail, {len(load.expected)} don't"
    )

    load.audit()  # while all that ails still does
    assert any(not load.is_there(one) for one in load.ailing)
    print(f"seed {SEED}: {dict(load.proxy.counts)}")
    wait_for(
        lambda: load.bridge.cli_json("events", "--status", "retrying"),
        "people see what ails",
        PATIENCE,
    )
    load.healed()
    load.audit()
    wait_for(
        lambda: not load.bridge.store.quarantine.items(), "nothing is set aside any more", PATIENCE
    )
