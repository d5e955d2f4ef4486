"""JSONPaths: plain ones are walked, all others evaluated, with the same outcome."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonpath_ng.ext.parser import parse

from config.jsonpath import BadPath, compile_path

DOCUMENT: dict[str, Any] = {
    "event": {"type": "message", "a b": 1, "null": None, "x-y": True},
    "items": [{"id": 1, "tags": ["a"]}, {"id": 2, "tags": []}],
    "_webhook": {"headers": {"x-github-event": "push"}},
}


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("$", [DOCUMENT]),
        ("$.event.type", ["message"]),
        ("$['event']['type']", ["message"]),
        ('$["event"].type', ["message"]),
        ("$.event['a b']", [1]),
        ("$.event.x-y", [True]),
        ("$.event.null", [None]),
        ("$.items[0].id", [1]),
        ("$.items[-1].id", [2]),
        ("$._webhook.headers['x-github-event']", ["push"]),
        ("$.missing", []),
        ("$.event.type.deeper", []),
        ("$.items[7]", []),
        ("$.event[0]", []),
        ("$.items[*].id", [1, 2]),
        ("$..id", [1, 2]),
        ("$.items[?(@.id == 2)].id", [2]),
        ("$.items[0:1].id", [1]),
    ],
)
def test_a_path_selects_its_values(path: str, values: list[Any]) -> None:
    assert compile_path(path)(DOCUMENT) == values


@pytest.mark.parametrize("path", ["", " ", "$[", "$.a[", "$..", "$.a b c", "][", "$.[?(", "$['a"])
def test_other_texts_are_no_paths(path: str) -> None:
    with pytest.raises(BadPath):
        compile_path(path)


def test_a_filter_that_compares_what_cannot_be_compared_selects_nothing() -> None:
    assert compile_path("$.items[?(@.tags > 5)].id")(DOCUMENT) == []


NAMES = st.text("abc_", min_size=1, max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=15,
)
STEPS = st.lists(NAMES.map("['{}']".format) | st.integers(0, 3).map("[{}]".format), max_size=4)


@given(document=st.dictionaries(NAMES, JSON, max_size=3), steps=STEPS)
def test_the_walk_selects_what_the_evaluator_selects(document: dict[str, Any], steps: list[str]) -> None:
    path = "$" + "".join(steps)
    try:
        expected = [node.value for node in parse(path).find(document)]
    except (TypeError, KeyError):  # the evaluator's own errors on values that have no members
        expected = []
    assert compile_path(path)(document) == expected
