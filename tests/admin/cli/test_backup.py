"""`webhook-bridge backup`: what goes wrong is said of the copy, not of the store."""

from __future__ import annotations

import resource
from pathlib import Path

from tests.admin.conftest import Cli
from tests.support.own_process import in_own_process


def said_with_little_room(cli: Cli, copy: Path) -> str:
    """What `backup` says in a process whose files get no larger than half of any store."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    return cli("backup", str(copy), code=1).stderr


def test_a_copy_that_has_no_room_is_named(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    copy = folder / "copy.db"
    said = in_own_process(said_with_little_room, cli, copy)
    assert f"the store can't be copied to {copy}: SQLite: " in said
    assert list(folder.iterdir()) == []
