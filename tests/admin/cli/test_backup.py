"""`webhook-bridge backup`: what goes wrong is said of the copy, not of the store."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.admin.conftest import Cli


@pytest.fixture
def little_room(cli: Cli) -> Iterator[None]:
    """No file of this process gets larger than half of any store."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("little_room")
def test_a_copy_that_has_no_room_is_named(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    copy = folder / "copy.db"
    assert (
        f"the store can't be copied to {copy}: SQLite: " in cli("backup", str(copy), code=1).stderr
    )
    assert list(folder.iterdir()) == []
