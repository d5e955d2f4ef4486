"""Runs the Procfile's processes as `honcho start` does, but each with the environment as it is.

honcho's own command gives every kind of process another PORT. Here it is the relay's, and the admin
page must know it: it shows the webhooks' URLs, and sends test events to them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from honcho.environ import parse_procfile
from honcho.manager import Manager


def main(procfile: Path) -> int:
    """Runs them in the working folder until one ends or we are stopped. Returns the exit code of
    the one that ended."""
    manager = Manager()
    for name, command in parse_procfile(procfile.read_text(encoding="utf-8")).processes.items():
        manager.add_process(name, command, env=dict(os.environ))
    manager.loop()
    return int(manager.returncode or 0)


if __name__ == "__main__":
    sys.exit(main(Path("Procfile")))
