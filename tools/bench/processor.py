"""CPU time of processes."""

from __future__ import annotations

import os
import time
from pathlib import Path

_IDLE = 0.1
_LOOK = 0.25
LONGEST_WAIT = 30.0


def seconds(pid: int) -> float:
    """Seconds of CPU time that the process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_until_idle(longest: float = LONGEST_WAIT) -> float:
    """Waits, that long at most, until the whole machine takes less than a tenth of a core; the
    seconds until then.

    A server may have work left over from a load that has ended, and would share the processor with
    what is measured next.
    """
    began = time.monotonic()
    while (waited := time.monotonic() - began) < longest:
        before = _busy()
        time.sleep(_LOOK)
        if _busy() - before < _IDLE * _LOOK:
            break
    return waited


def _busy() -> float:
    """Seconds of all processors together that weren't idle."""
    user, nice, system, _, _, *others = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    )
    return (user + nice + system + sum(others)) / os.sysconf("SC_CLK_TCK")
