"""Matches: an equality with one definition, and criteria that must all hold."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from criteria.document import Document
from criteria.equality import comparison_key, shortest_text
from criteria.evaluator import MAX_STEPS
from criteria.matches import BadMatches, Criteria, matches_of
from tests.support import naive

numbers = st.one_of(
    st.integers(),
    st.integers(-(10**25), 10**25),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-5, 5).map(float),
    st.sampled_from([0, -0.0, 1e21, 10**21, 1e22, 1e-7, 0.1, 2**53 + 1, float(2**53), 1e16]),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    st.text(max_size=4),
    numbers.map(lambda number: json.dumps(number)),
    st.sampled_from(
        ["true", "false", "null", "1", "1.0", "1e21", "01", " 1", "{}", "[]", '"a"', "TRUE"]
    ),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=6,
)


def equal(found: Any, expected: Any) -> bool:
    """As criteria compare."""
    key = comparison_key(expected)
    return key is not None and comparison_key(found) == key


@given(values, values)
@example(1, 1.0)
@example(True, 1)
@example("true", True)
@example([True], [1])
@example(10**22, 1e22)
@example(10**23, 1e23)
@example(int(1e23), 1e23)
@example(-0.0, 0)
@example("-0", -0.0)
@example({"a": None}, {"a": None})
@example("[1]", [1])
@example(1e-7, "1e-07")
def test_equality_is_what_the_design_says(found: Any, expected: Any) -> None:
    assert equal(found, expected) == naive.equal(found, expected)


@given(values)
def test_every_value_equals_itself_as_json_writes_it_but_null(value: Any) -> None:
    again = json.loads(json.dumps(value))
    assert equal(again, value) == (value is not None)


@given(values, values)
def test_it_makes_no_difference_which_is_expected(one: Any, other: Any) -> None:
    assert equal(one, other) == equal(other, one)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (1, "1"),
        (1.0, "1"),
        (-1.5, "-1.5"),
        (0.1, "0.1"),
        (10**21, "1e21"),
        (1e21, "1e21"),
        (10**20, "100000000000000000000"),
        (2**53 + 1, "9007199254740993"),
        (10**21 + 1, "1000000000000000000001"),
        (10**400, "1" + "0" * 400),
    ],
)
def test_the_shortest_json_text_of_a_scalar(value: float, text: str) -> None:
    assert shortest_text(value) == text


@given(numbers, numbers)
def test_numbers_have_one_text_exactly_if_they_have_one_value(one: float, other: float) -> None:
    assert (shortest_text(one) == shortest_text(other)) == (naive.exact(one) == naive.exact(other))


# --- criteria ---


def test_no_criteria_match_every_event() -> None:
    assert Criteria.parse({}).holds({"anything": 1})


@pytest.mark.parametrize("inputs", [None, {}, {"matches": None}, {"$.user": "alice"}])
def test_without_matches_there_are_no_criteria_and_the_reason_says_how_to_write_them(
    inputs: Any,
) -> None:
    with pytest.raises(BadMatches, match=r'written flat .* write \{"matches": \{"\$\.path"'):
        Criteria.parse(matches_of(inputs))


def test_all_criteria_must_hold() -> None:
    criteria = Criteria.parse({"$.a": 1, "$['b']['c']": "x"})
    assert criteria.holds({"a": 1, "b": {"c": "x"}})
    assert not criteria.holds({"a": 1, "b": {"c": "X"}})
    assert not criteria.holds({"a": 1})
    assert not criteria.holds({"b": {"c": "x"}})


def test_a_path_that_selects_several_nodes_holds_if_any_equals() -> None:
    criteria = Criteria.parse({"$.commits[*].author": "ann"})
    assert criteria.holds({"commits": [{"author": "bob"}, {"author": "ann"}]})
    assert not criteria.holds({"commits": [{"author": "bob"}]})
    assert not criteria.holds({"commits": []})


def test_a_missing_path_never_holds_and_neither_does_an_expected_null() -> None:
    assert not Criteria.parse({"$.a": None}).holds({})
    assert not Criteria.parse({"$.a": None}).holds({"a": None})
    assert not Criteria.parse({"$.a": "null"}).holds({"a": None})
    assert not Criteria.parse({"$.a": ""}).holds({})


@pytest.mark.parametrize(
    "matches", ["text", 1, [], ["$.a"], True, {"$.[": 1}, {"": 1}, {"$.a": 1, "$..": 2}]
)
def test_what_cannot_be_parsed_has_a_reason(matches: Any) -> None:
    with pytest.raises(BadMatches, match=r"."):
        Criteria.parse(matches)


def test_an_expected_value_without_bottom_is_a_bad_one() -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(BadMatches, match="deep"):
        Criteria.parse({"$.a": deep})


def test_an_explanation_shows_what_was_found_for_each_criterion() -> None:
    [a, b, c] = Criteria.parse({"$.a": 1, "$.b": "x", "$.c": None}).explain(
        {"a": "1", "b": ["x"], "c": None}
    )
    assert (a.path, a.expected, a.found, a.holds) == ("$.a", 1, ["1"], True)
    assert (b.found, b.holds) == ([["x"]], False)
    assert (c.found, c.holds) == ([None], False)


@given(
    st.dictionaries(
        st.sampled_from(["$.a", "$.b", "$.b.c", "$.l[*]", "$..c"]), scalars, max_size=3
    ),
    st.dictionaries(st.sampled_from(["a", "b", "l"]), values, max_size=3),
)
def test_an_explanation_agrees_with_whether_the_criteria_hold(matches: Any, document: Any) -> None:
    criteria = Criteria.parse(matches)
    assert criteria.holds(document) == all(
        criterion.holds for criterion in criteria.explain(document)
    )


def test_values_inside_each_other_are_compared_only_so_far() -> None:
    """Each is a part of the one before, so that together they are a hundred times as long as the
    document."""
    inner: Any = ["x" * 100_000]
    for _ in range(90):
        inner = {"x": inner}
    document = Document({"x": 1, "y": inner})
    assert document.keys("$.x") == {"1"}
    assert document.keys("$.y.x") != set(), "one by itself may be large"
    assert document.keys("$..x") == set()
    assert document.steps.taken < 3 * MAX_STEPS
    assert not Criteria.parse({"$..x": 1}).holds(document)
