"""A payload as a tree, and the JSONPath of each of its fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.events.tree import Field, Step, path_of, tree_of
from criteria.jsonpath import compile_path

NAMES = st.one_of(
    st.text(max_size=6),
    st.text(alphabet="'\"\\.$*[]@ aé,`?()-|&", max_size=8),
    st.sampled_from(["where", "parent", "this", "*", "", "a.b", "é", "0"]),
)


@given(st.lists(st.one_of(NAMES, st.integers(0, 3)), min_size=1, max_size=4))
def test_a_path_selects_the_field_it_is_the_path_of_and_nothing_else(steps: list[Step]) -> None:
    document: Any = "this one"
    for step in reversed(steps):
        if isinstance(step, int):
            document = [*["another"] * step, document]
        else:
            document = {step: document, f"{step}x": "another", f"x{step}": {step: "another"}}
    path = path_of(steps)
    if path is not None:
        assert compile_path(path)(document) == ["this one"]


@pytest.mark.parametrize(
    ("steps", "path"),
    [
        ((), "$"),
        (("repository", "name"), "$.repository.name"),
        (("commits", 0, "id"), "$.commits[0].id"),
        (("a b", "it's", 'say "x"'), "$['a b'][\"it's\"]['say \"x\"']"),
        (("", "a.b", "ünï"), "$['']['a.b'].ünï"),
        (("both ' and \"", "where"), "$['both \\' and \"']['where']"),
        (("*",), "$['*']"),
        (("back\\slash", "*"), None),
        (("line\nbreak",), None),
        (("\u202egnp",), None),
        (("a" * 1001,), None),
    ],
)
def test_odd_names_are_quoted_and_those_that_cannot_be_typed_have_no_path(
    steps: tuple[Step, ...], path: str
) -> None:
    assert path_of(steps) == path


def fields(field: Field) -> Iterator[Field]:
    yield field
    for one in field.fields:
        yield from fields(one)


def test_each_field_is_in_its_place() -> None:
    tree = tree_of({"a": [1, {"b": None}], "c": "x"})
    assert [(one.name, one.path) for one in fields(tree)] == [
        (None, "$"),
        ("a", "$.a"),
        (0, "$.a[0]"),
        (1, "$.a[1]"),
        ("b", "$.a[1].b"),
        ("c", "$.c"),
    ]
    assert (tree.size, tree.fields[0].fields[1].size) == ("2 fields", "1 field")


def test_of_a_large_payload_the_top_is_shown_and_how_much_is_not() -> None:
    large = {"first": [{"id": number} for number in range(100_000)], "last": "seen"}
    tree = tree_of(large, most=500)
    # The payload, its two fields, a hundred elements and their fields.
    assert len(list(fields(tree))) == 203
    first, last = tree.fields
    assert (first.left_out, last.value) == (99_900, "seen")
    assert len(list(fields(tree_of([[[0] * 100] * 100] * 100, most=500)))) == 501


def test_a_deep_payload_is_shown_down_to_a_level() -> None:
    deep: Any = 1
    for _ in range(500):
        deep = {"a": deep}
    *_, deepest = fields(tree_of(deep))
    assert (len(list(fields(tree_of(deep)))), deepest.left_out) == (31, 1)
