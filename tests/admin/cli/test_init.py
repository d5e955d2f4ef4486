"""`webhook-bridge init`: from an empty folder to definitions that check accepts."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from dotenv import dotenv_values

from tests.admin.conftest import Cli


def test_what_it_makes_passes_the_check_and_nothing_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cli = Cli({})
    assert "webhook-bridge run" in cli("init", "bridge").stdout
    environment = tmp_path / "bridge" / ".env"
    assert stat.S_IMODE(environment.stat().st_mode) == 0o600
    written = environment.read_text()
    monkeypatch.chdir(tmp_path / "bridge")
    made = Cli(
        {name: value for name, value in dotenv_values(environment).items() if value is not None}
    )
    assert "webhooks (hello.yaml): 1 webhook, no errors" in made("check", "--offline").stderr
    assert "hello" in made("webhooks").stdout
    assert "exist already" in made("init", code=1).stderr
    assert environment.read_text() == written
