"""Operators: what they hold for, judged by the slow reference, what is wrong with them, and what
can never hold."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from criteria.operators import NAMES, BadOperators, Operators, find_faults, is_operators
from tests.criteria.test_matches import numbers, scalars, values
from tests.support import naive

texts = st.one_of(
    st.text(max_size=3), st.sampled_from(["main", "ma", "z", "5", "", "\ud800", "a\0b", "é"])
)
small = st.one_of(
    st.integers(-2, 6),
    st.sampled_from([0.5, 5.0, "5", "a", "b", "true", True, None, "1e23", 1e23, 10**23]),
)
patterns = st.sampled_from(["^a", "b$", "a|5", "", "^$", "[0-9]+", "^.$", "(?i)MAIN", "\\d", "é"])
bounds = st.one_of(numbers, texts, st.integers(-2, 6))
plain = st.fixed_dictionaries(
    {},
    optional={
        "$eq": st.one_of(small, values),
        "$ne": st.one_of(small, values),
        "$in": st.lists(st.one_of(small, scalars), max_size=3),
        "$nin": st.lists(st.one_of(small, scalars), max_size=3),
        "$gt": bounds,
        "$gte": bounds,
        "$lt": bounds,
        "$lte": bounds,
        "$exists": st.booleans(),
        "$regex": patterns,
    },
).filter(bool)
operators = st.recursive(
    plain,
    lambda inner: st.builds(
        lambda one, no: {**one, "$not": no}, st.one_of(plain, st.just({})), inner
    ),
    max_leaves=3,
)
found = st.lists(st.one_of(small, texts, values), max_size=4)


@given(found, operators)
@example([1, 20], {"$gt": 5, "$lt": 10})
@example([7, 20], {"$gt": 5, "$lt": 10})
@example([], {"$ne": 1})
@example([], {"$not": {"$gt": 1}})
@example([None], {"$exists": True})
@example([None], {"$ne": 1, "$exists": True})
@example(["5"], {"$gt": 3})
@example([True], {"$gte": 0})
@example([5], {"$eq": "5", "$gt": 3})
@example([10**23], {"$gte": 1e23, "$lte": 1e23})
@example(["\ud800"], {"$regex": "^.$"})
@example(["b"], {"$in": ["a", "b"], "$nin": ["b"]})
def test_operators_hold_as_the_reference_says(found: list[Any], operators: dict[str, Any]) -> None:
    assert Operators(operators).holds(found) == naive.all_hold(found, operators)


@given(found, operators)
def test_what_never_holds_never_does(found: list[Any], operators: dict[str, Any]) -> None:
    if Operators(operators).why_never() is not None:
        assert not naive.all_hold(found, operators)


@given(found, operators)
def test_a_negation_is_the_opposite(found: list[Any], operators: dict[str, Any]) -> None:
    assert Operators({"$not": operators}).holds(found) != Operators(operators).holds(found)


@pytest.mark.parametrize(
    "never",
    [
        {"$eq": None},
        {"$in": []},
        {"$in": [None]},
        {"$gt": 5, "$lt": 3},
        {"$gt": 5, "$lt": 5},
        {"$gte": 5, "$lt": 5},
        {"$gte": "b", "$lt": "a"},
        {"$gt": 5, "$lt": "a"},
    ],
)
def test_what_can_never_hold_is_seen(never: dict[str, Any]) -> None:
    assert Operators(never).why_never()


@pytest.mark.parametrize(
    "sometimes",
    [
        {"$gte": 5, "$lte": 5},
        {"$exists": False},
        {"$exists": False, "$ne": 1},
        {"$in": [None, 1]},
        {"$gt": "5", "$lt": "a"},
        {"$ne": None},
    ],
)
def test_what_can_hold_is_no_mistake(sometimes: dict[str, Any]) -> None:
    assert Operators(sometimes).why_never() is None


@pytest.mark.parametrize(
    ("written", "where", "what"),
    [
        ({"$gte1": 1}, ("$gte1",), "did you mean \\$gte\\? known are \\$eq"),
        ({"$gt": 1, "b": 2}, ("b",), "a plain key beside operators; .*{\\$eq"),
        ({"$in": "a"}, ("$in",), "not a list; write"),
        ({"$nin": {"a": 1}}, ("$nin",), "not a list; write"),
        ({"$exists": "yes"}, ("$exists",), "neither true nor false; write"),
        ({"$gt": True}, ("$gt",), "neither a number nor text"),
        ({"$lte": [1]}, ("$lte",), "neither a number nor text"),
        ({"$lt": float("nan")}, ("$lt",), "neither a number nor text"),
        ({"$lt": None}, ("$lt",), "neither a number nor text"),
        ({"$regex": 5}, ("$regex",), "not text; write"),
        ({"$regex": "(a"}, ("$regex",), "not a pattern: missing \\): \\(a; fix it"),
        ({"$regex": "(?=a)"}, ("$regex",), "look-around"),
        ({"$regex": "\ud800"}, ("$regex",), "not text; fix"),
        ({"$not": "a"}, ("$not",), "not operators.*; write"),
        ({"$not": {}}, ("$not",), "not operators"),
        ({"$not": {"$in": 1}}, ("$not", "$in"), "not a list"),
    ],
)
def test_what_is_wrong_is_said_with_a_remedy(
    written: dict[str, Any], where: tuple[str, ...], what: str
) -> None:
    [(found, message)] = find_faults(written)
    assert found == where
    assert re.search(what, message), message
    assert "; " in message
    with pytest.raises(BadOperators):
        Operators(written)


def test_no_pattern_hangs() -> None:
    """Of those that take backtracking engines exponential time."""
    assert not Operators({"$regex": "^(a+)+$"}).holds(["a" * 100_000 + "!"])
    assert not Operators({"$regex": "(x+x+)+y"}).holds(["x" * 100_000])


def test_only_a_mapping_with_such_a_key_is_one_of_operators() -> None:
    assert is_operators({"$eq": 1})
    assert is_operators({"$eq": 1, "a": 2})
    assert not any(map(is_operators, ({}, {"a": {"$eq": 1}}, "$eq", ["$eq"], None)))


def test_every_operator_is_in_the_reference() -> None:
    for first, second in itertools.pairwise(NAMES):
        assert first != second
    for name in NAMES:
        operand: Any = {
            "$in": [1],
            "$nin": [2],
            "$exists": True,
            "$regex": "1",
            "$not": {"$eq": 2},
        }.get(name, 1)
        assert naive.all_hold([1, "1"], {name: operand}) == Operators({name: operand}).holds(
            [1, "1"]
        )
