"""What differs between two payloads."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.events.tree import differences, place

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


def found(before: Any, after: Any) -> list[tuple[str, str, Any, Any]]:
    return [
        (one.kind, place(one), one.before, one.after) for one in differences(before, after).found
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": 1}, {"a": 2}, [("changed", "$.a", 1, 2)]),
        ({"a": 1}, {}, [("removed", "$.a", 1, None)]),
        ({}, {"a": None}, [("added", "$.a", None, None)]),
        (
            {"a": [1, 2]},
            {"a": [1, 3, 4]},
            [("changed", "$.a[1]", 2, 3), ("added", "$.a[2]", None, 4)],
        ),
        ({"a": {"b": 1}}, {"a": [1]}, [("changed", "$.a", {"b": 1}, [1])]),
        ({"a": 1}, {"a": "1"}, [("changed", "$.a", 1, "1")]),
        ({"a": 1}, {"a": True}, [("changed", "$.a", 1, True)]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, []),
        ({"a\nb": 1}, {"a\nb": 2}, [("changed", '["a\\nb"]', 1, 2)]),
    ],
)
def test_what_was_added_removed_and_changed(before: Any, after: Any, expected: list[Any]) -> None:
    assert found(before, after) == expected


@given(JSON, JSON)
def test_nothing_differs_only_where_both_are_the_same(before: Any, after: Any) -> None:
    same = repr(_sorted(before)) == repr(_sorted(after))
    assert (found(before, after) == []) is same
    assert found(before, copy.deepcopy(before)) == []


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(one) for one in value] if isinstance(value, list) else value


def test_only_so_many_differences_are_listed() -> None:
    result = differences(
        {str(number): 0 for number in range(50)}, {str(number): 1 for number in range(50)}, most=10
    )
    assert (len(result.found), result.complete) == (10, False)
    assert differences({"a": 1}, {"a": 2}, most=10).complete


def test_comparing_ends_however_much_there_is() -> None:
    large = [[number] for number in range(400_000)]
    assert not differences(large, large).complete
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    assert [place(one) for one in differences(deep, [deep]).found] == ["[0, 0, 0]"]
