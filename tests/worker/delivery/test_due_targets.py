"""Claims when the machine's clock is set while calls are in flight."""

from __future__ import annotations

import time

import pytest

from tests.support.clock import Clock
from tests.worker.targets import Bench, bench
from worker.delivery.due_targets import DueTargets
from worker.delivery.outcomes import claim_lasts
from worker.delivery.results import Results

__all__ = ["bench"]


def test_a_clock_that_is_set_forward_makes_no_call_in_flight_look_abandoned(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall, steady = Clock(time.time()), Clock(1000.0)
    monkeypatch.setattr(time, "time", lambda: wall.seconds)
    lasts = claim_lasts(bench.conductor.timeout)
    claiming = claiming_of(bench, lasts, steady)
    assert claiming.claim(9) == []
    [in_flight] = bench.decide(bench.start())
    wall.seconds += 3600
    found = []
    for _ in range(int(4 * lasts)):
        found.append(claiming.claim(9))
        wall.seconds += 0.25
        steady.seconds += 0.25
    assert not any(found), "until its call has certainly ended"
    wall.seconds += 0.5
    steady.seconds += 0.5
    assert [target.id for target in claiming.claim(9)] == [in_flight.id]


def claiming_of(bench: Bench, lasts: float, steady: Clock) -> DueTargets:
    results = Results(bench.store, "me", steady)
    definitions = bench.executor._due._definitions
    return DueTargets(bench.store, "me", lasts, definitions, steady, results)


def test_a_clock_that_is_adjusted_or_set_back_keeps_no_claim_from_running_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall, steady = Clock(time.time()), Clock(1000.0)
    monkeypatch.setattr(time, "time", lambda: wall.seconds)
    claiming = claiming_of(bench, 10, steady)
    wall.seconds += 3600
    assert claiming.claim(9) == []
    wall.seconds -= 3600
    assert claiming.claim(9) == []
    [in_flight] = bench.decide(bench.start())
    wall.seconds += 10.9
    steady.seconds += 10
    assert [target.id for target in claiming.claim(9)] == [in_flight.id]
