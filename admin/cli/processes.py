"""The commands that run the bridge's processes, from wherever it is installed: relay, worker, admin, and all three."""

from __future__ import annotations

import os
import shlex
import sys

import click

from conductor_webhook_bridge.__main__ import FOLDER

PROCESSES = ("relay", "worker", "admin")
"""Each is a package, which Python can run."""


def command_of(process: str) -> list[str]:
    """The process's command. Modules of the working folder don't take the place of the installed ones."""
    return [sys.executable, FOLDER, process]


def _become(process: str) -> None:
    """Replaces this process, so that signals and the service manager reach the real one."""
    command = command_of(process)
    os.execv(command[0], command)  # noqa: S606 - our own command


@click.command()
def relay() -> None:
    """Run the relay: it receives deliveries at PORT (8000).

    It verifies them, commits them to the store and answers. It serves under gunicorn; GUNICORN_CMD_ARGS takes further
    options of gunicorn's. SIGTERM ends it after the requests in flight, SIGHUP reloads the webhook definitions.
    """
    _become("relay")


@click.command()
def worker() -> None:
    """Run the worker: it completes waiting tasks and starts workflows.

    Any number may run on one store: one of them, the leader, decides, and all of them call Conductor. SIGTERM ends it
    within ten seconds, SIGHUP reloads the webhook definitions.
    """
    _become("worker")


@click.command()
def admin() -> None:
    """Run the admin page and its API, at ADMIN_HOST (127.0.0.1) and ADMIN_PORT (8090)."""
    _become("admin")


@click.command()
def run() -> None:
    """Run relay, worker and admin page together, until Ctrl-C.

    For a trial, or one machine without a service manager. If one of the three ends, so do the others.
    """
    from honcho.manager import Manager  # the others start without it

    manager = Manager()
    for process in PROCESSES:
        manager.add_process(process, shlex.join(command_of(process)), env=dict(os.environ))
    manager.loop()
    sys.exit(manager.returncode)
