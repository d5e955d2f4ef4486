"""The store's clock is set: forward, what waits is due; back, nothing waits for as long as the
jump."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from store.errors import StoreUnavailable
from store.records import Decision, Result, SetAside, Target
from store.sql import maintenance
from store.sql.store import Store
from tests.support import deciding
from tests.support.makers import ME, arrive, decide, start

HOUR = 3_600_000


class Jump:
    """Work as it was before the clock was set `by` milliseconds back: all its times are so far
    ahead."""

    def __init__(self, store: Store, by: int):
        self.store, self.before = store, store.now() + by
        arrive(store, "e1", received_at=self.before, hold_until=self.before + 600_000)
        new = (start(1), start(2), start(3))
        decision = Decision("e1", "pending", "no", new)
        self.claimed, retried, _ = deciding.decide(store, ME, [decision], self.before, 3)
        self.record(retried, self.before + 15_000)
        store.quarantine.set_aside(
            [SetAside("task", "t1", "w", "why", self.before, 3, self.before + 60_000)]
        )

    def record(self, target: Target, due_at: int) -> None:
        self.store.claims.record_results(
            "me", [Result(target, "pending", "500", due_at=due_at)], self.before
        )

    def claimable(self, after: int) -> int:
        """How many targets a worker may claim that long after now; a claim counts for 20 s."""
        now = self.store.now() + after
        return len(self.store.claims.claim("other", now, now - 20_000, 9))


def test_after_a_clock_was_set_back_nothing_waits_for_as_long_as_the_jump(store: Store) -> None:
    jump = Jump(store, HOUR)
    store.maintenance.run()
    assert jump.claimable(0) == 0, "a call that was lost may still take effect"
    assert jump.claimable(40_000) == 3
    assert store.quarantine.items(due_before=store.now() + 40_000)


@pytest.mark.parametrize("since", [1, 5, 20])
def test_so_it_is_however_much_has_come_since(store: Store, since: int) -> None:
    def come(name: str, number: int, at: int) -> None:
        for id_ in [f"{name}{one}" for one in range(number)]:
            arrive(store, id_, received_at=at)
            deciding.decide(store, ME, [Decision(id_, "pending", "no", (start(9),))], at, 0)

    jump = Jump(store, HOUR)
    come("before", 80, jump.before)
    come("since", since, store.now())
    store.maintenance.run()
    assert store.quarantine.items(due_before=store.now() + 40_000)
    waiting = [one for one in store.queries.targets_of(["e1", "before7"]) if one.state == "pending"]
    assert len(waiting) == 2
    assert max(target.due_at for target in waiting) < store.now() + 40_000


def test_without_a_jump_nothing_is_due_sooner_than_it_was_to_be(store: Store) -> None:
    jump = Jump(store, 0)
    for target in store.queries.targets_of(["e1"])[1:2]:
        assert target.due_at == jump.before + 15_000
    store.quarantine.set_aside([SetAside("task", "t2", "w", "why", 0, 3, jump.before + HOUR)])
    store.maintenance.run()
    assert store.quarantine.items(due_before=jump.before + HOUR - 1, ids=["t2"]) == []
    assert store.queries.targets_of(["e1"])[0].claimed_at == jump.before


def test_paces_go_on_after_a_clock_was_set_back(store: Store) -> None:
    ahead = store.now() + HOUR
    decide(store, arrive(store, "e1", received_at=ahead), start(1), start(2))
    assert len(store.claims.claim("me", ahead, 0, 9, {"w": 1.0})) == 1
    assert store.claims.claim("me", store.now(), 0, 9, {"w": 1.0}) == []
    store.maintenance.run()
    assert len(store.claims.claim("me", store.now() + 40_000, 0, 9, {"w": 1.0})) == 1


@pytest.mark.parametrize("jump", [HOUR, 24 * HOUR])
def test_after_a_clock_was_set_forward_what_waits_is_due(store: Store, jump: int) -> None:
    ahead = Jump(store, 0)
    assert ahead.claimable(jump) == 3
    assert store.quarantine.items(due_before=store.now() + jump)


class HeldUp:
    """The database for a process that is held up for 20 s at one place, while another worker claims
    a target."""

    def __init__(self, store: Store, place: str):
        self.store, self.place, self.at = store, place, store.now()
        self._database = store._connections  # type: ignore[attr-defined]
        self._transaction: Any = None

    def now(self) -> int:
        return self.at

    def read(self, *given: Any, **named: Any) -> Any:
        self._may_be_held_up("before it reads")
        return self._database.read(*given, **named)

    @contextmanager
    def transaction(self, **named: Any) -> Iterator[HeldUp]:
        self._may_be_held_up("before it writes")
        with self._database.transaction(**named) as self._transaction:
            yield self

    def fetch(self, *given: Any) -> Any:
        return self._transaction.fetch(*given)

    def write(self, *given: Any) -> Any:
        if self.place == "as it writes":
            self.at += 20_000
        return self._transaction.write(*given)

    def _may_be_held_up(self, place: str) -> None:
        if self.place == place:
            self.place, self.at = "", self.at + 20_000
            arrive(self.store, "e2", received_at=self.at, hold_until=self.at)
            decision = Decision("e2", "pending", "no", (start(4),))
            deciding.decide(self.store, ME, [decision], self.at, 1)


@pytest.mark.parametrize("place", ["before it reads", "before it writes"])
def test_a_process_that_is_held_up_makes_no_claim_of_another_look_older(
    store: Store, place: str
) -> None:
    if place == "before it writes":
        Jump(store, HOUR)
    database = HeldUp(store, place)
    maintenance.make_due(database)
    assert [target.claimed_at for target in store.queries.targets_of(["e2"])] == [database.at]


def test_what_was_written_too_late_after_the_clock_was_read_is_taken_back(store: Store) -> None:
    jump = Jump(store, HOUR)
    with pytest.raises(StoreUnavailable, match="too long"):
        maintenance.make_due(HeldUp(store, "as it writes"))
    assert [target.due_at for target in store.queries.targets_of(["e1"])][1] == jump.before + 15_000
