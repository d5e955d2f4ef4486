"""What processes and store take, sampled all the time; the first and the last half hour side by
side."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tools.servers.processes import Child, children_of

HALF_HOUR = 1800.0
EVERY = 5.0
"""Seconds between samples."""


@dataclass(frozen=True)
class Sample:
    """A quantity at one moment."""

    at: float
    """Seconds since the beginning."""
    what: str
    value: float


def of_process(child: Child) -> dict[str, float]:
    """What a process and its children take together. Raises OSError if one has just ended."""
    found = {"memory, MB": 0.0, "descriptors": 0.0, "threads": 0.0}
    for pid in (child.pid, *children_of(child.pid)):
        folder = Path(f"/proc/{pid}")
        lines = (folder / "status").read_text().splitlines()
        status = dict(line.split(":", 1) for line in lines)
        found["memory, MB"] += int(status["VmRSS"].split()[0]) / 1024
        found["threads"] += int(status["Threads"])
        found["descriptors"] += len(list((folder / "fd").iterdir()))
    return found


class Gauges:
    """Samples on a thread of its own until it is stopped."""

    def __init__(self, processes: dict[str, Child], store_bytes: Callable[[], int]) -> None:
        self.samples: list[Sample] = []
        self._processes = processes
        self._store_bytes = store_bytes
        self._began = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._sample_all)
        self._thread.start()

    def stop(self) -> None:
        """Ends the sampling."""
        self._stopping.set()
        self._thread.join()

    def _sample_all(self) -> None:
        while not self._stopping.wait(EVERY):
            at = time.monotonic() - self._began
            for name, child in self._processes.items():
                with suppress(OSError, KeyError):
                    for what, value in of_process(child).items():
                        self.samples.append(Sample(at, f"{name}: {what}", value))
            with suppress(Exception):  # the database may be down, or its disk full
                self.samples.append(Sample(at, "store, MB", self._store_bytes() / 1024**2))


def table(samples: Sequence[Sample], seconds: float) -> str:
    """Of each quantity, the median and the highest value in the first and in the last half hour; of
    a shorter run, in its first and last third."""
    window = min(HALF_HOUR, seconds / 3)
    head = f"{'':28}{f'first {window / 60:.0f} min':>20}{f'last {window / 60:.0f} min':>20}"
    lines = [head, f"{'':28}{'median (highest)':>20}{'median (highest)':>20}"]
    for what in dict.fromkeys(sample.what for sample in samples):
        own = [sample for sample in samples if sample.what == what]
        first = _summary([sample.value for sample in own if sample.at <= window])
        last = _summary([sample.value for sample in own if sample.at >= seconds - window])
        lines.append(f"{what:28}{first:>20}{last:>20}")
    return "\n".join(lines)


def _summary(values: Sequence[float]) -> str:
    if not values:
        return "none"
    return f"{statistics.median(values):.0f} ({max(values):.0f})"
