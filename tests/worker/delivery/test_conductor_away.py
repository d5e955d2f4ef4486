"""While Conductor is away few calls are made, and all go on when it is back."""

from __future__ import annotations

from typing import Any

from store.records import NewTarget
from tests.worker.delivery.played import Played, starts
from tests.worker.delivery.played import played as played
from tests.worker.targets import bench as bench


def test_if_conductor_goes_away_nothing_of_the_many_in_flight_stays_there(played: Played) -> None:
    start, away = played.bench.conductor.start, False

    def call(*given: Any) -> Any:
        played.bench.conductor.fault = "unreachable" if away else None
        return start(*given)

    played.bench.conductor.start = call  # type: ignore[method-assign,assignment]
    played.bench.decide(*starts(600), claim=False)
    played.work()
    for _ in range(3):  # calls end fast
        for _ in range(10):
            played.pool.run_all()
            played.messages()
        played.later(0.1)
    assert played.states().count("claimed") > 64
    away = True
    for _ in range(10):
        played.pool.run_all()
        played.messages()
    played.later(0.1)
    assert "claimed" not in played.states()
    assert played.executor.free == 0
    played.later(60)
    assert len(played.pool.jobs) == 1, "it asks whether Conductor is back"
    away = False
    for _ in range(60):
        played.pool.run_all()
        played.later(0.1)
    assert played.states() == ["done"] * 600
    assert len(played.bench.conductor.workflows) == 600


def test_starts_that_wait_for_another_with_their_key_do_not_say_that_conductor_is_back(
    played: Played,
) -> None:
    new = [
        NewTarget("start", "flow", correlation_id=str(n), once_key="k", once_while="running")
        for n in range(4)
    ]
    played.bench.decide(*new, claim=False)
    played.bench.conductor.fault = "unreachable"
    played.work()
    calls = 0
    for _ in range(20):
        calls += len(played.pool.jobs)
        played.pool.run_all()
        played.round()
        assert played.executor.free == 0, "Conductor wasn't asked by any that waits"
    assert calls <= 8
