"""A container's first process, to which the kernel sends no signal that it has no handler for."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conductor_webhook_bridge.__main__ import FOLDER
from tools.servers import PATIENCE
from tools.servers.processes import children_of

STARTING = "import time\nprint('begun', flush=True)\ntime.sleep(600)\n"
COMMAND_LINE = f"""
from unittest import mock
from conductor_webhook_bridge.__main__ import main
with mock.patch("admin.cli.main", lambda: exec({STARTING!r})):
    main()
"""
NEW = ["unshare", "--pid", "--fork"]


@pytest.mark.parametrize("command", [[FOLDER, "starts"], ["-c", COMMAND_LINE]])
def test_a_sigterm_ends_it_while_it_starts(command: list[str], tmp_path: Path) -> None:
    if shutil.which("unshare") is None or subprocess.run([*NEW, "true"]).returncode != 0:
        pytest.skip("this user can't make a namespace of process ids")
    (tmp_path / "starts.py").write_text(STARTING, encoding="utf-8")
    outside = subprocess.Popen(
        [*NEW, "--kill-child", sys.executable, *command],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    try:
        assert outside.stdout is not None
        assert outside.stdout.readline() == b"begun\n"
        [first] = children_of(outside.pid)
        os.kill(first, signal.SIGTERM)
        assert outside.wait(PATIENCE) == 128 + signal.SIGTERM
    finally:
        outside.kill()
        outside.communicate()
