"""What `make run` does before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo import run
from testkit import sample


def test_a_signing_secret_is_made_up_once_for_the_shipped_webhook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("PORT=8000")
    monkeypatch.setattr(run, "ENV_FILE", env_file)
    monkeypatch.delenv("BRIDGE_WEBHOOKS", raising=False)
    monkeypatch.setenv(sample.SECRET_NAME, "x")
    run.make_up_secret()
    assert env_file.read_text() == "PORT=8000", "there is one"
    monkeypatch.delenv(sample.SECRET_NAME)
    run.make_up_secret()
    kept, made = env_file.read_text().splitlines()
    assert kept == "PORT=8000"
    name, _, secret = made.partition("=")
    assert (name, len(secret)) == (sample.SECRET_NAME, 32)
    run.make_up_secret()
    assert len(env_file.read_text().splitlines()) == 2


def test_definitions_of_ones_own_get_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "ENV_FILE", tmp_path / ".env")
    monkeypatch.delenv(sample.SECRET_NAME, raising=False)
    (tmp_path / "own.yaml").write_text("webhooks: []\n")
    for definitions in (tmp_path / "own.yaml", tmp_path):
        monkeypatch.setenv("BRIDGE_WEBHOOKS", str(definitions))
        run.make_up_secret()
    assert not (tmp_path / ".env").exists()
