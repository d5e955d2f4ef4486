"""The key of a message, and the lane that it is in."""

from __future__ import annotations

from typing import Any

import pytest

from store.rules.lanes import LONGEST_KEY, NoKey, lane_of, message_key


@pytest.mark.parametrize(
    ("value", "key"),
    [("a/b", "a/b"), (" ", " "), (17, "17"), (1.0, "1"), (1e21, "1e21"), (False, "false"), ("x" * LONGEST_KEY, None)],
)
def test_a_key_is_the_text_of_a_scalar(value: Any, key: str | None) -> None:
    assert message_key("$.a", {"a": value}) == (key if key is not None else value)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        ({}, "there is no value at $.a"),
        ({"a": None}, "there is no value at $.a"),
        ({"a": ""}, "empty"),
        ({"a": []}, "a list"),
        ({"a": {"b": 1}}, "an object"),
        ({"a": "x" * (LONGEST_KEY + 1)}, "more than 128 characters"),
        ({"a": "x\0"}, "can't keep"),
        ({"a": "\ud800"}, "can't keep"),
    ],
)
def test_what_conductor_couldnt_keep_as_a_correlation_id_is_no_key(payload: dict[str, Any], why: str) -> None:
    with pytest.raises(NoKey) as caught:
        message_key("$.a", payload)
    assert why in str(caught.value)


def test_the_first_of_several_values_counts() -> None:
    assert message_key("$.a[*].b", {"a": [{"b": None}, {"b": 2}, {"b": 3}]}) == "2"


def test_a_lane_is_for_one_workflow_and_key() -> None:
    lanes = {lane_of(workflow, key) for workflow, key in (("a", "b"), ("a", "c"), ("ab", ""), ("", "ab"))}
    assert len(lanes) == 4
    assert lane_of("a", "b") in lanes
