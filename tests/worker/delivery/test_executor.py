"""What is claimed, recorded and given back, and when: the thread that owns it is played step by
step, or runs."""

from __future__ import annotations

from typing import Any

import pytest

from store.errors import StoreUnavailable
from store.records import Decision, NewEvent, NewTarget
from store.sql.decisions import Plan
from tests.support.makers import ME
from tests.worker.delivery.played import Played, starts
from tests.worker.delivery.played import played as played
from tests.worker.targets import Bench
from tests.worker.targets import bench as bench

# --- claiming and recording ---


def test_it_does_not_wait_while_there_is_something_to_record(played: Played) -> None:
    played.bench.decide(*starts(2), claim=False)
    played.work()
    assert played.due_in() == 0.25
    played.pool.run()
    played.messages()
    assert played.due_in() == 0, "the last results were recorded long ago"
    played.work()
    played.pool.run()
    played.messages()
    assert 0 < played.due_in() <= 0.005, (
        "nothing else is to come, so it isn't worth waiting for a batch"
    )


def test_what_is_recorded_leaves_room_that_is_filled_at_once(played: Played) -> None:
    played.bench.decide(*starts(136), claim=False)
    played.work()
    assert (len(played.pool.jobs), played.executor.free) == (16, 0)
    for _ in range(8):
        played.pool.run()
    played.messages()
    assert (len(played.pool.jobs), played.executor.free) == (16, 8)
    played.round()
    assert (len(played.pool.jobs), played.executor.free) == (16, 0)
    assert played.states().count("claimed") == 128


def test_news_of_targets_are_looked_at_without_waiting(played: Played) -> None:
    played.work()
    played.bench.decide(played.bench.start(), claim=False)
    assert played.due_in() > 0.2
    played.executor.wake()
    played.messages()
    assert played.due_in() == 0
    played.work()
    assert len(played.pool.jobs) == 1


def test_a_target_that_another_worker_has_taken_over_is_in_flight_no_more(played: Played) -> None:
    played.bench.decide(played.bench.start(), claim=False)
    played.work()
    played.bench.store.claims.claim("another", 2**60, 2**60, 10)
    old = played.bench.store.now
    played.bench.store.now = lambda: old() + 5000  # type: ignore[method-assign]
    played.pool.run()
    played.messages()
    assert played.executor.free == 128
    assert played.states() == ["claimed"]
    assert played.bench.conductor.workflows == {}


# --- a store that can't be used ---


@pytest.mark.parametrize("error", [StoreUnavailable("locked"), ZeroDivisionError()])
@pytest.mark.parametrize("method", ["claim", "record_results"])
def test_it_tries_again_whatever_the_store_says(
    played: Played, method: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    played.bench.decide(played.bench.start(), claim=False)
    working, errors = getattr(played.bench.store.claims, method), [error]

    def failing(*given: Any) -> Any:
        if errors:
            raise errors.pop()
        return working(*given)

    monkeypatch.setattr(played.bench.store.claims, method, failing)
    played.work()
    played.pool.run_all()
    played.messages()
    played.work()
    assert played.due_in() > 0.2, "not at once"
    for _ in range(3):
        played.round()
        played.later(60)  # what was set aside is due again
        played.pool.run_all()
    assert played.states() == ["done"]


def test_no_more_payload_is_in_flight_than_fits(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = Played(bench, monkeypatch, payload=50)
    now = bench.store.now()
    names = [f"event{number}" for number in range(30)]
    for name in names:
        bench.store.deliveries.append([NewEvent(name, "w", now, '{"a": 1234}', {}, {}, now)])
        new = NewTarget("start", "flow", correlation_id=name)
        decision = Decision(name, "pending", "no", (new,))
        plan = Plan([decision], bench.store.queries.events_of([name]))
        bench.store.decisions.decide(ME, plan, now, 0)
    most = 0
    for _ in range(100):
        played.round()
        most = max(most, len(played.pool.jobs))
        if played.pool.jobs:
            played.pool.run()
    assert most <= 4 + 16, "sixteen are read before their size is known"
    assert {target.state for target in bench.store.queries.targets_of(names)} == {"done"}


# --- with threads ---


def test_the_decider_hears_of_an_event_that_is_free_again(bench: Bench) -> None:
    task = bench.task()
    bench.decide(bench.completion(task), claim=False)
    bench.conductor.end(task.id, "CANCELED")
    listener = bench.store.signals.listener("events")
    bench.executor.start()
    listener.wait(60)
    listener.close()
    bench.executor.stop()
    assert [event.id for event in bench.store.decisions.agenda(10).freed] == [bench.event]
