"""A failure is narrowed down to its items; when they are tried again, and which is next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import LeadershipLost, StoreUnavailable
from worker.retries import Retries, failing_items, wait_before


def test_the_wait_doubles_up_to_a_limit() -> None:
    assert [wait_before(attempts, draw=lambda: 0) for attempts in (0, 1, 2, 3, 6, 7, 10_000)] == [
        *(0.25, 0.25, 0.5, 1, 8, 15, 15)
    ]


def test_what_failed_together_does_not_come_back_together() -> None:
    assert wait_before(1, draw=lambda: 1) == 0.5
    assert len({wait_before(3) for _ in range(10)}) > 1


class Naive:
    """The same, by looking at every item each time."""

    def __init__(self) -> None:
        self.due: dict[int, tuple[float, int, str]] = {}
        self.number = 0

    def put(self, key: int, at: float, group: str) -> None:
        self.number += 1
        self.due[key] = at, self.number, group

    def due_at(self, barred: str) -> float:
        return min(
            (at for at, _, group in self.due.values() if group != barred), default=float("inf")
        )


_GROUPS = st.sampled_from("abc")
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 9), st.integers(0, 20), _GROUPS),
        st.tuples(st.just("forget"), st.integers(0, 9)),
        st.tuples(st.just("pop"), st.integers(0, 20), _GROUPS),
    ),
    max_size=80,
)


@given(_STEPS)
def test_each_is_due_at_its_latest_time_and_in_its_order(steps: list[Any]) -> None:
    retries, naive = Retries[int, str](), Naive()
    for step, *given_ in steps:
        if step == "put":
            retries.put(*given_)
            naive.put(*given_)
        elif step == "forget":
            retries.forget(*given_)
            naive.due.pop(*given_, None)
        else:
            now, barred = given_
            popped = retries.pop(now, lambda group, barred=barred: group != barred)
            assert (popped is None) == (naive.due_at(barred) > now)
            if popped is not None:
                at, number, group = naive.due.pop(popped)
                assert at <= now
                assert group != barred
                assert all(
                    (at, number) <= other[:2] for other in naive.due.values() if other[2] == group
                )
        for barred in "abc":
            assert retries.due_at(lambda group, barred=barred: group != barred) == naive.due_at(
                barred
            )
        for key in range(10):
            assert retries.at(key) == naive.due.get(key, (float("inf"),))[0]


def test_however_many_items_a_group_has_another_takes_its_turn() -> None:
    retries = Retries[int, str]()
    for number in range(100):
        retries.put(number, 0, "many")
    retries.put(100, 5, "few")
    retries.put(101, 5, "few")
    assert [retries.pop(9) for _ in range(4)] == [0, 100, 1, 101]


def test_what_is_put_off_again_and_again_takes_no_memory() -> None:
    retries = Retries[int, None]()
    for number in range(10_000):
        retries.put(number % 10, number, None)
    assert sum(map(len, retries._groups.values())) <= 1020
    assert retries.due_at() == 9990


@given(st.lists(st.booleans(), max_size=40))
def test_all_but_the_items_that_fail_are_done_once_and_in_order(bad: list[bool]) -> None:
    done: list[int] = []

    def act(items: Sequence[int]) -> None:
        if any(bad[item] for item in items):
            raise ValueError
        done.extend(items)

    failed = failing_items(range(len(bad)), act)
    assert [item for item, _ in failed] == [item for item, is_bad in enumerate(bad) if is_bad]
    assert done == [item for item, is_bad in enumerate(bad) if not is_bad]


@pytest.mark.parametrize("error", [LeadershipLost, StoreUnavailable])
def test_what_is_about_no_item_is_raised(error: type[Exception]) -> None:
    def act(items: Sequence[int]) -> None:
        raise error

    with pytest.raises(error):
        failing_items([1, 2], act)
