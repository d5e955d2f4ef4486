"""A failure is narrowed down to the items that it is about."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import LeadershipLost, StoreUnavailable
from worker.failing_items import failing_items


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
