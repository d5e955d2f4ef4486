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


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="only root can make a namespace"
)
def test_a_sigterm_ends_it_while_it_starts(tmp_path: Path) -> None:
    (tmp_path / "starts.py").write_text(
        "import time\nprint('begun', flush=True)\ntime.sleep(600)\n", encoding="utf-8"
    )
    outside = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", sys.executable, FOLDER, "starts"],
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
