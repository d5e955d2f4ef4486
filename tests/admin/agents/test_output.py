"""What tools return: bounded, and without characters that only a model reads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from admin.agents.server import LONGEST, as_text


def nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "value",
    [
        "x" * 1_000_000,
        ["x" * 5000] * 1000,
        {f"key {number}": "x" * 5000 for number in range(1000)},
        [[["x" * 100] * 100] * 100] * 10,
        {"k" * 1_000_000: 1},
        {"a": list(range(100_000))},
        nested(500),
    ],
    ids=["text", "list", "object", "nested", "key", "numbers", "deep"],
)
def test_the_output_is_bounded_and_stays_json(value: Any) -> None:
    text = as_text(value)
    assert len(text) <= LONGEST
    json.loads(text)


def test_what_is_left_out_is_said() -> None:
    assert "more characters" in as_text("x" * 1_000_000)
    assert "more)" in as_text(["x" * 5000] * 1000)


def test_what_is_small_is_whole() -> None:
    value = {"a": [1, 2.5, None, True], "b": "ünïcode \U0001f600"}
    assert json.loads(as_text(value)) == value


@pytest.mark.parametrize("character", list("\u202e\u200b\u2066\x85\u2028\U000e0041\ud800\x1b\x7f"))
def test_characters_that_nobody_sees_are_escaped(character: str) -> None:
    text = as_text({"a": f"x{character}y"})
    assert character not in text
    assert json.loads(text) == {"a": f"x{character}y"}
