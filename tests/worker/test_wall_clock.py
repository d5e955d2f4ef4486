"""The worker's process, as its machine's clock is set while it runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testkit import PATIENCE
from testkit.wall_clock import WallClock


def definitions(name: str) -> str:
    return f"webhooks: [{{name: {name}, verifier: none, receivers: {{a: any}}}}]\n"


@pytest.mark.skipif(not WallClock.is_possible(), reason="needs Linux and a C compiler")
def test_a_worker_goes_on_whose_machines_clock_is_set_back_by_a_day(tmp_path: Path) -> None:
    clock = WallClock(tmp_path)
    file, log = tmp_path / "webhooks.yaml", tmp_path / "log"
    file.write_text(definitions("one"))

    def eventually(text: str) -> None:
        end = time.monotonic() + PATIENCE
        while text not in log.read_text():
            assert worker.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)

    with log.open("wb") as out:
        worker = subprocess.Popen(
            [sys.executable, "-m", "worker"],
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")},
                **clock.environment,
                "BRIDGE_WEBHOOKS": str(file),
                "BRIDGE_DATABASE": f"sqlite:///{tmp_path}/bridge.db",
                "BRIDGE_WORKER_METRICS": "off",
                "CONDUCTOR_SERVER_URL": "http://127.0.0.1:1/api",  # nobody listens there
            },
            stdout=out,
            stderr=out,
        )
    try:
        eventually("this worker is leader")
        file.write_text(definitions("two"))
        eventually("two")
        clock.set(-86_400)
        file.write_text(definitions("three"))
        eventually("three")
        worker.terminate()
        assert worker.wait(PATIENCE) == 0
    finally:
        worker.kill()
        worker.wait(PATIENCE)
