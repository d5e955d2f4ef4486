"""What the worker looks at at intervals: its gauges, and whether what is due gets done."""

from __future__ import annotations

from unittest import mock

import pytest
from prometheus_client import REGISTRY

from config.webhooks import Definitions
from store.records import Decision, NewEvent, NewTarget, Result, SetAside, Term
from store.reports import Reports
from store.story import Note
from tests.support.clock import Clock
from tests.support.deciding import decide as decide_all
from tests.support.worker_bench import Bench
from tests.support.worker_bench import bench as bench
from worker.health import STANDSTILL, Progress
from worker.leader.worker import Worker


def gauges(name: str) -> dict[str, float]:
    """Label → value."""
    return {
        next(iter(sample.labels.values()), ""): sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == name
    }


def measure(worker: Worker) -> None:
    worker.as_leader(worker._maintenance.measure)


def test_only_the_worker_that_decides_counts_and_says_what_is_in_the_store(bench: Bench) -> None:
    deciding, other = bench.deciding(), bench.worker()
    bench.arrive()
    bench.store.quarantine.set_aside([SetAside("task", "t", "w", "why", 0, 1, 0)])
    with mock.patch.object(
        bench.store.queries, "event_counts", side_effect=AssertionError("it need not count")
    ):
        measure(other)
    measure(deciding)
    assert gauges("bridge_events")["pending"] == 1
    assert gauges("bridge_set_aside") == {
        "event": 0,
        "task": 1,
        "workflow": 0,
        "target": 0,
        "definition": 0,
    }
    deciding.end_term()
    assert gauges("bridge_events") == gauges("bridge_set_aside") == {}, "they would go stale"
    assert gauges("bridge_oldest_pending_event_seconds") == {"": 0}


def test_failed_events_count_as_unresolved_until_somebody_acknowledges_them(bench: Bench) -> None:
    deciding = bench.deciding()
    bench.arrive("event")
    target = NewTarget("start", "flow", correlation_id="event")
    term = Term(deciding.id)
    [claimed] = decide_all(bench.store, term, [Decision("event", "pending", "no", (target,))], 1, 1)
    bench.store.claims.record_results(
        deciding.id, [Result(claimed, "failed", "no such workflow")], 2
    )
    measure(deciding)
    assert gauges("bridge_unresolved_events") == {"": 1}
    bench.store.acknowledgements.record(["event"], Note(3, "ada", "acknowledged", "known"))
    measure(deciding)
    assert gauges("bridge_unresolved_events") == {"": 0}
    assert gauges("bridge_events")["failed"] == 1


class Standstill:
    """A worker's progress by a clock of the test's."""

    def __init__(self, worker: Worker) -> None:
        self.clock = Clock(1000.0)
        self.worker = worker
        self.worker._health.progress = self.progress = Progress(self.clock)

    def is_stuck(self) -> bool:
        """Whether it is, after it has looked for two minutes."""
        for _ in range(12):
            self.clock.seconds += STANDSTILL / 6
            self.worker._maintenance.see_progress(self.worker.leader)
        return bool(self.worker._health.problems())


def old_event(bench: Bench) -> None:
    now = bench.store.now()
    bench.store.deliveries.append(
        [NewEvent("old", "w", now - 100_000, "{}", {}, {}, now + 600_000)]
    )


def test_a_worker_whose_decisions_fail_again_and_again_is_not_ready(bench: Bench) -> None:
    worker = bench.deciding()
    standstill = Standstill(worker)
    old_event(bench)
    assert standstill.is_stuck()
    assert gauges("bridge_stuck_seconds")[""] >= STANDSTILL
    worker.step()
    worker._maintenance.see_progress(worker.leader)
    assert worker._health.problems() == []
    assert not standstill.is_stuck()
    assert gauges("bridge_stuck_seconds") == {"": 0}


def test_a_worker_that_follows_is_ready_whatever_stands_still(bench: Bench) -> None:
    old_event(bench)
    assert not Standstill(bench.worker()).is_stuck()


@pytest.mark.parametrize(
    "why", ["paused", "set aside", "Conductor is away", "the index", "undefined"]
)
def test_a_worker_that_may_do_nothing_is_ready(bench: Bench, why: str) -> None:
    worker = bench.deciding()
    standstill = Standstill(worker)
    old_event(bench)
    match why:
        case "paused":
            bench.store.pauses.pause("w", 0)
        case "set aside":
            bench.store.quarantine.set_aside([SetAside("event", "old", "w", "why", 0, 1, 0)])
        case "Conductor is away":
            bench.store.reports.write(Reports(conductor="no connection"))
        case "undefined":
            bench.source.current = Definitions(())
            worker.step()
        case _:
            assert worker.leader is not None
            worker.leader.decider.blocked = {"w"}
    assert not standstill.is_stuck()
