"""A target whose call, event or result fails alone is set aside, and holds up no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from store.errors import StoreUnavailable
from store.records import Event, NewTarget, Result
from tests.worker.delivery.played import Played, starts
from tests.worker.delivery.played import played as played
from tests.worker.targets import Bench
from tests.worker.targets import bench as bench


class Refusing:
    """A store that refuses results with a certain text, for ever."""

    def __init__(self, bench: Bench, refused: str, error: Exception) -> None:
        self.batches: list[int] = []
        record = bench.store.claims.record_results

        def refusing(worker: str, results: Sequence[Result], now: int) -> None:
            self.batches.append(len(results))
            if any(refused in str(result.error) for result in results):
                raise error
            record(worker, results, now)

        bench.store.claims.record_results = refusing  # type: ignore[method-assign]


@pytest.mark.parametrize(
    "error", [ValueError("a surrogate"), StoreUnavailable("statement timeout")]
)
def test_a_result_that_the_store_refuses_holds_up_no_other(
    played: Played, error: Exception
) -> None:
    played.bench.decide(*starts(7), NewTarget("start", "unknown", correlation_id="x"), claim=False)
    Refusing(played.bench, "No such workflow", error)
    played.work()
    played.pool.run_all()
    for _ in range(12):
        played.round()
    assert played.states().count("done") == 7
    if not isinstance(error, StoreUnavailable):
        [aside] = played.bench.store.quarantine.items("target")
        [target] = [
            t
            for t in played.bench.store.queries.targets_of([played.bench.event])
            if t.workflow == "unknown"
        ]
        assert (aside.id, target.state, "can't be recorded" in str(target.error)) == (
            str(target.id),
            "pending",
            True,
        )


def test_a_target_that_fails_in_a_way_nobody_foresaw_is_set_aside_until_it_ends(
    played: Played,
) -> None:
    played.bench.decide(*starts(2), claim=False)
    start = played.bench.conductor.start

    def poisoned(*given: Any) -> Any:
        if given[3] == "event#1":
            raise KeyError("\ud800")
        return start(*given)

    played.bench.conductor.start = poisoned  # type: ignore[method-assign]
    played.work()
    played.pool.run_all()
    played.round()
    assert sorted(played.states()) == ["done", "pending"]
    [aside] = played.bench.store.quarantine.items("target")
    assert (aside.webhook, aside.tries, "KeyError" in aside.reason) == ("w", 1, True)
    for tries in (2, 3):
        played.later(600)
        played.pool.run_all()
        played.round()
        [again] = played.bench.store.quarantine.items("target")
        assert (again.tries, again.since) == (tries, aside.since)
    played.bench.conductor.start = start  # type: ignore[method-assign]
    played.later(600)
    played.pool.run_all()
    played.round()
    assert (played.states(), played.bench.store.quarantine.items("target")) == (["done"] * 2, [])


@pytest.mark.parametrize("how", ["missing", "unreadable", "garbage"])
def test_a_target_whose_event_cannot_be_read_is_set_aside(played: Played, how: str) -> None:
    bench = played.bench
    bench.decide(bench.start(), claim=False)
    poisoned = bench.event
    queries = bench.store.queries

    def reading(
        read: Callable[..., dict[str, Event]], ids: Sequence[str], *most: int
    ) -> dict[str, Event]:
        if poisoned in ids and how == "unreadable":
            raise ValueError("not JSON")
        found = read(ids, *most)
        if poisoned in found and how == "garbage":
            found[poisoned] = replace(found[poisoned], payload="garbage")
        if how == "missing":
            found.pop(poisoned, None)
        return found

    queries.events_of = partial(reading, queries.events_of)  # type: ignore[method-assign]
    bench.decide(*starts(3), claim=False, received_at=1)
    played.work()
    played.pool.run_all()
    played.round()
    played.round()
    assert played.states() == ["done"] * 3
    [aside] = bench.store.quarantine.items("target")
    [target] = bench.store.queries.targets_of([poisoned])
    assert (aside.id, target.state, bool(target.error)) == (str(target.id), "pending", True)
