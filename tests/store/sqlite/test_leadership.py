"""The lock that dies with its process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from store.sqlite.leadership import ProcessLock


def test_only_one_has_the_lock_and_the_next_gets_it_when_it_is_given_up(tmp_path: Path) -> None:
    one, other = ProcessLock(tmp_path / "lock"), ProcessLock(tmp_path / "lock")
    assert one.acquire()
    assert one.acquire(), "it still has it"
    assert not other.acquire()
    one.release()
    one.release()
    assert other.acquire()
    other.release()


def test_a_killed_process_has_no_lock(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from store.sqlite.leadership import ProcessLock\n"
            "print(ProcessLock(Path(sys.argv[1])).acquire(), flush=True); sys.stdin.read()",
            str(tmp_path / "lock"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    lock = ProcessLock(tmp_path / "lock")
    assert not lock.acquire()
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    assert lock.acquire()
    lock.release()


def test_where_no_lock_can_be_had_nobody_is_known_to_be_dead(tmp_path: Path) -> None:
    assert not ProcessLock(tmp_path / "no folder" / "lock").acquire()
