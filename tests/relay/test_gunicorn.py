"""The relay as it is shipped: gunicorn with its configuration, real processes and signals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from admin.cli.processes import command_of
from tests.support.relay_process import KEY, Process, definitions
from tools.servers import PATIENCE, eventually


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path)
    process.file.write_text(definitions("one"))
    yield process
    process.kill()


def test_it_serves_reloads_survives_and_stops(relay: Process) -> None:
    relay.start()
    assert eventually(lambda: relay.status("GET", "/readyz") == 200), relay.log.read_text()
    assert eventually(lambda: relay.status("POST", "/webhook/one", b"{}") == 200)
    assert eventually(
        lambda: (
            relay.status("GET", "/metrics", port=relay.metrics_port) == 200
            and b"bridge_deliveries_total" in relay.body
        )
    )

    relay.file.write_text(definitions("two"))  # by itself
    assert eventually(lambda: relay.status("POST", "/webhook/two", b"{}") == 200)
    assert eventually(lambda: relay.status("POST", "/webhook/one", b"{}") == 503)
    # Its parent, from which new workers have them, says nothing of it. It reads them at once.
    time.sleep(1)

    # Broken: neither a signal nor a new worker makes it lose what it has.
    relay.file.write_text("webhooks: [")
    relay.process.send_signal(signal.SIGHUP)
    workers = subprocess.run(
        ["pgrep", "-P", str(relay.process.pid)], capture_output=True, text=True, check=True
    )
    for pid in workers.stdout.split():
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            continue
    assert eventually(lambda: relay.status("POST", "/webhook/two", b"{}") == 200)
    assert eventually(
        lambda: (
            relay.status("GET", "/metrics", port=relay.metrics_port) == 200
            and b'bridge_definitions_ok{process="relay"} 0.0' in relay.body
        )
    )

    relay.file.write_text(definitions("three"))
    relay.process.send_signal(signal.SIGHUP)
    assert eventually(lambda: relay.status("POST", "/webhook/three", b"{}") == 200)

    assert relay.stop() == 0
    log = relay.log.read_text()
    assert "Traceback" not in log
    assert KEY not in log


def test_definitions_that_cannot_be_used_end_the_start(relay: Process) -> None:
    relay.file.write_text("webhooks: [")
    relay.start()
    assert relay.process.wait(PATIENCE) != 0
    said = relay.log.read_text()
    assert "webhooks.yaml:1: " in said
    assert "Traceback" not in said


@pytest.mark.parametrize("port", ["abc", "99999", "-1"])
def test_a_port_that_is_none_is_told_with_its_setting(port: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        command_of("relay"),
        cwd=tmp_path,
        env=os.environ | {"PORT": port},
        capture_output=True,
        text=True,
        check=False,
    )
    said = f"the relay can't start:\nPORT: '{port}' is not a port; write a number from 1 to 65535\n"
    assert (ended.returncode, ended.stderr) == (1, said)


def test_the_port_may_be_set_in_dotenv_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=of-dotenv\n", encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "PORT"}
    for given, used in (({}, "of-dotenv"), ({"PORT": "of-environment"}, "of-environment")):
        ended = subprocess.run(
            command_of("relay"),
            cwd=tmp_path,
            env=environment | given,
            capture_output=True,
            text=True,
            check=False,
        )
        assert f"PORT: '{used}' is not a port" in ended.stderr


def test_a_metrics_port_that_is_taken_is_only_a_warning(relay: Process) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", relay.metrics_port))
        other.listen()
        relay.start()
        assert eventually(lambda: relay.status("POST", "/webhook/one", b"{}") == 200)
        assert eventually(lambda: "can't listen on the metrics port" in relay.log.read_text())
        assert relay.stop() == 0
