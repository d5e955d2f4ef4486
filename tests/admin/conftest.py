"""A filled bridge, and ways to look at it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient

from admin.cli import main
from admin.explain import trials
from admin.page.app import create_app
from config.settings import Settings
from tests.support.sample import Sample, make_sample
from tools.servers import PATIENCE


@pytest.fixture
def patient_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Criteria are tried to the end: on a busy machine three seconds may be too few for a handful
    of events."""
    monkeypatch.setattr(trials, "_PATIENCE", PATIENCE)


@pytest.fixture
def patient_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Conductor's workflows are listed and read however long that takes on a busy machine."""
    for limit in ("_LISTED", "_READ", "_COMPARED"):
        monkeypatch.setattr(f"admin.page.definitions.{limit}", PATIENCE)
    monkeypatch.setattr("admin.page.context._CONDUCTOR", PATIENCE)


@pytest.fixture(autouse=True)
def _patient_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events are searched to the end; tests of the limit set one."""
    for module in ("admin.search", "store.sql.event_search"):
        monkeypatch.setattr(f"{module}.PATIENCE", PATIENCE)


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    return make_sample(tmp_path)


@pytest.fixture
def client(sample: Sample) -> FlaskClient:
    """The page, without a token."""
    return create_app(sample.settings).test_client()


class Cli:
    """Runs ``webhook-bridge`` in this process, with an environment of its own."""

    def __init__(self, environment: dict[str, str]):
        self.environment = environment

    def __call__(self, *arguments: str, code: int = 0, stdin: bytes | None = None) -> Result:
        nothing = {name.upper(): None for name in Settings.model_fields}
        result = CliRunner().invoke(
            main,
            arguments,
            input=stdin,
            env={**nothing, "PORT": None, **self.environment},
            prog_name="webhook-bridge",
        )
        assert result.exit_code == code, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result


@pytest.fixture
def cli(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line, on the sample."""
    monkeypatch.chdir(sample.folder)
    return Cli(sample.environment)
