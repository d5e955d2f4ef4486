"""The threads around the calls: what is claimed, recorded and given back, and when they end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from events.records import NewTarget
from events.store import StoreUnavailable
from tests.worker.targets import Bench, bench

__all__ = ["bench"]


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_targets_are_claimed_called_and_recorded(bench: Bench) -> None:
    task = bench.task()
    bench.decide(bench.completion(task), bench.start(), claim=False)
    bench.caller.start()
    bench.caller.look()
    eventually(lambda: bench.stored().status == "delivered")
    bench.caller.stop()
    targets = bench.store.targets_of([bench.event])
    assert [(target.state, target.attempts, target.claimed_by) for target in targets] == [("done", 1, "me")] * 2
    assert bench.store.task(task.id).state == "completed"  # type: ignore[union-attr]


def test_the_decider_hears_of_an_event_that_is_free_again(bench: Bench) -> None:
    task = bench.task()
    bench.decide(bench.completion(task), claim=False)
    bench.conductor.end(task.id, "CANCELED")
    listener = bench.store.listener("events")
    bench.caller.start()
    listener.wait(60)
    listener.close()
    bench.caller.stop()
    assert [event.id for event in bench.store.freed(10)] == [bench.event]


def test_while_conductor_is_away_one_call_at_a_time_tries_and_all_go_on_when_it_is_back(bench: Bench) -> None:
    bench.decide(*(NewTarget("start", "flow", correlation_id=f"event#{n}") for n in range(1, 6)), claim=False)
    start, away, tried = bench.conductor.start, True, []

    def call(*given: Any) -> Any:
        tried.append(given)
        bench.conductor.fault = "unreachable" if away else None
        return start(*given)

    bench.conductor.start = call  # type: ignore[method-assign,assignment]
    bench.caller.start()
    eventually(lambda: len(tried) >= 5 and bench.caller._in_hand == 0)
    assert bench.caller.free() == 0
    away = False
    bench.caller.conductor_is_up()
    eventually(lambda: bench.stored().status == "delivered")
    bench.caller.stop()
    assert len(bench.conductor.workflows) == 5


def test_a_bug_in_a_call_loses_no_target(bench: Bench) -> None:
    [target] = bench.decide(bench.start())
    bench.conductor.start = lambda *_: 1 / 0  # type: ignore[method-assign]
    bench.caller._in_hand = 1
    bench.caller._make(target, bench.stored())
    [result] = bench.caller._results
    assert result.state == "pending"
    assert "ZeroDivisionError" in str(result.error)


def test_the_thread_that_claims_survives_whatever_the_store_says(bench: Bench) -> None:
    bench.decide(bench.start(), claim=False)
    claim, errors = bench.store.claim, [StoreUnavailable("locked"), ZeroDivisionError()]

    def failing(*given: Any) -> Any:
        if errors:
            raise errors.pop()
        return claim(*given)

    bench.store.claim = failing  # type: ignore[method-assign,assignment]
    bench.caller.start()
    eventually(lambda: bench.stored().status == "delivered")
    bench.caller.stop()


def test_stopping_finishes_the_calls_in_hand_and_gives_back_what_was_not_begun(bench: Bench) -> None:
    bench.decide(*(NewTarget("start", "flow", correlation_id=f"event#{n}") for n in range(1, 31)), claim=False)
    begun, go_on = threading.Semaphore(0), threading.Event()
    start = bench.conductor.start

    def slow(*given: Any) -> Any:
        begun.release()
        go_on.wait(10)
        return start(*given)

    bench.conductor.start = slow  # type: ignore[method-assign,assignment]
    targets = bench.store.claim("me", int(time.time() * 1000), 0, 30)
    bench.caller.start()
    bench.caller.submit([(target, bench.stored()) for target in targets])
    for _ in range(16):
        assert begun.acquire(timeout=10)
    stopping = threading.Thread(target=bench.caller.stop)
    stopping.start()
    eventually(lambda: bench.caller._stopping)
    go_on.set()
    stopping.join(10)
    assert not stopping.is_alive()
    states = [target.state for target in bench.store.targets_of([bench.event])]
    assert sorted(set(states)) == ["done", "pending"]
    assert states.count("done") == len(bench.conductor.workflows) >= 16
    again = bench.store.claim("another", int(time.time() * 1000) + 1, 0, 30)
    assert len(again) == states.count("pending"), "another worker can have them at once"


def test_stopping_does_not_wait_forever_for_a_store_that_cannot_be_used(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.calls._LAST_WORDS", 0.1)
    [target] = bench.decide(bench.start())

    def unavailable(*_: Any) -> bool:
        raise StoreUnavailable("the disk is full")

    bench.store.settle = unavailable  # type: ignore[method-assign,assignment]
    bench.caller.start()
    bench.caller.submit([(target, bench.stored())])
    stopping = threading.Thread(target=bench.caller.stop)
    stopping.start()
    stopping.join(10)
    assert not stopping.is_alive()
