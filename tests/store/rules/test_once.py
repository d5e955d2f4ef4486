"""Which starts are one, and who of them makes it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from store.records import OnceHolder, Target
from store.rules.once import once_key, standing


def key(value: Any, webhook: str = "tickets", workflow: str = "flow", path: str = "$.id") -> str | None:
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
