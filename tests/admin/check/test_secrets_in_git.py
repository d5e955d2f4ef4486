"""`check` warns about secrets that could be committed."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from admin.check.advice import find_secrets_in_git, not_ignored
from config.webhooks import load_definitions

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
DEFINITIONS = f"""\
webhooks:
  - {{name: named, platform: github, secret: "${{file:key}}", receivers: {{w: any}}}}
  - {{name: ignored, platform: github, secret: "${{file:private/key}}", receivers: {{w: any}}}}
  - {{name: variable, platform: github, secret: "${{KEY}}", receivers: {{w: any}}}}
  - name: written
    headers:
      X-Key: {SECRET}
    receivers: {{w: any}}
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / ".gitignore").write_text("*\n")
    for name in ("key", "private/key"):
        (tmp_path / name).write_text(SECRET)
    (tmp_path / "webhooks.yaml").write_text(DEFINITIONS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(tree: Path) -> list[str]:
    definitions = load_definitions(tree / "webhooks.yaml", None, {"KEY": SECRET})
    return [str(problem).removeprefix(f"{tree}/") for problem in find_secrets_in_git(definitions)]


def test_a_secret_that_git_would_take_is_warned_of(tree: Path) -> None:
    assert found(tree) == [
        f"webhooks.yaml:2: webhook named: secret: warning: {tree}/key holds the secret, and git doesn't ignore it; "
        "add it to .gitignore, or move it out of the work tree",
        "webhooks.yaml:7: webhook written: headers.X-Key: warning: this file holds the secret, and git doesn't "
        "ignore it; refer to a variable, or to a file outside the work tree",
    ]
    (tree / ".env").write_text("A=b\n")
    assert (
        ".env:1: git: warning: this file holds secrets, and git doesn't ignore it; add it to .gitignore"
        in found(tree)
    )
    (tree / ".gitignore").write_text("key\nwebhooks.yaml\n.env\n")
    assert found(tree) == []


def test_outside_of_a_work_tree_there_is_nothing_to_warn_of(tree: Path) -> None:
    (tree / ".git").rename(tree / "not-git")
    assert found(tree) == []


def test_git_is_asked_once_for_all_files_of_a_folder(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    run = subprocess.run

    def counted(command: list[str], **more: Any) -> Any:
        asked.append(command)
        return run(command, **more)

    monkeypatch.setattr(subprocess, "run", counted)
    names = ["a", "b\nc", "ö ü", *map(str, range(200))]
    for name in names:
        (tree / name).write_text(SECRET)
    (tree / ".gitignore").write_text("b*\n1*\n")
    paths = {tree / name for name in names}
    assert not_ignored(paths) == {path for path in paths if path.name[0] not in "b1"}
    assert len(asked) == 1
