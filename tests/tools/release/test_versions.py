"""The version is the same everywhere, and a tag must fit it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools.release.files import (
    PLACES,
    current_version,
    problems,
    sections,
    with_release,
    write_version,
)
from tools.servers.processes import ROOT


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with the files that have a version."""
    for file in {"CHANGELOG.md", *(file for file, _ in PLACES)}:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    changelog = (tmp_path / "CHANGELOG.md").read_text(encoding="utf-8")
    if current_version(ROOT) not in sections(changelog):  # it isn't released yet
        (tmp_path / "CHANGELOG.md").write_text(
            with_release(changelog, current_version(ROOT)), encoding="utf-8"
        )
    return tmp_path


def test_this_checkout_has_one_version_everywhere(copy: Path) -> None:
    assert problems(f"v{current_version(copy)}", copy) == []


@pytest.mark.parametrize("tag", ["1.2.3", "v1.2", "v1.2.3rc1", "v1.2.3-rc.1", "v"])
def test_a_tag_that_is_not_v_and_three_numbers_is_refused(tag: str) -> None:
    [problem] = problems(tag, ROOT)
    assert problem.startswith(f"{tag}: a release's tag is")


def test_each_file_that_does_not_fit_the_tag_is_named(copy: Path) -> None:
    found = problems("v9.8.7", copy)
    assert {problem.partition(":")[0] for problem in found} == {
        "CHANGELOG.md",
        *(file for file, _ in PLACES),
    }
    old = current_version(copy)
    assert f"pyproject.toml: the version is {old}, not 9.8.7" in found


def test_a_version_is_written_everywhere_and_nothing_else_changes(copy: Path) -> None:
    old = current_version(copy)
    write_version("9.8.7", copy)
    assert problems("v9.8.7", copy) == ["CHANGELOG.md: the section 9.8.7 is missing or empty"]
    write_version(old, copy)
    for file in {file for file, _ in PLACES}:
        assert (copy / file).read_text() == (ROOT / file).read_text()
