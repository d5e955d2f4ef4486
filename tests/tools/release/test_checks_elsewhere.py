"""The hook and the action by which other repositories check their definitions, as pre-commit and a
runner would do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tools.servers.processes import ROOT

pytestmark = pytest.mark.long
GOOD = "webhooks: [{name: ours, platform: github, secret: '${NOT_SET_HERE}', receivers: {deploy: any}}]\n"
BAD = GOOD.replace("receivers", "recievers")


def yaml(name: str) -> Any:
    """The file at the root of this repository."""
    return YAML(typ="safe", pure=True).load(ROOT / name)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with good definitions."""
    folder = tmp_path / "theirs"
    (folder / "config").mkdir(parents=True)
    folder.joinpath("config", "webhooks.yaml").write_text(GOOD)
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    subprocess.run(["git", "-C", str(folder), "add", "."], check=True)
    return folder


def outcome(folder: Path, command: list[str], **environment: str) -> tuple[int, str]:
    """The command's exit code, and all that it said."""
    variables = os.environ | environment
    done = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, timeout=600
    )
    return done.returncode, done.stdout + done.stderr


def test_the_hook_stops_a_commit_with_a_wrong_definition(repository: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pre_commit",
        "try-repo",
        str(ROOT),
        "webhook-bridge-check",
        "--all-files",
    ]
    home = {"PRE_COMMIT_HOME": str(tmp_path / "home")}
    assert outcome(repository, command, **home)[0] == 0
    repository.joinpath("config", "webhooks.yaml").write_text(BAD)
    code, said = outcome(repository, command, **home)
    assert code == 1
    assert "config/webhooks.yaml:1" in said and "recievers" in said


def test_the_action_fails_for_a_wrong_definition(repository: Path, tmp_path: Path) -> None:
    action = yaml("action.yml")
    install, check = (step["run"] for step in action["runs"]["steps"])
    runner = {"RUNNER_TEMP": str(tmp_path), "GITHUB_ACTION_PATH": str(ROOT)}
    code, said = outcome(repository, ["bash", "-e", "-c", install], **runner)
    assert code == 0, said
    runner["DEFINITIONS"] = action["inputs"]["path"]["default"]
    assert outcome(repository, ["bash", "-e", "-c", check], **runner)[0] == 0
    repository.joinpath("config", "webhooks.yaml").write_text(BAD)
    assert outcome(repository, ["bash", "-e", "-c", check], **runner)[0] == 1
