"""How an executor stops: calls in flight end, the rest is given back, and nothing is waited for forever."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from store.errors import StoreUnavailable
from testkit import PATIENCE
from tests.worker.delivery.played import Played, starts
from tests.worker.delivery.played import played as played
from tests.worker.targets import Bench
from tests.worker.targets import bench as bench
from worker.conductor.errors import OutcomeUnknown


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


@pytest.mark.parametrize("hangs", ["call", "store"])
def test_stopping_does_not_wait_forever_for_what_hangs(bench: Bench, hangs: str) -> None:
    bench.decide(*starts(1), claim=False)
    hung, go_on = threading.Event(), threading.Event()

    def hang(*_: Any) -> None:
        hung.set()
        assert go_on.wait(PATIENCE)
        raise StoreUnavailable("the disk is full") if hangs == "store" else OutcomeUnknown("lost")

    if hangs == "call":
        bench.conductor.start = hang  # type: ignore[method-assign,assignment]
    else:
        bench.store.claims.record_results = hang  # type: ignore[method-assign]
    bench.executor.start()
    assert hung.wait(PATIENCE)
    began = time.monotonic()
    bench.executor.stop(0.1)
    assert time.monotonic() - began < PATIENCE / 2
    assert [target.state for target in bench.store.queries.targets_of([bench.event])] == ["claimed"]
    go_on.set()


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
