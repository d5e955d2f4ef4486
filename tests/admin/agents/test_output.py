"""What tools return: bounded, and without characters that only a model reads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from admin.agents.server import LONGEST, as_text


@pytest.mark.parametrize(
    "value", ["x" * 1_000_000, {"a": list(range(100_000))}], ids=["text", "numbers"]
)
def test_the_output_is_bounded_and_says_that_it_is_cut(value: Any) -> None:
    text = as_text(value)
    assert len(text) <= LONGEST
    assert text.endswith("ask for less)")


def test_what_is_small_is_whole() -> None:
    value = {"a": [1, 2.5, None, True], "b": "ünïcode \U0001f600"}
    assert json.loads(as_text(value)) == value


@pytest.mark.parametrize("character", list("\u202e\u200b\u2066\x85\u2028\U000e0041\ud800\x1b\x7f"))
def test_characters_that_nobody_sees_are_escaped(character: str) -> None:
    text = as_text({"a": f"x{character}y"})
    assert character not in text
    assert json.loads(text) == {"a": f"x{character}y"}
