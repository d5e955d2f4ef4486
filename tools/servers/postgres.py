"""A private PostgreSQL server on a port of the loopback interface, which can be killed and started
again.

`BRIDGE_TEST_POSTGRES` names an existing server instead, as
`postgresql://USER:PASSWORD@HOST:PORT/DATABASE` of a user who may create databases; it is neither
started nor killed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid
import zlib
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from tools.servers import PATIENCE
from tools.servers.processes import Child, Failed, children_of, free_port

GIVEN = "BRIDGE_TEST_POSTGRES"
_USER = "bridge"
_UNPRIVILEGED = ("nobody", "nogroup")
"""Who runs the server when root starts it: PostgreSQL refuses to run as root."""


def find_programs() -> tuple[Path, str]:
    """The folder with `initdb`, `postgres` and `psql`, and a word on where it is from: Debian's,
    else `pgserver`'s.

    Raises Failed if there is none.
    """
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3])
    )
    if versions:
        return versions[-1].parent, f"PostgreSQL {versions[-1].parts[-3]} of this system"
    package = importlib.util.find_spec("pgserver")  # only its programs are of use
    if package is None or package.origin is None:
        raise Failed(
            "there is no PostgreSQL: install it (Debian: apt-get install postgresql), or the Python package pgserver, "
            f"or name a server with {GIVEN}"
        )
    return Path(package.origin).parent / "pginstall" / "bin", "PostgreSQL of the package pgserver"


class Postgres:
    """One server with a data folder of its own. Nothing runs before `start`."""

    def __init__(
        self, durable: bool = False, within: Sequence[str] = (), host: str = "127.0.0.1"
    ) -> None:
        """`durable` makes each commit reach the disk, for benchmarks; a killed server loses nothing
        without it either.

        `host` is the address by which others reach it; at one that isn't loopback it lets everybody
        in. `within` begins the server's command where it runs in a network namespace.
        """
        self.given = os.environ.get(GIVEN)
        self.port = urlsplit(self.given).port or 5432 if self.given else free_port()
        self.child: Child | None = None
        self._durable = durable
        self._within = list(within)
        self._host = host
        self._is_open = host != "127.0.0.1"
        self._folder: Path | None = None
        self._names = itertools.count(1)
        self._run = uuid.uuid4().hex[:8]
        self._making = threading.Lock()
        self._programs, self.origin = find_programs()

    # --- life ---

    def start(self, timeout: float = PATIENCE) -> Postgres:
        """Starts it, for the first time or again; returns once it answers. Raises Failed if it
        doesn't."""
        if self.given:
            return self
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="bridge-postgres-"))
            self._initialise(self._folder)
        log = self._folder / "postgres.log"
        settings = {
            "listen_addresses": "*" if self._is_open else "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "300",
            "fsync": "on" if self._durable else "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(self._programs / "postgres"), "-D", str(self._folder / "data"), *options]
        self.child = Child(
            "PostgreSQL", [*self._within, *unprivileged(), *command], log, folder=self._folder
        )
        try:
            self.child.wait_until(self.healthy, timeout, every=0.05)
        except BaseException:
            self.kill()
            raise
        return self

    def healthy(self) -> bool:
        """Whether it answers a query."""
        return self._psql("SELECT 1", check=False).returncode == 0

    def kill(self) -> None:
        """Kills it and every process of its connections at once, as `kill -9` does."""
        if self.child is None:
            return
        child, self.child = self.child, None
        with contextlib.suppress(OSError):
            # They are no longer of its process group; one that outlives it holds up the next start.
            sessions = children_of(child.pid)
            child.kill()
            for pid in sessions:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            # One that still ends keeps the memory that the next start asks for.
            while any(map(_runs, sessions)):
                time.sleep(0.01)
        child.kill()

    def stop_at_once(self) -> None:
        """Stops it in PostgreSQL's immediate mode: it ends all sessions, and recovers at its next
        start."""
        if self.child is not None:
            child, self.child = self.child, None
            child.signal(signal.SIGQUIT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(PATIENCE)
            child.kill()

    def stop(self) -> None:
        """Stops it cleanly, even with open connections, and removes its data."""
        if self.child is not None:
            child, self.child = self.child, None
            child.signal(signal.SIGINT)  # SIGTERM would wait for the connections to end
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(PATIENCE)
            child.kill()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _initialise(self, folder: Path) -> None:
        runs_as_root = bool(unprivileged())
        if runs_as_root:
            shutil.chown(folder, *_UNPRIVILEGED)
            if not _reachable_for_all(self._programs):
                self._programs = _copy_of_package(self._programs, folder / "programs")
        kept = _kept_cluster(self._programs, self.origin)
        if not kept.is_dir() or not _copy(kept, folder / "data"):
            self._make_cluster(folder)
            _keep(folder / "data", kept)
        if self._is_open:
            with (folder / "data" / "pg_hba.conf").open("a") as file:
                file.write("host all all all trust\n")

    def _make_cluster(self, folder: Path) -> None:
        command = [
            str(self._programs / "initdb"),
            "-D",
            str(folder / "data"),
            "-U",
            _USER,
            "-A",
            "trust",
            "-N",
        ]
        made = subprocess.run(
            [*unprivileged(), *command, "-E", "UTF8", "--locale=C"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            raise Failed(f"initdb of {self.origin} failed:\n{made.stdout}{made.stderr}")

    # --- databases ---

    def url(self, database: str) -> str:
        """The URL of a database on it."""
        if self.given:
            return urlsplit(self.given)._replace(path=f"/{database}").geturl()
        return f"postgresql://{_USER}@{self._host}:{self.port}/{database}"

    def new_database(self, label: str = "test", template: str = "template0") -> str:
        """Creates a database that nothing else uses; returns its URL. It is empty, or a copy of the
        one named `template`, which nobody may be connected to."""
        name = f"{label}_{self._run}_{next(self._names)}"
        with self._making:  # two at once would both copy the template, which only one may
            self._psql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"{self._strategy()}')
        return self.url(name)

    def _strategy(self) -> str:
        """How to copy: files as they are take a fifth of the time that writing them to the log
        takes, 15's default."""
        if self._folder is None:  # one that is given, of whatever version
            return ""
        version = (self._folder / "data" / "PG_VERSION").read_text(encoding="ascii")
        return " STRATEGY file_copy" if int(version) >= 15 else ""

    def drop_database(self, url: str) -> None:
        """Removes a database and cuts its connections."""
        self._psql(f'DROP DATABASE IF EXISTS "{urlsplit(url).path[1:]}" WITH (FORCE)')

    def _psql(self, statement: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Raises Failed with what psql says, if it is to be checked."""
        command = [
            str(self._programs / "psql"),
            "-X",
            "-q",
            "-w",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            statement,
        ]
        answer = subprocess.run(
            [*command, self.given or self.url("postgres")],
            capture_output=True,
            text=True,
            check=False,
        )
        if check and answer.returncode != 0:
            raise Failed(f"{statement}: {answer.stderr.strip()}")
        return answer


def _runs(pid: int) -> bool:
    """Whether the process is there, and no zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _kept_cluster(programs: Path, origin: str) -> Path:
    """Where to keep what these programs' `initdb` makes for this user: copying it takes a tenth of
    the time."""
    cache = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        / "conductor-webhook-bridge"
    )
    file = (programs / "initdb").stat()
    made_by = f"{origin} {file.st_size} {file.st_mtime_ns} {os.geteuid()}"
    return cache / f"postgres-{zlib.crc32(made_by.encode()):08x}"


def _keep(cluster: Path, kept: Path) -> None:
    """Keeps a copy of a new cluster, unless that is impossible or another process has done so; it
    appears whole."""
    part = kept.with_name(f"{kept.name}.{os.getpid()}-{threading.get_ident()}")
    with contextlib.suppress(OSError):
        part.parent.mkdir(parents=True, exist_ok=True)
        if _copy(cluster, part):
            part.rename(kept)
    shutil.rmtree(part, ignore_errors=True)


def _copy(cluster: Path, to: Path) -> bool:
    """Copies a cluster with its owner and rights; whether that went well. Otherwise nothing is
    there."""
    copied = subprocess.run(["cp", "-a", str(cluster), str(to)], capture_output=True, check=False)
    if copied.returncode != 0:
        shutil.rmtree(to, ignore_errors=True)
    return copied.returncode == 0


def unprivileged() -> list[str]:
    """The start of a command that drops root's rights; empty if we have none."""
    if os.geteuid() != 0:
        return []
    user, group = _UNPRIVILEGED
    # The wish to die with us is lost with the rights, and so is said again.
    return [
        "setpriv",
        f"--reuid={user}",
        f"--regid={group}",
        "--clear-groups",
        "--pdeathsig=KILL",
        "--",
    ]


def _reachable_for_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def _copy_of_package(programs: Path, to: Path) -> Path:
    """The programs of the package pgserver, and the libraries beside it, in a place where every
    user may run them."""
    package = programs.parent.parent
    for part in (package / "pginstall", package.with_name("pgserver.libs")):
        shutil.copytree(part, to / part.relative_to(package.parent), symlinks=True)
    _open_for_all(to)
    return to / programs.relative_to(package.parent)


def _open_for_all(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(
                path.stat().st_mode
                | (0o555 if path.is_dir() or path.stat().st_mode & 0o100 else 0o444)
            )
