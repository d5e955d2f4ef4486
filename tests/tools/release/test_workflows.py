"""The workflows: two linters find nothing, actions are pinned, and permissions are given job by
job."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tools.servers.processes import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def workflow(name: str) -> Any:
    """The workflow of that name."""
    return YAML(typ="safe", pure=True).load(ROOT / ".github" / "workflows" / f"{name}.yml")


def runs(name: str) -> str:
    """All commands of the workflow."""
    jobs = workflow(name)["jobs"].values()
    return "\n".join(step["run"] for job in jobs for step in job.get("steps", ()) if "run" in step)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_every_action_is_pinned_by_its_commit_with_its_version_beside_it(file: Path) -> None:
    used = re.findall(r"uses: (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    assert used
    pinned = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert [use for use in used if not use.startswith("./") and not pinned.fullmatch(use)] == []


def test_an_action_is_pinned_to_the_same_commit_everywhere() -> None:
    text = "\n".join(file.read_text(encoding="utf-8") for file in WORKFLOWS)
    pins = set(re.findall(r"uses: ([\w./-]+)@(\w+)", text))
    assert len(pins) == len(dict(pins))


def test_no_job_of_the_release_has_more_permissions_than_it_names() -> None:
    release = workflow("release")
    assert release["permissions"] == {}
    granted = {}
    for name, job in release["jobs"].items():
        granted[name] = {
            permission for permission, access in job["permissions"].items() if access == "write"
        }
    assert granted == {
        "check": set(),
        "test": set(),
        "packages": {"id-token", "attestations"},
        "pypi": {"id-token"},
        "image": {"id-token", "packages"},
        "chart": {"id-token", "packages"},
        "release": {"contents"},
        "docs": {"contents"},
    }


def test_nothing_is_published_before_the_tests_have_passed() -> None:
    jobs = workflow("release")["jobs"]

    def all_needs(name: str) -> set[str]:
        needs = jobs[name].get("needs", [])
        needs = {needs} if isinstance(needs, str) else set(needs)
        return needs.union(*map(all_needs, needs))

    assert jobs["test"]["uses"] == "./.github/workflows/ci.yml"
    assert [
        name for name in jobs if name not in ("check", "test") and "test" not in all_needs(name)
    ] == []


def test_the_release_calls_commands_that_there_are() -> None:
    from tools.release.__main__ import main

    called = set(re.findall(r"-m tools.release (\w+)", runs("release")))
    assert called == {"check", "notes", "chart", "site"}
    for command in called:
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0


def test_zizmor_finds_nothing() -> None:
    zizmor = Path(sys.executable).parent / "zizmor"
    if not zizmor.exists():
        pytest.skip("zizmor is not installed: pip install -e '.[dev]'")
    command = [
        str(zizmor),
        "--offline",
        "--no-progress",
        "--min-severity=medium",
        str(ROOT / ".github"),
    ]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_actionlint_finds_nothing() -> None:
    cache = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        / "conductor-webhook-bridge"
        / "bin"
    )
    actionlint = shutil.which("actionlint") or shutil.which("actionlint", path=cache)
    if actionlint is None:
        pytest.skip("actionlint is not installed, which .ci/run builds where Go is")
    found = subprocess.run(
        [actionlint, *map(str, WORKFLOWS)], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr
