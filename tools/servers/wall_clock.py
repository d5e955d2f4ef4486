"""A process whose wall clock can be set while it runs; the machine's is left alone. For Linux with
a C compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_suffix(".c")


class WallClock:
    """The wall clock of the processes that are started with its `environment`."""

    def __init__(self, folder: Path):
        """Files go into the folder."""
        self._file = folder / "wall-clock"
        self._library = folder / "wall-clock.so"
        self.set(0)
        compiler = shutil.which("cc")
        assert compiler is not None
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-o", self._library, _SOURCE, "-ldl"], check=True
        )

    @staticmethod
    def is_possible() -> bool:
        """Whether this machine can do it."""
        return os.uname().sysname == "Linux" and shutil.which("cc") is not None

    @property
    def environment(self) -> dict[str, str]:
        """What such a process needs."""
        return {"LD_PRELOAD": str(self._library), "WALL_CLOCK_FILE": str(self._file)}

    def set(self, ahead: int) -> None:
        """Sets the clock so many seconds ahead of the machine's."""
        new = self._file.with_suffix(".new")
        new.write_text(str(ahead))
        new.replace(self._file)
