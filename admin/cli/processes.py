"""The commands that set the bridge up and run its processes, from wherever it is installed."""

from __future__ import annotations

import os
import secrets
import shlex
import signal
import sys
from contextlib import suppress
from pathlib import Path

import click

from admin.cli.groups import fail
from admin.wording.terminal import plain
from conductor_webhook_bridge.__main__ import FOLDER
from config import private

PROCESSES = ("relay", "worker", "admin")
"""Each is a package, which Python can run."""


def command_of(process: str) -> list[str]:
    """The process's command. Modules of the working folder don't take the place of the installed
    ones."""
    return [sys.executable, FOLDER, process]


def _become(process: str) -> None:
    """Replaces this process, so that signals and the service manager reach the real one."""
    command = command_of(process)
    os.execv(command[0], command)  # noqa: S606 - our own command


@click.command()
def relay() -> None:
    """Run the relay: it receives deliveries at PORT (8000).

    It verifies them, commits them to the store and answers. It serves under gunicorn;
    GUNICORN_CMD_ARGS takes further options of gunicorn's. SIGTERM ends it after the requests in
    flight, SIGHUP reloads the webhook definitions.
    """
    _become("relay")


@click.command()
def worker() -> None:
    """Run the worker: it completes waiting tasks and starts workflows.

    Any number may run on one store: one of them, the leader, decides, and all of them call
    Conductor. SIGTERM ends it within ten seconds, SIGHUP reloads the webhook definitions.
    """
    _become("worker")


@click.command()
def admin() -> None:
    """Run the admin page and its API, at ADMIN_HOST (127.0.0.1) and ADMIN_PORT (8090)."""
    _become("admin")


@click.command()
def run() -> None:
    """Run relay, worker and admin page together, until Ctrl-C.

    For a trial, or one machine without a service manager. If one of the three ends, so do the
    others, and all do if the terminal is closed (unless nohup runs it).
    """
    from honcho.manager import Manager  # the others start without it
    from honcho.printer import Printer

    class Output(Printer):  # type: ignore[misc]
        """Where the terminal is gone, nothing is written: the processes must be stopped all the
        same."""

        def write(self, message: object) -> None:
            # RuntimeError: honcho writes in a signal's handler, too, maybe in the middle of a write.
            with suppress(OSError, RuntimeError):
                super().write(message)

    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    manager = Manager(Output(sys.stdout))
    for process in PROCESSES:
        manager.add_process(process, shlex.join(command_of(process)), env=dict(os.environ))
    manager.loop()
    sys.exit(manager.returncode)


_DEFINITION = """\
# One webhook, one URL: /webhook/hello. Every key is explained in docs/definitions.md.
webhooks:
  - name: hello
    headers:
      X-Api-Key: ${HELLO_KEY}        # a delivery must have this header; for GitHub, Slack, … see webhook-bridge new
    receivers:
      my_workflow: any               # its WAIT_FOR_WEBHOOK tasks are completed by matching events
"""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
def init(folder: Path) -> None:
    """Make FOLDER (this one by default) one in which the bridge can run.

    It gets a folder of definitions with a first webhook, `.env` with the settings and fresh secrets, and `data/` for
    the store. Nothing that is there is overwritten.

    \b
    Example:
      webhook-bridge init bridge && cd bridge && webhook-bridge run
    """
    environment, definition = folder / ".env", folder / "webhooks" / "hello.yaml"
    there = [path for path in (environment, definition) if path.exists()]
    if there:
        fail(f"{' and '.join(map(str, there))} exist already: nothing was made")
    try:
        for inside in (definition.parent, folder / "data"):
            private.make_folder(inside)
        settings = {
            "BRIDGE_WEBHOOKS": "webhooks",
            "BRIDGE_DATABASE": "sqlite:///data/bridge.db",
            "BRIDGE_ADMIN_WRITES": "on",
            "BRIDGE_ADMIN_TOKEN": secrets.token_hex(24),
            "CONDUCTOR_SERVER_URL": "http://localhost:8080/api",
            "HELLO_KEY": secrets.token_hex(24),
        }
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        for path, text in ((environment, lines), (definition, _DEFINITION)):
            with open(path, "x", encoding="utf-8", opener=private.opener) as file:
                file.write(text)
    except OSError as error:
        fail(f"{error.filename or folder} can't be written: {error.strerror}")
    click.echo(
        plain(
            f"Made {definition}, and {environment} with its secrets. Next, in {folder.resolve()}:\n"
            "  webhook-bridge check          does it all fit? (set CONDUCTOR_SERVER_URL in .env)\n"
            "  webhook-bridge run            relay at port 8000, worker, and the page at"
            " http://127.0.0.1:8090,\n                                which asks for"
            ' BRIDGE_ADMIN_TOKEN (it is in .env)\n  webhook-bridge send hello --data \'{"hello":'
            ' "world"}\'\n  webhook-bridge new            your first own webhook',
            lines=True,
        )
    )
