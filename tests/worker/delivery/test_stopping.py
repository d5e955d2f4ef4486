"""How an executor stops: calls in flight end, the rest is given back, and nothing is waited for forever."""

from __future__ import annotations

import threading
import time
from typing import Any

from store.errors import StoreUnavailable
from testkit import PATIENCE
from tests.worker.delivery.played import Played, starts
from tests.worker.delivery.played import played as played
from tests.worker.targets import Bench
from tests.worker.targets import bench as bench


def test_stopping_finishes_the_calls_in_flight_and_gives_back_what_was_not_begun(played: Played) -> None:
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
    assert {target.attempts for target in again} == {1}, "no call was made, so none is to be looked up"
    assert len(again) == 26, "another worker can have them at once"


def test_stopping_does_not_wait_forever_for_a_store_that_cannot_be_used(played: Played) -> None:
    played.bench.decide(*starts(2), claim=False)
    played.work()
    played.pool.run()

    def unavailable(*_: Any) -> None:
        raise StoreUnavailable("the disk is full")

    played.bench.store.claims.record_results = unavailable  # type: ignore[method-assign]
    played.executor.ask_to_stop()
    played.messages()
    began = played.now
    for _ in range(4):
        played.round()
    assert not played.executor.ended, "a call is in flight still: its result may be the one that can be recorded"
    played.pool.run()
    while not played.executor.ended:
        played.round()
        assert played.now < began + 20
    assert played.now >= began + 5


def test_stopping_does_not_wait_forever_for_calls_that_hang(played: Played) -> None:
    played.bench.decide(*starts(3), claim=False)
    played.work()
    played.pool.run()
    played.executor.ask_to_stop()
    began = played.now
    while not played.executor.ended:
        played.round()
        assert played.now < began + 8
    assert sorted(played.states()) == ["claimed", "claimed", "done"], (
        "the others are looked up when their claims run out"
    )


def test_what_is_submitted_after_the_signal_and_before_the_loops_end_is_given_back(played: Played) -> None:
    targets = played.bench.decide(*starts(2))
    played.executor.drain()
    played.messages()
    assert not played.executor.ended, "the loop may be deciding still"
    played.executor.submit([(target, played.bench.stored()) for target in targets])
    played.executor.ask_to_stop()
    played.round()
    assert (played.executor.ended, played.states(), played.pool.jobs) == (True, ["pending"] * 2, [])


def test_a_stop_that_comes_while_targets_are_being_claimed_ends(bench: Bench) -> None:
    bench.decide(*starts(5), claim=False)
    claiming, go_on = threading.Event(), threading.Event()
    claim = bench.store.claims.claim

    def slow(*given: Any) -> Any:
        claiming.set()
        assert go_on.wait(PATIENCE)
        return claim(*given)

    bench.store.claims.claim = slow  # type: ignore[method-assign]
    bench.executor.start()
    assert claiming.wait(PATIENCE)
    stopping = threading.Thread(target=bench.executor.stop, daemon=True)
    stopping.start()
    time.sleep(0.1)  # as far as the stop gets
    go_on.set()
    stopping.join(PATIENCE)
    assert not stopping.is_alive()
    assert "claimed" not in [target.state for target in bench.store.queries.targets_of([bench.event])]
