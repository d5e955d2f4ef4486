"""The bridges of the acceptance tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.shell import Shell, Workplace
from tests.support.bridge import Bridge
from tests.support.faulty_proxy import FaultyProxy, port_of
from tools.servers.postgres import Postgres

STORES = (os.environ.get("TEST_STORE", "sqlite"),)
"""Which stores a module's tests run on, unless the module says so itself (`STORES`)."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs the tests of a module on each of its stores: all but the first are long."""
    if "store_kind" in metafunc.fixturenames:
        first, *others = getattr(metafunc.module, "STORES", STORES)
        stores = [first, *(pytest.param(other, marks=pytest.mark.long) for other in others)]
        metafunc.parametrize("store_kind", stores, scope="module")


@pytest.fixture(scope="module")
def database_settings(
    request: pytest.FixtureRequest, store_kind: str
) -> Callable[[], dict[str, str]]:
    """Makes a new database of that kind; the setting that names it, or none for a file in the
    bridge's folder."""
    if store_kind == "sqlite":
        return dict
    postgres: Postgres = request.getfixturevalue("postgres")
    return lambda: {"bridge_database": f"{postgres.new_database('bridge')}?connect_timeout=60"}


@pytest.fixture(scope="module")
def bridge_settings(request: pytest.FixtureRequest) -> dict[str, str]:
    """The module's SETTINGS."""
    settings: dict[str, str] = getattr(request.module, "SETTINGS", {})
    return settings


@pytest.fixture(scope="module")
def bridge(
    request: pytest.FixtureRequest,
    conductor_url: str,
    tmp_path_factory: pytest.TempPathFactory,
    database_settings: Callable[[], dict[str, str]],
    bridge_settings: dict[str, str],
) -> Iterator[Bridge]:
    """One bridge for a module's tests, with the module's WEBHOOKS and settings: each test has names
    of its own.

    Where the module says `RELAY = False`, its tests are about the worker, which alone is started.
    """
    bridge = Bridge(
        tmp_path_factory.mktemp("bridge"),
        conductor_url,
        request.module.WEBHOOKS,
        **database_settings(),
        **bridge_settings,
    )
    try:
        yield (
            bridge.start()
            if getattr(request.module, "RELAY", True)
            else bridge.start_worker_alone()
        )
    finally:
        bridge.stop()


@pytest.fixture
def new_bridge(
    conductor_url: str, tmp_path: Path, database_settings: Callable[[], dict[str, str]]
) -> Iterator[Callable[..., Bridge]]:
    """Makes bridges of a test's own, `new_bridge(WEBHOOKS, **settings)`, and stops them at its
    end."""
    made: list[Bridge] = []

    def make(webhooks: str, **settings: str) -> Bridge:
        settings = {**database_settings(), **settings}
        bridge = Bridge(
            tmp_path / f"bridge{len(made)}",
            settings.pop("conductor", conductor_url),
            webhooks,
            **settings,
        )
        made.append(bridge)
        return bridge

    yield make
    for bridge in reversed(made):
        bridge.stop()


@pytest.fixture
def no_queue(conductor_url: str) -> Iterator[FaultyProxy]:
    """A Conductor whose queue is empty whenever the bridge polls: what waits there is for others."""

    def instead(path: str) -> bytes | None:
        return b"[]" if path.startswith("/api/tasks/poll/") else None

    proxy = FaultyProxy(port_of(conductor_url), instead=instead)
    yield proxy
    proxy.stop()


@pytest.fixture
def small_disk(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system with little room: the module's ROOM, in bytes.

    It isn't in pytest's folder, which each new pytest closes to others: PostgreSQL runs as one.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    folder = Path(tempfile.mkdtemp(prefix="bridge-disk-"))
    command = [
        "mount",
        "-t",
        "tmpfs",
        "-o",
        f"size={request.module.ROOM},mode=777",
        "tmpfs",
        str(folder),
    ]
    mount = subprocess.run(command, capture_output=True, text=True)
    if mount.returncode != 0:
        folder.rmdir()
        pytest.skip(f"no file system can be mounted here: {mount.stderr.strip()}")
    yield folder
    # Lazily: what still has files open there must not keep it.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    folder.rmdir()


@pytest.fixture(scope="module")
def workplace(conductor_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """One bridge for a module's pages of the documentation: relay, worker and admin page as `make
    run` has them.

    It ends with the module: its worker would poll the tasks of the next module's bridge.
    """
    place = Workplace(tmp_path_factory.mktemp("documents"), conductor_url)
    try:
        yield place.start()
    finally:
        place.stop()


@pytest.fixture
def shell(workplace: Workplace) -> Iterator[Shell]:
    """A terminal beside that bridge; what is defined meanwhile is gone afterwards."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed, which the pages' commands use")
    there = set(workplace.definitions.iterdir())
    shell = Shell(workplace)
    yield shell
    shell.close()
    for file in set(workplace.definitions.iterdir()) - there:
        file.unlink()
