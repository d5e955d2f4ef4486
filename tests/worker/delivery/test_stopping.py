"""How an executor stops: calls in flight end, the rest is given back, and nothing is waited for
forever."""

from __future__ import annotations

from tests.worker.delivery.played import Played, starts
from tests.worker.delivery.played import played as played
from tests.worker.targets import bench as bench


def test_stopping_finishes_the_calls_in_flight_and_gives_back_what_was_not_begun(
    played: Played,
) -> None:
    played.bench.decide(*starts(30), claim=False)
    played.work()
    for _ in range(4):
        played.pool.run()
    played.executor.ask_to_stop()
    played.messages()
    assert played.executor.free == 0
    played.pool.run_all()
    assert not played.executor.ended
    played.round()
    assert played.executor.ended
    assert sorted(played.states()) == ["done"] * 4 + ["pending"] * 26
    assert len(played.bench.conductor.workflows) == 4
    again = played.bench.store.claims.claim("another", played.bench.store.now() + 1, 0, 30)
    assert {target.attempts for target in again} == {1}, (
        "no call was made, so none is to be looked up"
    )
    assert len(again) == 26, "another worker can have them at once"


def test_what_is_submitted_after_the_signal_and_before_the_loops_end_is_given_back(
    played: Played,
) -> None:
    targets = played.bench.decide(*starts(2))
    played.executor.drain()
    played.messages()
    assert not played.executor.ended, "the loop may be deciding still"
    played.executor.submit([(target, played.bench.stored()) for target in targets])
    played.executor.ask_to_stop()
    played.round()
    assert (played.executor.ended, played.states(), played.pool.jobs) == (True, ["pending"] * 2, [])
