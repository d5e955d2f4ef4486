"""A test measures its own process alone: others' threads and their memory are in another."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any, TypeVar

from tools.servers.processes import ROOT, dies_with_us

T = TypeVar("T")


def in_own_process(function: Callable[..., T], *arguments: Any) -> T:
    """What the function returns in a new process: a function of a module, whose arguments and
    result can be pickled.

    Raises AssertionError with all that the process wrote, as its traceback, if it fails there.
    """
    done = subprocess.run(
        dies_with_us([sys.executable, "-m", __name__]),
        input=pickle.dumps((function, arguments)),
        capture_output=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    result: T = pickle.loads(done.stdout)
    return result


def peak_of(function: Callable[..., object], *arguments: Any) -> int:
    """The most bytes that Python's objects take at once while the function runs, beside its
    arguments, in a process of its own."""
    return in_own_process(_traced, function, *arguments)


def _traced(function: Callable[..., object], *arguments: Any) -> int:
    tracemalloc.start()
    function(*arguments)
    return tracemalloc.get_traced_memory()[1]


if __name__ == "__main__":
    answer, sys.stdout = sys.stdout.buffer, sys.stderr
    called, given = pickle.load(sys.stdin.buffer)
    pickle.dump(called(*given), answer)
