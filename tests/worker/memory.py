"""The most memory that a worker takes while it decides, and calls for, large events: a process of
its own.

``python -m tests.worker.memory FOLDER EVENTS [BYTES]`` prints kilobytes: first as the worker
begins, then at most.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import structlog

from store.records import NewEvent
from store.sqlite import open_store
from tests.support.simulated import SimulatedConductor

SIZE = 900_000
_EARLIER = 1_000_000
"""Milliseconds before now that the workflow started, and its tasks came to wait: before the events
arrived."""
_ITEM = {"id": 1, "ok": True}


class Forgetful(SimulatedConductor):
    """Keeps no outputs: they would count as the worker's memory."""

    def complete(
        self, workflow_id: str, name: str, task_id: str, output: Any, *more: Any, **options: Any
    ) -> Any:
        return super().complete(workflow_id, name, task_id, "{}", *more, **options)


def fill(folder: Path, events: int, size: int) -> None:
    """So many undecided events of about that size, of small objects, which take the most memory
    when parsed."""
    items = json.dumps([_ITEM] * (size // (len(json.dumps(_ITEM)) + 2)))
    with closing(open_store(f"sqlite:///{folder}/bridge.db")) as store:
        now = store.now()
        for number in range(events):
            payload = f'{{"n": {number}, "items": {items}}}'
            store.deliveries.append(
                [NewEvent(f"e{number}", "w", now, payload, {}, {}, now + 3_600_000)]
            )


def run(folder: Path, events: int) -> tuple[int, int]:
    """A worker decides all, calls for every second, and gives one that is held to a task of a new
    kind."""
    from tests.support.worker_bench import Bench

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    bench = Bench(folder)
    bench.conductor = Forgetful(lambda: int(time.time() * 1000), known=frozenset({"flow"}))
    workflow = bench.conductor.begin("flow")
    for number in range(0, events, 2):
        bench.conductor.schedule(
            workflow.id, f"wait{number}", {"$.n": number}
        ).scheduled_at -= _EARLIER
    workflow.started_at -= _EARLIER
    worker = bench.deciding()
    worker._executor.start()
    began = _peak()
    while (
        bench.store.decisions.agenda(1).undecided
        or bench.store.queries.event_counts().get("delivered", 0) < (events + 1) // 2
    ):
        worker.step()
    late = bench.conductor.schedule(workflow.id, "late", {"$.items[0].id": 1, "$.n": 1})
    while bench.conductor.tasks[late.id].waits:
        worker.step()
    bench.close()
    return began, _peak()


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def measured(folder: Path, events: int, size: int = SIZE) -> tuple[int, int]:
    """Kilobytes: as a worker begins, and at most."""
    command = [sys.executable, "-m", "tests.worker.memory", str(folder), str(events), str(size)]
    subprocess.run([*command, "fill"], check=True)
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    return int(said[-2]), int(said[-1])


if __name__ == "__main__":
    place, number, bytes_ = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    if sys.argv[4:] == ["fill"]:
        fill(place, number, bytes_)
    else:
        print(*run(place, number))
