"""The first release's wheel and today's on one store under load: nothing lost, nothing twice,
nothing unreadable."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
import subprocess
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.faults.load import Load, webhooks
from tests.support.chance import SEED
from tests.support.document import Document
from tests.support.versions import InstalledBridge, base_wheel, install, next_wheel
from tools.servers import PATIENCE
from tools.servers.client import Answer, Conductor, wait_for

pytestmark = [pytest.mark.long, pytest.mark.slow(120)]
STORES = ("sqlite", "postgres")
MORE = 12
"""Events that a pair of versions must take before the next pair's turn."""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The first release's, and that of today's code with one more step."""
    folder = tmp_path_factory.mktemp("wheels")
    return base_wheel(folder), next_wheel(folder)


@pytest.fixture(scope="module")
def programs(
    wheels: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """The folders of both wheels' programs."""
    folder = tmp_path_factory.mktemp("installed")
    old, new = wheels
    return install(old, folder / "old"), install(new, folder / "new")


class Pair:
    """A bridge of each version on one store, and the load that they share."""

    def __init__(self, old: InstalledBridge, new: InstalledBridge) -> None:
        self.old, self.new = old, new
        self.serving = old
        """Whose relay gets the deliveries."""
        self.load: Load

    def github(self, webhook: str, payload: Any, **how: Any) -> Answer:
        """A delivery to the relay that serves now."""
        return self.serving.github(webhook, payload, **how)

    def more(self) -> None:
        """Returns once so many more events were accepted."""
        before = self.load.events
        wait_for(lambda: self.load.events >= before + MORE, "more events are accepted", PATIENCE)

    def finish(self) -> None:
        """Ends the load, and asserts that Conductor shows each effect once, and that both versions
        read all that the store has."""
        self.load.stop()
        self.load.audit(patience=3 * PATIENCE)
        assert self.load.events > MORE
        for bridge in (self.old, self.new):
            # A call whose answer was lost is repeated first.
            listed = wait_for(
                lambda bridge=bridge: self._all_delivered(bridge), "each event is delivered"
            )  # type: ignore[misc]
            assert len(listed) == self.load.events
            shown = json.loads(bridge.program("events", "show", listed[0]["eventId"], "--json"))
            assert shown["eventId"] == listed[0]["eventId"]

    def _all_delivered(self, bridge: InstalledBridge) -> list[dict[str, Any]]:
        """The events as that version lists them; none while any isn't delivered."""
        listed = json.loads(bridge.program("events", "--json", "--limit", "100000"))
        return listed if {one["status"] for one in listed} == {"delivered"} else []

    def schema(self) -> tuple[int, int]:
        """The store's two numbers."""
        statement = "SELECT number, usable_from FROM store_schema"
        url = self.old.environment["BRIDGE_DATABASE"]
        if url.startswith("sqlite:"):
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
                [(number, usable_from)] = file.execute(statement).fetchall()
        else:
            with psycopg.connect(url, options="-c search_path=webhook_bridge") as database:
                [(number, usable_from)] = database.execute(statement).fetchall()
        return number, usable_from


@pytest.fixture
def pair(
    conductor_url: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    database_settings: Callable[[], dict[str, str]],
    programs: tuple[Path, Path],
) -> Iterator[Pair]:
    """Nothing runs yet."""
    label = f"{zlib.crc32(request.node.name.encode()):08x}"
    settings = {
        "bridge_database": f"sqlite:///{tmp_path}/bridge.db",
        "bridge_call_timeout": "5s",
        "bridge_discovery_interval": "3s",
    } | database_settings()
    old, new = (
        InstalledBridge(tmp_path / name, conductor_url, webhooks(label), **settings).run_from(
            folder
        )
        for name, folder in zip(("old", "new"), programs, strict=True)
    )
    pair = Pair(old, new)
    pair.load = Load(Conductor(conductor_url), pair, label, SEED)  # type: ignore[arg-type]
    pair.load.register()
    yield pair
    old.stop()
    new.stop()


def test_old_and_new_processes_share_a_store_in_every_mixture(pair: Pair) -> None:
    old, new = pair.old, pair.new
    old.start()
    pair.load.run(clients=3)
    pair.more()
    assert pair.schema() == (1, 1)
    new.start_worker()  # takes the step beside both old processes
    old.stop_worker()
    pair.more()
    assert pair.schema() == (2, 1)
    old.start_worker()  # on the newer schema
    new.stop_worker()
    new.start_relay()
    pair.serving = new
    old.stop_relay()
    pair.more()
    new.start_worker()
    old.stop_worker()
    pair.more()
    pair.finish()


def test_stopped_upgraded_and_started_the_new_version_finishes_what_the_old_one_began(
    pair: Pair,
) -> None:
    pair.old.start()
    pair.load.run(clients=3)
    pair.more()
    pair.old.stop_worker()
    pair.more()  # which wait for a worker
    pair.old.stop_relay()
    pair.serving = pair.new
    pair.new.start()
    assert pair.schema() == (2, 1)
    pair.more()
    pair.finish()


def test_the_operations_pages_commands_upgrade_a_running_bridge(
    pair: Pair, wheels: tuple[Path, Path], tmp_path: Path
) -> None:
    """As they stand there, in folders of the test's own; systemd is a stand-in."""
    old, wheel = wheels
    host = pair.old.run_from(install(old, tmp_path / "opt" / "venv")).start()
    pair.load.run(clients=2)
    pair.more()
    restarted = _run_upgrade(host, wheel, tmp_path)
    assert restarted == ["webhook-bridge-relay", "webhook-bridge-worker", "webhook-bridge-admin"]
    host.stop_relay()
    host.stop_worker()
    host.start()
    assert pair.schema() == (2, 1)
    pair.more()
    pair.finish()


_SYSTEMCTL = '[ "$1" = restart ] && shift && printf "%s\\n" "$@" > "$RESTARTED"'
_SYSTEMD_RUN = 'while [ "$1" != "${1#-}" ]; do [ "$1" = -p ] && shift; shift; done; exec "$@"'
"""Its options, and then the command that it runs."""


def _run_upgrade(host: InstalledBridge, wheel: Path, folder: Path) -> list[str]:
    """Runs the commands of the section; the units that they restart."""
    section = Document("docs/operations.md").text.split("\n## Upgrade\n")[1].split("\n## ")[0]
    [block] = re.findall(r"```console\n(.*?)```", section, re.DOTALL)
    commands = re.sub(r"^# ", "", block, flags=re.MULTILINE)
    assert wheel.name in commands
    if not host.environment["BRIDGE_DATABASE"].startswith("sqlite:"):
        _, pip, rest = commands.partition("/opt/webhook-bridge/venv/bin/pip")
        commands = pip + rest  # the page says that pg_dump takes the place of the first command
    places = {"/opt/webhook-bridge": folder / "opt", "/var/lib/webhook-bridge": folder}
    for place, here in places.items():
        commands = commands.replace(place, str(here))
    for name, script in (("systemctl", _SYSTEMCTL), ("systemd-run", _SYSTEMD_RUN)):
        program = folder / "stand-ins" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        program.chmod(0o755)
    environment = host.environment | {
        "PATH": f"{folder / 'stand-ins'}:{host.environment['PATH']}",
        "RESTARTED": str(folder / "restarted"),
        "PIP_NO_INDEX": "1",
    }
    script = f"set -e\ncd {shlex.quote(str(wheel.parent))}\n{commands}"
    ran = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, f"{commands}\n{ran.stdout}\n{ran.stderr}"
    return (folder / "restarted").read_text(encoding="utf-8").split()
