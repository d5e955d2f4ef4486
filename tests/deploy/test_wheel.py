"""The wheel, installed where there is no checkout: what it holds, and that each process runs from
it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tools.servers import PATIENCE, eventually
from tools.servers.processes import ROOT, Child, free_port, status_of

DEFINITIONS = """webhooks:
  - {name: orders, headers: {X-Api-Key: "${ORDERS_KEY}"}, receivers: {order_flow: any}}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--quiet", "--wheel", "--no-build-isolation", "--out-dir", str(folder)]
    command = [sys.executable, "-m", "uv", "build", "--python", sys.executable, *options, str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of an environment that has the wheel, its dependencies from this
    one, and another distribution's packages with names of ours."""
    home = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run(
        [sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, str(home)],
        check=True,
    )
    python = home / "bin" / "python"
    install = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--python",
        str(python),
    ]
    subprocess.run([*install, str(wheel)], check=True)
    (site,) = home.glob("lib/python*/site-packages")
    # Behind the wheel's own packages. Only the folder: a .pth in it, such as the checkout's, isn't
    # read.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    put_strangers(site, "config.py", "relay.py", "worker/__init__.py", "store.py")
    return home / "bin"


def put_strangers(folder: Path, *names: str) -> None:
    """Modules that end the program that imports them."""
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(
            f"raise SystemExit('{folder / name} was imported')\n", encoding="utf-8"
        )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A working folder with definitions and files that are named as modules of ours or of a
    library, and nothing of the checkout."""
    put_strangers(tmp_path, "config.py", "relay.py", "worker/__init__.py", "store.py", "flask.py")
    (tmp_path / "webhooks.yaml").write_text(DEFINITIONS, encoding="utf-8")
    (tmp_path / ".env").write_text(
        "ORDERS_KEY=a-key-that-nobody-can-guess\nBRIDGE_WEBHOOKS=webhooks.yaml\n"
    )
    yield tmp_path


def environment(**settings: str) -> dict[str, str]:
    """An environment without a word of the checkout's."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **kept,
        "CONDUCTOR_SERVER_URL": "http://127.0.0.1:1/api",
        "BRIDGE_RELAY_METRICS": "off",
        **settings,
    }


def test_the_wheel_holds_every_package_and_its_data(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--others", "--cached", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    packages = ("admin/", "config/", "criteria/", "platforms/", "relay/", "store/", "worker/")
    ours = {file for file in tracked if file.startswith(packages) and (ROOT / file).exists()}
    assert {f"conductor_webhook_bridge/{file}" for file in ours} <= held
    assert {name.split("/")[0] for name in held if ".dist-info/" not in name} == {
        "conductor_webhook_bridge"
    }


def test_check_runs_from_the_wheel_and_reads_env(installed: Path, folder: Path) -> None:
    command = [str(installed / "webhook-bridge"), "check", "--offline"]
    answer = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_run_starts_all_three_processes_of_the_wheel_and_ends_with_ctrl_c(
    installed: Path, folder: Path
) -> None:
    port, admin, worker = free_port(), free_port(), free_port()
    settings = environment(
        PORT=str(port),
        ADMIN_PORT=str(admin),
        BRIDGE_WORKER_METRICS=f"127.0.0.1:{worker}",
        PYTHONUNBUFFERED="1",
    )
    child = Child(
        "run", [str(installed / "webhook-bridge"), "run"], folder / "run.log", settings, folder
    )
    try:
        for at, path in ((port, "/readyz"), (admin, "/readyz"), (worker, "/healthz")):
            url = f"http://127.0.0.1:{at}{path}"
            child.wait_until(lambda url=url: status_of(url) == 200, timeout=PATIENCE)  # type: ignore[misc]
        assert (folder / "data" / "bridge.db").exists()
        child.process.send_signal(signal.SIGINT)
        assert child.process.wait(PATIENCE) in (0, 130, -signal.SIGINT)
    finally:
        child.stop()


def test_run_ends_all_three_when_its_terminal_is_closed(installed: Path, folder: Path) -> None:
    port = free_port()
    settings = environment(PORT=str(port), ADMIN_PORT=str(free_port()), BRIDGE_WORKER_METRICS="off")
    program = "import pty, sys; pty.spawn(sys.argv[1:])"
    command = [sys.executable, "-c", program, str(installed / "webhook-bridge"), "run"]
    terminal = Child("a terminal", command, folder / "terminal.log", settings, folder)
    terminal.wait_until(lambda: status_of(f"http://127.0.0.1:{port}/readyz") == 200)
    started = {pid for pid in os.listdir("/proc") if is_in(folder, pid)}
    assert len(started) > 3
    terminal.kill()
    try:
        assert eventually(lambda: not any(is_in(folder, pid) for pid in started))
    finally:
        for pid in started:
            if is_in(folder, pid):
                os.kill(int(pid), signal.SIGKILL)


def is_in(folder: Path, pid: str) -> bool:
    """Whether that is a process that works in the folder."""
    with suppress(OSError):
        return os.readlink(f"/proc/{pid}/cwd") == str(folder)
    return False


def test_a_process_of_the_wheel_is_the_one_that_gets_the_signals(
    installed: Path, folder: Path
) -> None:
    port = free_port()
    command, log = [str(installed / "webhook-bridge"), "relay"], folder / "relay.log"
    child = Child("relay", command, log, environment(PORT=str(port)), folder)
    try:
        child.wait_until(
            lambda: status_of(f"http://127.0.0.1:{port}/healthz") == 200, timeout=PATIENCE
        )
        child.process.send_signal(signal.SIGTERM)
        assert child.process.wait(PATIENCE) == 0, log.read_text()
    finally:
        child.stop()
