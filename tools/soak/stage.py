"""What a soak plays on: Conductor, a store, two hosts of the bridge, and everything that can be
done to them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Literal

import psycopg

from tools.servers.client import Conductor
from tools.servers.conductor import ConductorServer
from tools.servers.namespace import Namespace
from tools.servers.postgres import Postgres
from tools.servers.processes import (
    Child,
    Failed,
    bridge_environment,
    children_of,
    free_port,
    start_admin,
    start_relay,
    start_worker,
)
from tools.servers.wall_clock import WallClock
from tools.soak import load

StoreKind = Literal["sqlite", "postgres"]
STORES: tuple[StoreKind, ...] = ("sqlite", "postgres")
DISK = 1024**3
"""Bytes of the file system that the store is on."""
JUMP = 90
"""Seconds by which the bridge's clock is ahead for a while. It isn't set behind: what arrives then
counts as having arrived before its workflow began, and is for people to replay."""
RETENTION = "10m"
"""So that the store grows no more after this time; of an hour and longer."""


class Host:
    """A relay, a worker and an admin page on the store."""

    def __init__(self, folder: Path, environment: Mapping[str, str], within: list[str]) -> None:
        """Starts them; `within` begins the worker's command."""
        folder.mkdir()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self.environment = {**environment, "PORT": str(self.port)}
        self._within = within
        self._admin_port = free_port()
        self.processes: dict[str, Child] = {}
        for name in ("relay", "worker", "admin"):
            self.start(name)

    def start(self, name: str) -> None:
        """Starts one of the three processes."""
        log = self._folder / f"{name}.log"
        match name:
            case "relay":
                child = start_relay(self.environment, log, self._folder)
            case "worker":
                child = start_worker(self.environment, log, self._folder, self._within)
            case _:
                child = start_admin(self.environment, log, self._admin_port, self._folder)
        self.processes[name] = child

    def kill(self, name: str) -> None:
        """kill -9 of the process, which is then started again."""
        self.processes[name].kill()
        while True:
            with suppress(Failed):  # the store may be full or down just now
                self.start(name)
                return

    def kill_child_of_relay(self) -> None:
        """kill -9 of one of the relay's own processes, which it replaces."""
        for pid in children_of(self.processes["relay"].pid)[:1]:
            os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """Stops all three."""
        for child in self.processes.values():
            child.stop()

    def copy_logs(self, folder: Path) -> None:
        """Copies its logs into a folder of its name there."""
        shutil.copytree(self._folder, folder / self._folder.name)


class Stage:
    """Everything, running. The first host is never killed: what it takes is measured."""

    def __init__(self, kind: StoreKind, seconds: float, run: str, folder: Path) -> None:
        """Raises Failed if this machine can't do it."""
        self.moment = min(60.0, seconds / 20)
        """Seconds that a fault lasts."""
        self._cleaning = ExitStack()
        try:
            self._begin(kind, seconds, run, folder)
        except BaseException:
            self.stop()
            raise

    def _begin(self, kind: StoreKind, seconds: float, run: str, folder: Path) -> None:
        self.conductor_server = ConductorServer(folder / "conductor", say=lambda text: None)
        self._cleaning.callback(self.conductor_server.stop)
        self.conductor_server.start()
        self.conductor = Conductor(self.conductor_server.url)
        self._namespace = self._cleaning.enter_context(Namespace(links=1))
        self._disk = folder / "disk"
        self._cleaning.enter_context(small_disk(self._disk))
        if not WallClock.is_possible():
            raise Failed("stepping the clock needs a C compiler (Debian: gcc)")
        self._clock = WallClock(folder)
        self.postgres: Postgres | None = None
        database = f"sqlite:///{self._disk}/bridge.db"
        if kind == "postgres":
            database = self._start_postgres()
        self._database = database
        definitions = folder / "webhooks.yaml"
        definitions.write_text(load.definitions(run), encoding="utf-8")
        environment = bridge_environment(
            bridge_webhooks=str(definitions),
            bridge_database=database,
            bridge_retention=RETENTION,
            bridge_call_timeout="5s",
            bridge_discovery_interval="3s",
            bridge_relay_metrics="off",
            bridge_worker_metrics="off",
            bridge_log_format="json",
            github_secret=load.SECRET,
            conductor_server_url=f"http://{self._namespace.here[0]}:{self.conductor_server.port}/api",
            **self._clock.environment,
        )
        self.hosts: list[Host] = []
        for name in ("steady", "killed"):
            host = Host(folder / name, environment, self._namespace.within)
            self._cleaning.callback(host.stop)
            self.hosts.append(host)

    def _start_postgres(self) -> str:
        """A server whose data is on the small disk; the URL of a database there."""
        before, tempfile.tempdir = tempfile.tempdir, str(self._disk)
        try:
            self.postgres = Postgres(host=self._namespace.here[0]).start()
        finally:
            tempfile.tempdir = before
        self._cleaning.callback(self.postgres.stop)
        url = self.postgres.new_database("soak")
        with psycopg.connect(url, autocommit=True) as database:
            database.execute("ALTER SYSTEM SET max_wal_size = '128MB'")
            database.execute("SELECT pg_reload_conf()")
        return url

    def stop(self) -> None:
        """Ends everything."""
        self._cleaning.close()

    def store_bytes(self) -> int:
        """What the store takes on its disk."""
        if self.postgres is None:
            return sum(file.stat().st_size for file in self._disk.glob("bridge.db*"))
        with psycopg.connect(self._database) as database:
            query = "SELECT pg_database_size(current_database())"
            [size] = database.execute(query).fetchone() or (0,)
            return int(size)

    def explain(self, event_id: str) -> str:
        """What the bridge says of an event."""
        return self._bridge("events", "explain", event_id)

    def keep(self, folder: Path) -> str:
        """Ends the bridge, and keeps its logs and a copy of its store in that folder; what the
        command line says of the copy."""
        for host in self.hosts:
            host.stop()
            host.copy_logs(folder)
        return self._bridge("migrate-store", self._database, f"sqlite:///{folder}/bridge.db")

    def _bridge(self, *arguments: str) -> str:
        """What the command line answers."""
        command = [str(Path(sys.executable).parent / "webhook-bridge"), *arguments]
        environment = self.hosts[0].environment
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return (said.stdout or said.stderr).strip()

    # --- faults

    def faults(self) -> dict[str, Callable[[], None]]:
        """Each by its name."""
        killed = self.hosts[1]
        found: dict[str, Callable[[], None]] = {
            "relay killed": lambda: killed.kill("relay"),
            "worker killed": lambda: killed.kill("worker"),
            "admin page killed": lambda: killed.kill("admin"),
            "relay's child killed": killed.kill_child_of_relay,
            "network cut": self._cut_network,
            "Conductor restarted": self._restart_conductor,
            "disk full": self._fill_disk,
            "clock stepped": self._step_clock,
        }
        if self.postgres is not None:
            found["PostgreSQL killed"] = self._kill_postgres
        return found

    def _cut_network(self) -> None:
        """What the workers send vanishes."""
        self._namespace.set_route("down")
        time.sleep(self.moment / 3)
        self._namespace.set_route("up")

    def _restart_conductor(self) -> None:
        self.conductor_server.kill()
        self.conductor_server.start()

    def _fill_disk(self) -> None:
        ballast = self._disk / "ballast"
        end = time.monotonic() + self.moment
        with ballast.open("wb", buffering=0) as file:
            room = os.statvfs(self._disk)
            with suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_bsize)
            file.seek(0, os.SEEK_END)
            while time.monotonic() < end:
                with suppress(OSError):
                    file.write(bytes(65536))
                    continue
                time.sleep(0.05)
        ballast.unlink()
        if self.postgres is not None and not self.postgres.healthy():
            self._kill_postgres()  # without room for its log it stops, at once or as it recovers

    def _step_clock(self) -> None:
        self._clock.set(JUMP)
        time.sleep(self.moment)
        self._clock.set(0)

    def _kill_postgres(self) -> None:
        assert self.postgres is not None
        self.postgres.kill()
        self.postgres.start()


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of its own at that folder. Raises Failed where none can be mounted."""
    folder.mkdir()
    options = f"size={DISK},mode=777"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        raise Failed(f"no small file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
