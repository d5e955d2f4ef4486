"""Child processes that are awaited, logged to a file and reliably stopped, and the bridge's own
three."""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tools.servers import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
"""The project's folder."""
_LEFT_OUT = Path(__file__).with_name("left_out")
"""Stands before the installed packages: what is in it can't be imported."""

# Linux: even a parent that is killed with -9 leaves nothing running. The child says so before it
# becomes the command; a preexec_fn would be a fork in a process that may have threads. And Ctrl-C
# ends it, though a shell that runs us in the background has us ignore that.
_DIES_WITH_PARENT = (
    "import ctypes, os, signal, sys\n"
    "ctypes.CDLL(None).prctl(1, signal.SIGKILL)\n"
    "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
    "os.getppid() == int(sys.argv[1]) and os.execvp(sys.argv[2], sys.argv[2:])\n"
)
_alive: list[Child] = []
_RANGE = 100
"""How many ports a process has to give away."""


class Failed(Exception):
    """Something that the demo, the tests or the benchmarks need is unavailable; the text says what
    and why."""


@functools.cache
def _own_ports() -> tuple[Iterator[int], socket.socket]:
    """Ports that no other process gives away, in turn, and the socket that shows that they are
    taken."""
    for number in range(_RANGE):
        first = 20_000 + (os.getpid() + number) % _RANGE * _RANGE
        claim = socket.socket()
        try:
            claim.bind(("127.0.0.1", first))
        except OSError:
            claim.close()
        else:
            atexit.register(claim.close)
            return itertools.cycle(range(first + 1, first + _RANGE)), claim
    raise Failed("all ports from 20000 to 30000 are taken")


def free_port() -> int:
    """A free TCP port of the loopback interface, for a process that listens there later, and
    perhaps again.

    It is none of those that systems give to connections and to whoever asks for any port: one of
    them could take it before the process listens, or while it is stopped. Nor is it one that
    another process has got from here.
    """
    ports, _ = _own_ports()
    while True:
        port = next(ports)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def check_port(port: int, setting: str, what: str) -> None:
    """Raises Failed if somebody listens on the port already; `setting` is the variable for
    another."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise Failed(
                f"port {port} for {what} can't be used ({error.strerror}): "
                f"stop what listens there, or choose another with {setting}=PORT"
            ) from None


def status_of(url: str, timeout: float = 10.0) -> int | None:
    """The HTTP status that a GET of the URL is answered with, or None without an answer."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, ValueError):
        return None


def dies_with_us(command: Sequence[str]) -> list[str]:
    """The command, started in such a way that it is killed when our process ends, however it ends.
    Only on Linux."""
    launcher = (
        [sys.executable, "-ISc", _DIES_WITH_PARENT, str(os.getpid())]
        if sys.platform == "linux"
        else []
    )
    return [*launcher, *command]


class Child:
    """A process in a process group of its own whose output goes to a file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path = ROOT,
        show: bool = False,
    ) -> None:
        """Starts it. `show` leaves its output where ours goes instead of in `log`."""
        self.name = name
        self.command = list(command)
        self.log = log
        if shutil.which(self.command[0]) is None:
            raise Failed(f"{name} can't be started: there is no {self.command[0]}")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._log_start = output.tell()
            self.process = subprocess.Popen(
                dies_with_us(self.command),
                stdin=subprocess.DEVNULL,
                stdout=None if show else output,
                stderr=None if show else subprocess.STDOUT,
                env=None if environment is None else dict(environment),
                cwd=folder,
                start_new_session=True,
            )
        _alive.append(self)

    @property
    def pid(self) -> int:
        """Its process id, which is its process group's too."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether it is still running."""
        return self.process.poll() is None

    def output(self) -> str:
        """What it has written so far."""
        with self.log.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode("utf-8", "replace")

    def last_lines(self, count: int = 15) -> str:
        """The end of what it wrote, indented for a message."""
        lines = self.output().splitlines()[-count:]
        return "\n".join(f"    {line}" for line in lines) or "    (it wrote nothing)"

    def wait_until(
        self,
        ready: Callable[[], bool],
        timeout: float = PATIENCE,
        tick: Callable[[], None] | None = None,
        every: float = 0.1,
    ) -> None:
        """Waits until `ready()`; `tick` is called about once a second meanwhile.

        Raises Failed with the end of its output if it ends before, or isn't ready after `timeout`
        seconds.
        """
        deadline = time.monotonic() + timeout
        next_tick = time.monotonic() + 1
        while not ready():
            code = self.process.poll()
            if code is not None:
                raise Failed(
                    f"{self.name} ended with exit code {code} instead of starting; its output ends with\n"
                    f"{self.last_lines()}"
                )
            if time.monotonic() > deadline:
                raise Failed(
                    f"{self.name} isn't ready after {timeout:.0f} s; its output ends\n{self.last_lines()}"
                )
            if tick and time.monotonic() >= next_tick:
                tick()
                next_tick += 1
            time.sleep(every)

    def signal(self, number: int) -> None:
        """Sends a signal to the process itself (not to its group)."""
        if self.running:
            self.process.send_signal(number)

    def stop(self, timeout: float = PATIENCE) -> int:
        """Asks it to end with SIGTERM, kills what is left of its group after `timeout` seconds;
        exit code."""
        self.signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout)
        return self.kill()

    def kill(self) -> int:
        """Kills its whole group at once (`kill -9`); its exit code."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        code = self.process.wait()
        if self in _alive:
            _alive.remove(self)
        return code


def children_of(pid: int) -> list[int]:
    """The ids of a process's own children."""
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def running_children() -> list[Child]:
    """The children that were started and not yet stopped, the oldest first."""
    return _alive[:]


def stop_all() -> None:
    """Stops every child that still runs, the newest first."""
    for child in reversed(_alive[:]):
        child.stop(timeout=10)


def stop_all_on_exit() -> None:
    """Makes sure that no child outlives this process, however it ends; SIGTERM acts like Ctrl-C."""

    def interrupt(number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt(signal.Signals(number).name)

    atexit.register(stop_all)
    # SIGINT too: a shell's background job would otherwise inherit that it is ignored.
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)


# --- the bridge's processes ---


def bridge_environment(**settings: str) -> dict[str, str]:
    """Our own environment without the settings of a bridge, then `settings` (lower case names), for
    a child.

    Nothing that is exported in a developer's shell, nor a `.env` beside the code, nor a tool for
    development that some library would use if it is installed, changes what runs.
    """
    prefixes = ("BRIDGE_", "CONDUCTOR_", "GUNICORN_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(prefixes)
        and name not in ("PORT", "WEB_CONCURRENCY", "PROMETHEUS_MULTIPROC_DIR")
    }
    kept["PYTHONUNBUFFERED"] = "1"
    kept["PYDANTIC_DISABLE_PLUGINS"] = (
        "__all__"  # it would look for some in each package that is installed
    )
    kept["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(ROOT), str(_LEFT_OUT), os.environ.get("PYTHONPATH")])
    )
    return kept | {name.upper(): value for name, value in settings.items()}


def start_relay(
    environment: Mapping[str, str], log: Path, folder: Path = ROOT, checkout: Path = ROOT
) -> Child:
    """The relay as the Procfile starts it, on `$PORT` of the environment; returns once `/readyz`
    says yes. `checkout`: whose settings gunicorn gets, if its PYTHONPATH names another one."""
    relay = Child(
        "the relay",
        [
            sys.executable,
            "-m",
            "gunicorn",
            "--config",
            str(checkout / "relay" / "gunicorn_settings.py"),
            "relay:create_app()",
        ],
        log,
        environment,
        folder,
    )
    url = f"http://127.0.0.1:{environment['PORT']}/readyz"
    _ready_or_stopped(relay, lambda: status_of(url) == 200)
    return relay


def start_admin(environment: Mapping[str, str], log: Path, port: int, folder: Path = ROOT) -> Child:
    """The admin page on that port of the loopback interface; returns once it answers."""
    admin = Child(
        "the admin page",
        [sys.executable, "-m", "admin"],
        log,
        {**environment, "ADMIN_PORT": str(port)},
        folder,
    )
    _ready_or_stopped(admin, lambda: status_of(f"http://127.0.0.1:{port}/") is not None)
    return admin


def start_worker(
    environment: Mapping[str, str], log: Path, folder: Path = ROOT, within: Sequence[str] = ()
) -> Child:
    """The worker; returns once it has said its first words (it is ready whenever Conductor is).

    `within` begins its command, such as ``ip netns exec NAME``.
    """
    worker = Child(
        "the worker", [*within, sys.executable, "-m", "worker"], log, environment, folder
    )
    _ready_or_stopped(worker, lambda: bool(worker.output()))
    return worker


def _ready_or_stopped(child: Child, ready: Callable[[], bool]) -> None:
    try:
        child.wait_until(ready)
    except BaseException:
        child.kill()
        raise
