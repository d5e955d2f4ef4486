"""The worker's process when its machine's clock is set while it runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from testkit.processes import Child, bridge_environment
from testkit.wall_clock import WallClock


def definitions(name: str) -> str:
    return f"webhooks: [{{name: {name}, verifier: none, receivers: {{a: any}}}}]\n"


@pytest.mark.skipif(not WallClock.is_possible(), reason="needs Linux and a C compiler")
def test_a_worker_keeps_running_when_its_machines_clock_is_set_back_by_a_day(tmp_path: Path) -> None:
    clock = WallClock(tmp_path)
    file = tmp_path / "webhooks.yaml"
    file.write_text(definitions("one"))
    environment = bridge_environment(
        bridge_webhooks=str(file),
        bridge_database=f"sqlite:///{tmp_path}/bridge.db",
        bridge_worker_metrics="off",
        conductor_server_url="http://127.0.0.1:1/api",  # nobody listens there
    )
    worker = Child("the worker", [sys.executable, "-m", "worker"], tmp_path / "log", environment | clock.environment)

    def wait_for_log(text: str) -> None:
        worker.wait_until(lambda: text in worker.output())

    try:
        wait_for_log("this worker is leader")
        file.write_text(definitions("two"))
        wait_for_log("two")
        clock.set(-86_400)
        file.write_text(definitions("three"))
        wait_for_log("three")
        assert worker.stop() == 0
    finally:
        worker.kill()
