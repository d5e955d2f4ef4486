"""What the bridge creates is for its own user alone, whatever the umask, and what exists keeps its
mode."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tools.servers import PATIENCE
from tools.servers.processes import Child, free_port, status_of

PROGRAM = Path(sys.executable).parent / "webhook-bridge"
Bridge = Callable[..., None]


def with_umask(umask: int, *arguments: str) -> list[str]:
    """The command line under that umask."""
    return ["sh", "-c", f'umask {umask:03o} && exec "$0" "$@"', str(PROGRAM), *arguments]


@contextmanager
def running(folder: Path, umask: int) -> Iterator[Bridge]:
    """The three processes in that folder, and a way to run commands beside them."""
    port, environment = free_port(), dict(os.environ)
    environment |= {
        "PORT": str(port),
        "ADMIN_PORT": str(free_port()),
        "CONDUCTOR_SERVER_URL": "http://127.0.0.1:9/api",
    }
    environment |= {"BRIDGE_RELAY_METRICS": "off", "BRIDGE_WORKER_METRICS": "off"}
    child = Child("run", with_umask(umask, "run"), folder.with_suffix(".log"), environment, folder)
    data = folder / "data"
    child.wait_until(
        lambda: (
            status_of(f"http://127.0.0.1:{port}/readyz") == 200
            and all(
                (data / f"bridge.db{end}").exists()
                for end in ("", "-wal", "-shm", "-wake", "-decider")
            )
        )
    )
    yield lambda *arguments: subprocess.run(
        with_umask(umask, *arguments),
        cwd=folder,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    child.process.send_signal(signal.SIGTERM)
    child.process.wait(PATIENCE)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o027], ids=oct)
def test_what_the_bridge_creates_is_for_its_user_alone(umask: int, tmp_path: Path) -> None:
    subprocess.run(
        with_umask(umask, "init", "above/hooks"),
        cwd=tmp_path,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    folder = tmp_path / "above" / "hooks"
    with running(folder, umask) as bridge:
        bridge("new", "orders", "--header", "X-Api-Key", "--receiver", "order_flow")
        bridge("webhooks", "rotate", "orders", "--header", "X-Api-Key")
        bridge("backup", "copy.db")
        found = {path.relative_to(folder): path for path in folder.rglob("*")}
        assert {
            Path(name) for name in (".env", "webhooks/orders.yaml", "copy.db", "data/bridge.db-wal")
        } <= set(found)
        assert {
            str(name)
            for name, path in found.items()
            if mode(path) != (0o700 if path.is_dir() else 0o600)
        } == set()
        assert (mode(folder), mode(folder.parent)) == (0o700, 0o700)


def test_what_exists_keeps_its_mode_and_files_beside_the_database_have_its_own(
    tmp_path: Path,
) -> None:
    """As under systemd: StateDirectoryMode=0750, UMask=0027."""
    subprocess.run(
        with_umask(0o027, "init", "hooks"), cwd=tmp_path, check=True, stdout=subprocess.DEVNULL
    )
    folder = tmp_path / "hooks"
    (folder / "data" / "bridge.db").touch()
    chosen = {
        ".": 0o750,
        ".env": 0o640,
        "webhooks": 0o755,
        "webhooks/hello.yaml": 0o644,
        "data": 0o750,
    }
    chosen |= {"data/bridge.db": 0o660}
    for name, bits in chosen.items():
        (folder / name).chmod(bits)
    with running(folder, 0o027) as bridge:
        bridge("webhooks", "rotate", "hello", "--header", "X-Api-Key")
        assert {name: mode(folder / name) for name in chosen} == chosen
        beside = {
            name: mode(folder / "data" / f"bridge.db-{name}")
            for name in ("wal", "shm", "wake", "decider")
        }
        assert beside == {"wal": 0o660, "shm": 0o660, "wake": 0o640, "decider": 0o640}
