"""The bridge's processes, as tests and benchmarks start them."""

from __future__ import annotations

from pathlib import Path

import pytest

from testkit.processes import Failed, bridge_environment, free_port, start_relay


def test_a_relay_of_another_checkout_has_the_settings_of_that_one(tmp_path: Path) -> None:
    other = tmp_path / "other" / "relay" / "gunicorn_settings.py"
    other.parent.mkdir(parents=True)
    other.write_text("raise SystemExit('the settings of the other')", encoding="utf-8")
    environment = bridge_environment(port=str(free_port()))
    with pytest.raises(Failed, match="the settings of the other"):
        start_relay(environment, tmp_path / "log", tmp_path, tmp_path / "other")
