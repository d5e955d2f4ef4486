"""Which lane a message is in, and which starts are one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from store.records import OnceHolder, Target
from store.rules.keys import LONGEST_KEY, NoKey, lane_of, message_key, once_key, standing


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("a/b", "a/b"),
        (" ", " "),
        (17, "17"),
        (1.0, "1"),
        (1e21, "1e21"),
        (False, "false"),
        ("x" * LONGEST_KEY, None),
    ],
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
def test_what_conductor_couldnt_keep_as_a_correlation_id_is_no_key(
    payload: dict[str, Any], why: str
) -> None:
    with pytest.raises(NoKey) as caught:
        message_key("$.a", payload)
    assert why in str(caught.value)


def test_the_first_of_several_values_counts() -> None:
    assert message_key("$.a[*].b", {"a": [{"b": None}, {"b": 2}, {"b": 3}]}) == "2"


def test_a_lane_is_for_one_workflow_and_key() -> None:
    lanes = {
        lane_of(workflow, key) for workflow, key in (("a", "b"), ("a", "c"), ("ab", ""), ("", "ab"))
    }
    assert len(lanes) == 4
    assert lane_of("a", "b") in lanes


def key(
    value: Any, webhook: str = "tickets", workflow: str = "flow", path: str = "$.id"
) -> str | None:
    return once_key(webhook, workflow, path, {"id": value, "ids": [value, 1]})


def test_equal_values_have_one_key() -> None:
    assert key(7) == key(7.0) == key("7") != key(8)
    assert key({"a": 1, "b": 2}) == key({"b": 2, "a": 1.0})
    assert key([7]) != key(7)


def test_an_entry_is_known_by_webhook_workflow_and_path() -> None:
    keys = {key(7), key(7, webhook="other"), key(7, workflow="other"), key(7, path="$.ids[0]")}
    assert len(keys) == 4


@pytest.mark.parametrize("path", ["$.missing", "$.id"])
def test_without_a_value_there_is_no_key(path: str) -> None:
    assert key(None, path=path) is None


def test_every_selected_value_counts() -> None:
    assert key(7, path="$.ids[*]") != key(8, path="$.ids[*]")


def test_a_key_can_be_made_of_any_text() -> None:
    assert key("\ud800 lone") is not None


def target(once_while: Any = "running") -> Target:
    return Target(
        id=2, event_id="e2", kind="start", workflow="flow", workflow_id=None, task_id=None, reference_name=None,
        version=None, correlation_id="e2", state="claimed", attempts=1, error=None, claimed_by="w", claimed_at=0,
        due_at=0, created_at=0, settled_at=None, once_key="k", once_while=once_while,
    )  # fmt: skip


DONE = OnceHolder(1, "done", "workflow")


@pytest.mark.parametrize(
    ("holder", "expected"),
    [
        (None, "free"),
        (replace(DONE, target_id=2, state="claimed"), "holds"),
        (OnceHolder(1, "pending", None), "waits"),
        (OnceHolder(1, "claimed", None), "waits"),
        (OnceHolder(1, "failed", None), "free"),
        (DONE, "may run"),
        (OnceHolder(1, None, "workflow"), "may run"),
        (OnceHolder(1, None, None), "free"),
    ],
)
def test_a_start_beside_the_holder_of_its_key(holder: OnceHolder | None, expected: str) -> None:
    assert standing(target(), holder) == expected


def test_a_kept_key_needs_no_running_workflow() -> None:
    assert standing(target("kept"), DONE) == "is there"
