"""`make demo` shows what it promises, says why it can't, and leaves nothing running."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools.servers import PATIENCE
from tools.servers.client import Conductor, wait_for
from tools.servers.processes import ROOT, dies_with_us


def demo(*options: str, **environment: str) -> subprocess.Popen[str]:
    """The demo as `make demo` starts it, in a process group of its own."""
    return subprocess.Popen(
        dies_with_us([sys.executable, "-m", "tools.demo", *options]),
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def processes_with(variable: str) -> list[int]:
    """The processes in whose environment this text is, ours excepted."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (
                variable.encode() in (folder / "environ").read_bytes()
                and int(folder.name) != os.getpid()
            ):
                found.append(int(folder.name))
        except OSError:  # it has ended, or isn't ours
            continue
    return found


def test_the_demo_shows_the_workflow_completed_with_the_event_in_its_output(
    conductor: Conductor,
) -> None:
    with demo(
        CONDUCTOR_SERVER_URL=conductor.url, BRIDGE_DATABASE="postgresql://127.0.0.1:1/none"
    ) as process:
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    assert "not BRIDGE_DATABASE" in output
    assert output.index("Unverified\n") < output.index("\nVerified\n")
    found = re.search(r"workflow (\S+): RUNNING → COMPLETED", output)
    assert found, output
    assert conductor.status(found[1]) == "COMPLETED"
    assert '"text": "Hello from Slack"' in output


def test_the_demo_with_a_kill_says_what_was_kept_and_completes_each_workflow_once(
    conductor: Conductor,
) -> None:
    with demo("--kill", CONDUCTOR_SERVER_URL=conductor.url) as process:
        output, _ = process.communicate(timeout=3 * PATIENCE)
    assert process.returncode == 0, output
    assert re.search(r"kill -9 of the worker: workflows \d+ COMPLETED, \d+ RUNNING\n", output)
    assert re.search(r"kept in the store: the event, pending; its targets .*\d+ pending\n", output)
    assert "workflows 20 COMPLETED, each by event" in output
    assert "nothing was lost, and nothing was done twice" in output


def test_the_demo_says_why_it_cannot_start(conductor: Conductor) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with demo(CONDUCTOR_SERVER_URL=conductor.url, PORT=str(port)) as process:
            output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert f"port {port} for the relay can't be used" in output


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda one: one.name)
def test_the_demo_leaves_nothing_running_however_it_is_ended(
    conductor: Conductor, number: signal.Signals
) -> None:
    mark = f"DEMO_MARK=mark-{time.monotonic_ns()}"
    name, _, value = mark.partition("=")
    with demo(CONDUCTOR_SERVER_URL=conductor.url, **{name: value}) as process:
        wait_for(lambda: len(processes_with(mark)) >= 3, "the demo has started its processes")
        process.send_signal(number)
        process.communicate(timeout=PATIENCE)
    assert process.returncode in (130, -signal.SIGKILL)
    wait_for(lambda: not processes_with(mark), "every process of the demo has ended")
