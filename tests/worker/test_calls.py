"""What is claimed, recorded and given back, and when: the thread that owns it is played step by step, or runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from events.records import NewTarget
from events.store import StoreUnavailable
from tests.worker.play import Later
from tests.worker.targets import Bench, bench

__all__ = ["bench"]


class Played:
    """A caller whose threads run when the test says so, under a clock that the test moves."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bench = bench
        self.pool = Later()
        self.caller = bench.caller = bench.another("me", self.pool)
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def messages(self) -> None:
        self.caller.take_messages(0)

    def work(self) -> None:
        self.caller.work(self.now)

    def patience(self) -> float:
        return self.caller.patience(self.now)

    def round(self) -> None:
        """The owner's thread once, after as long as it would wait."""
        self.messages()
        self.now += self.patience()
        self.work()

    def states(self) -> list[str]:
        return [target.state for target in self.bench.store.targets_of([self.bench.event])]


@pytest.fixture
def played(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Played:
    return Played(bench, monkeypatch)


def starts(number: int) -> list[NewTarget]:
    return [NewTarget("start", "flow", correlation_id=f"event#{n}") for n in range(1, number + 1)]


# --- claiming and recording ---


def test_a_target_is_claimed_called_and_recorded(played: Played) -> None:
    played.bench.decide(played.bench.start(), claim=False)
    played.work()
    assert (played.states(), len(played.pool.jobs)) == (["claimed"], 1)
    played.pool.run()
    assert played.states() == ["claimed"]
    played.messages()
    played.work()
    assert played.states() == ["done"]


def test_it_does_not_wait_while_there_is_something_to_record(played: Played) -> None:
    played.bench.decide(*starts(2), claim=False)
    played.work()
    assert played.patience() == 0.25
    played.pool.run()
    played.messages()
    assert played.patience() == 0, "the last results were recorded long ago"
    played.work()
    played.pool.run()
    played.messages()
    assert 0 < played.patience() <= 0.005, "nothing else is to come, so it isn't worth waiting for a batch"


def test_results_that_come_one_after_the_other_are_recorded_together(played: Played) -> None:
    played.bench.decide(*starts(6), claim=False)
    played.work()
    recorded: list[int] = []
    record = played.bench.store.record_results
    played.bench.store.record_results = (  # type: ignore[method-assign]
        lambda worker, results, now: recorded.append(len(results)) or record(worker, results, now)  # type: ignore[func-returns-value]
    )
    played.pool.run()
    played.messages()
    played.work()
    for _ in range(3):
        played.pool.run()
        played.messages()
        played.work()
    assert recorded == [1]
    assert 0.04 < played.patience() <= 0.05
    played.round()
    assert recorded == [1, 3]


def test_what_is_recorded_leaves_room_that_is_filled_at_once(played: Played) -> None:
    played.bench.decide(*starts(40), claim=False)
    played.work()
    assert (len(played.pool.jobs), played.caller.free) == (32, 0)
    for _ in range(8):
        played.pool.run()
    played.round()
    assert len(played.pool.jobs) == 32


def test_news_of_targets_are_looked_at_without_waiting(played: Played) -> None:
    played.work()
    played.bench.decide(played.bench.start(), claim=False)
    assert played.patience() == 0.25
    played.caller.look()
    played.messages()
    assert played.patience() == 0
    played.work()
    assert len(played.pool.jobs) == 1


def test_a_bug_in_a_call_loses_no_target(played: Played) -> None:
    played.bench.decide(played.bench.start(), claim=False)
    played.bench.conductor.start = lambda *_: 1 / 0  # type: ignore[method-assign]
    played.work()
    played.pool.run()
    played.round()
    [target] = played.bench.store.targets_of([played.bench.event])
    assert target.state == "pending"
    assert "ZeroDivisionError" in str(target.error)


def test_a_target_that_another_worker_has_taken_over_is_in_hand_no_more(played: Played) -> None:
    played.bench.decide(played.bench.start(), claim=False)
    played.work()
    played.bench.store.claim("another", 2**60, 2**60, 10)
    old = played.bench.store.now
    played.bench.store.now = lambda: old() + 5000  # type: ignore[method-assign]
    played.pool.run()
    played.messages()
    assert played.caller.free == 32
    assert played.states() == ["claimed"]
    assert played.bench.conductor.workflows == {}


# --- while Conductor is away ---


def test_while_conductor_is_away_one_call_at_a_time_tries_and_all_go_on_when_it_is_back(played: Played) -> None:
    played.bench.decide(*starts(5), claim=False)
    start = played.bench.conductor.start
    away = True

    def call(*given: Any) -> Any:
        played.bench.conductor.fault = "unreachable" if away else None
        return start(*given)

    played.bench.conductor.start = call  # type: ignore[method-assign,assignment]
    played.work()
    played.pool.run_all()
    played.round()
    assert played.states() == ["pending"] * 5
    assert played.caller.free == 0
    now = played.bench.store.now
    played.bench.store.now = lambda: now() + 60_000  # type: ignore[method-assign]
    played.now += 60
    played.work()
    assert len(played.pool.jobs) == 1
    played.pool.run_all()
    played.round()
    played.round()
    assert played.pool.jobs == [], "not before the pause is over"
    away = False
    played.caller.conductor_is_up()
    played.round()
    assert len(played.pool.jobs) == 5, "those that only waited are due"
    played.pool.run_all()
    played.round()
    assert played.states() == ["done"] * 5


def test_one_call_that_succeeds_says_that_conductor_is_back(played: Played) -> None:
    played.bench.decide(*starts(3), claim=False)
    played.bench.conductor.fault = "unreachable"
    played.work()
    played.pool.run()
    played.messages()
    assert played.caller.free == 0
    played.pool.run()
    played.messages()
    assert played.caller.free > 0


def test_starts_that_wait_for_another_with_their_key_do_not_say_that_conductor_is_back(played: Played) -> None:
    new = [NewTarget("start", "flow", correlation_id=str(n), once_key="k", once_while="running") for n in range(4)]
    played.bench.decide(*new, claim=False)
    played.bench.conductor.fault = "unreachable"
    played.work()
    calls = 0
    for _ in range(20):
        calls += len(played.pool.jobs)
        played.pool.run_all()
        played.round()
        assert played.caller.free == 0, "Conductor wasn't asked by any that waits"
    assert calls <= 8


# --- a store that can't be used ---


@pytest.mark.parametrize("error", [StoreUnavailable("locked"), ZeroDivisionError()])
@pytest.mark.parametrize("method", ["claim", "record_results"])
def test_it_tries_again_whatever_the_store_says(
    played: Played, method: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    played.bench.decide(played.bench.start(), claim=False)
    working, errors = getattr(played.bench.store, method), [error]

    def failing(*given: Any) -> Any:
        if errors:
            raise errors.pop()
        return working(*given)

    monkeypatch.setattr(played.bench.store, method, failing)
    played.work()
    played.pool.run_all()
    played.messages()
    played.work()
    assert played.patience() > 0.2, "not at once"
    for _ in range(3):
        played.round()
        played.pool.run_all()
    assert played.states() == ["done"]


# --- stopping ---


def test_stopping_finishes_the_calls_in_hand_and_gives_back_what_was_not_begun(played: Played) -> None:
    played.bench.decide(*starts(30), claim=False)
    played.work()
    for _ in range(4):
        played.pool.run()
    played.caller.ask_to_stop()
    played.messages()
    assert played.caller.free == 0
    played.pool.run_all()
    assert not played.caller.ended
    played.round()
    assert played.caller.ended
    assert sorted(played.states()) == ["done"] * 4 + ["pending"] * 26
    assert len(played.bench.conductor.workflows) == 4
    again = played.bench.store.claim("another", played.bench.store.now() + 1, 0, 30)
    assert {target.attempts for target in again} == {1}, "no call was made, so none is to be looked up"
    assert len(again) == 26, "another worker can have them at once"


def test_what_is_submitted_after_the_stop_is_given_back(played: Played) -> None:
    targets = played.bench.decide(*starts(3))
    played.caller.ask_to_stop()
    played.caller.submit([(target, played.bench.stored()) for target in targets])
    played.messages()
    assert not played.caller.ended
    played.round()
    assert played.caller.ended
    assert (played.states(), played.pool.jobs) == (["pending"] * 3, [])


def test_stopping_does_not_wait_forever_for_a_store_that_cannot_be_used(played: Played) -> None:
    played.bench.decide(*starts(2), claim=False)
    played.work()
    played.pool.run()

    def unavailable(*_: Any) -> None:
        raise StoreUnavailable("the disk is full")

    played.bench.store.record_results = unavailable  # type: ignore[method-assign]
    played.caller.ask_to_stop()
    played.messages()
    began = played.now
    for _ in range(20):
        played.round()
    assert not played.caller.ended, "a call is in hand still: its result may be the one that can be recorded"
    played.pool.run()
    began = played.now
    while not played.caller.ended:
        played.round()
        assert played.now < began + 20
    assert played.now >= began + 5


# --- with threads ---


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
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
    assert [event.id for event in bench.store.agenda(10).freed] == [bench.event]


def test_a_stop_that_comes_while_targets_are_being_claimed_ends(bench: Bench) -> None:
    bench.decide(*starts(5), claim=False)
    claiming, go_on = threading.Event(), threading.Event()
    claim = bench.store.claim

    def slow(*given: Any) -> Any:
        claiming.set()
        assert go_on.wait(60)
        return claim(*given)

    bench.store.claim = slow  # type: ignore[method-assign]
    bench.caller.start()
    assert claiming.wait(60)
    stopping = threading.Thread(target=bench.caller.stop, daemon=True)
    stopping.start()
    time.sleep(0.1)  # as far as the stop gets
    go_on.set()
    stopping.join(60)
    assert not stopping.is_alive()
    assert "claimed" not in [target.state for target in bench.store.targets_of([bench.event])]
