"""The bridge's processes, as tests and benchmarks start them."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from testkit import PATIENCE
from testkit.processes import Child, Failed, bridge_environment, free_port, start_relay


def test_a_relay_of_another_checkout_has_the_settings_of_that_one(tmp_path: Path) -> None:
    other = tmp_path / "other" / "relay" / "gunicorn_settings.py"
    other.parent.mkdir(parents=True)
    other.write_text("raise SystemExit('the settings of the other')", encoding="utf-8")
    environment = bridge_environment(port=str(free_port()))
    with pytest.raises(Failed, match="the settings of the other"):
        start_relay(environment, tmp_path / "log", tmp_path, tmp_path / "other")


def test_ctrl_c_ends_a_child_though_a_shell_has_us_ignore_it(tmp_path: Path) -> None:
    program = "import signal; print('up', flush=True); signal.pause()"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = Child("it", [sys.executable, "-c", program], tmp_path / "log")
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        child.wait_until(lambda: "up" in child.output())
        child.signal(signal.SIGINT)
        child.process.wait(PATIENCE)
        assert "KeyboardInterrupt" in child.output()
    finally:
        child.kill()
