"""Tries a wheel as a newcomer does: installed by pip, pipx and uvx on each Python that this machine
has, `webhook-bridge init && webhook-bridge run` in an empty folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from tools.servers.processes import Child, Failed, free_port, status_of, stop_all_on_exit

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
"""The versions that the project supports."""
_UV = [sys.executable, "-m", "uv"]


class CantTry(Exception):
    """The wheel can't be installed, or doesn't run; the text says why."""


def try_wheel(wheel: Path, say: Callable[[str], None]) -> bool:
    """Tries it in every way, and says what became of each; whether all went well."""
    stop_all_on_exit()
    wheel = wheel.resolve()
    is_well = True
    for version in PYTHONS:
        python = _find(version)
        if python is None:
            say(f"{version}: this machine has none")
            continue
        for name, install in _WAYS.items():
            try:
                with tempfile.TemporaryDirectory(prefix="webhook-bridge-try-") as folder:
                    _run(install(python, wheel, Path(folder)), Path(folder) / "work")
            except CantTry as error:
                is_well = False
                say(f"{version}, {name}: {error}")
            else:
                say(f"{version}, {name}: installed; init && run works")
    return is_well


def _find(version: str) -> str | None:
    """The path of that Python; None if this machine has none."""
    command = [
        *_UV,
        "python",
        "find",
        "--no-project",
        "--offline",
        "--no-python-downloads",
        version,
    ]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


# --- the ways to install it; each returns what `webhook-bridge` is there


def _by_pip(python: str, wheel: Path, folder: Path) -> list[str]:
    _do([python, "-m", "venv", str(folder / "venv")])
    _do([str(folder / "venv" / "bin" / "pip"), "install", "--quiet", str(wheel)])
    return [str(folder / "venv" / "bin" / "webhook-bridge")]


def _by_pipx(python: str, wheel: Path, folder: Path) -> list[str]:
    places = {"PIPX_HOME": str(folder / "pipx"), "PIPX_BIN_DIR": str(folder / "bin")}
    _do([*_UV, "tool", "run", "pipx", "install", "--quiet", "--python", python, str(wheel)], places)
    return [str(folder / "bin" / "webhook-bridge")]


def _by_uvx(python: str, wheel: Path, folder: Path) -> list[str]:
    return [*_UV, "tool", "run", "--python", python, "--from", str(wheel), "webhook-bridge"]


_WAYS: dict[str, Callable[[str, Path, Path], list[str]]] = {
    "pip": _by_pip,
    "pipx": _by_pipx,
    "uvx": _by_uvx,
}


def _do(
    command: list[str], more: Mapping[str, str] | None = None, folder: Path | None = None
) -> None:
    environment = _environment(**(more or {}))
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise CantTry(f"{' '.join(command)}: {done.stderr.strip()[-500:]}")


def _environment(**settings: str) -> dict[str, str]:
    """Ours without what would lead to the checkout or set up the bridge."""
    ours = ("BRIDGE_", "CONDUCTOR_", "PYTHON", "VIRTUAL_ENV", "PORT")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | settings


# --- init && run


def _run(program: list[str], folder: Path) -> None:
    """Raises CantTry unless relay, worker and page are ready in that new folder."""
    folder.mkdir()
    _do([*program, "init"], folder=folder)
    port, admin = free_port(), free_port()
    environment = _environment(
        PORT=str(port),
        ADMIN_PORT=str(admin),
        BRIDGE_WORKER_METRICS="off",
        CONDUCTOR_SERVER_URL="http://127.0.0.1:1/api",
    )
    child = Child("webhook-bridge run", [*program, "run"], folder / "run.log", environment, folder)
    try:
        for at in (port, admin):
            url = f"http://127.0.0.1:{at}/readyz"
            child.wait_until(lambda url=url: status_of(url) == 200)  # type: ignore[misc]
        child.signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            child.process.wait(60)
        if child.running:
            raise CantTry("it doesn't end with Ctrl-C")
    except Failed as error:
        raise CantTry(str(error)) from None
    finally:
        child.stop()
        shutil.rmtree(folder / "data", ignore_errors=True)
