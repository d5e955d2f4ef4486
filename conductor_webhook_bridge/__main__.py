"""The launcher: ``webhook-bridge``, and ``python PATH/conductor_webhook_bridge PROCESS``, as which
it runs a process.

A ``config.py`` in the working folder, or another distribution's, must not take the place of the
program's own. So this folder is first on Python's path. When Python runs a folder, it puts it there
itself, and leaves the working folder out.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from pathlib import Path

FOLDER = str(Path(__file__).parent)


def take_signals() -> None:
    """Lets a SIGTERM end a container's first process while it starts: the kernel sends that one no
    signal for which it has no handler yet."""
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda number, _frame: os._exit(128 + number))


def main() -> None:
    """The command line."""
    take_signals()
    sys.path.insert(0, FOLDER)
    from admin.cli import main as command_line

    command_line()


if __name__ == "__main__":
    take_signals()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
