"""Conditions of `when` and `only`: paths, expected values and operators."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from criteria.conditions import Conditions
from criteria.matches import BadMatches, Criteria
from tests.criteria.test_matches import scalars, values
from tests.criteria.test_operators import operators
from tests.support import naive

PUSH = {
    "ref": "refs/heads/main",
    "size": 12,
    "commits": [{"by": "ann", "lines": 3}, {"by": "bob", "lines": 40}],
}


@pytest.mark.parametrize(
    ("written", "holds"),
    [
        ({}, True),
        ({"$.ref": "refs/heads/main", "$.size": {"$gt": 10}}, True),
        ({"$.ref": "refs/heads/main", "$.size": {"$gt": 12}}, False),
        ({"$.ref": {"$regex": "^refs/heads/(main|release-.*)$"}}, True),
        ({"$.commits[*].lines": {"$gt": 10, "$lt": 20}}, False),
        ({"$.commits[*].lines": {"$gt": 10, "$lt": 50}}, True),
        ({"$.commits[*].by": {"$ne": "ann"}}, False),
        ({"$.gone": {"$exists": False}, "$.gone.deeper": {"$ne": 1}}, True),
        ({"$.commits": {"$eq": PUSH["commits"]}}, True),
        ({"$.size": {"$not": {"$gte": 10, "$lt": 20}}}, False),
    ],
)
def test_all_conditions_must_hold(written: Any, holds: bool) -> None:
    assert Conditions.parse(written).holds(PUSH) == holds


@given(
    st.dictionaries(
        st.sampled_from(["$.a", "$.b", "$.b.c", "$.l[*]", "$..c"]),
        st.one_of(scalars, operators),
        max_size=3,
    ),
    st.dictionaries(st.sampled_from(["a", "b", "l"]), values, max_size=3),
)
def test_an_explanation_agrees_with_whether_the_conditions_hold(
    written: Any, document: Any
) -> None:
    conditions = Conditions.parse(written)
    explained = conditions.explain(document)
    assert conditions.holds(document) == all(criterion.holds for criterion in explained)
    found = {criterion.path: criterion.found for criterion in explained}
    assert conditions.holds(document) == all(
        naive.holds(found[path], expected) for path, expected in written.items()
    )


@given(
    st.dictionaries(st.sampled_from(["$.a", "$.b", "$.l[*]"]), scalars, max_size=3),
    st.dictionaries(st.sampled_from(["a", "b", "l"]), values, max_size=3),
)
def test_without_operators_they_are_what_matches_are(written: Any, document: Any) -> None:
    assert Conditions.parse(written).holds(document) == Criteria.parse(written).holds(document)


def test_the_matches_of_a_task_know_no_operators() -> None:
    """They stay what Orkes has: a mapping is a value like others."""
    assert not Criteria.parse({"$.size": {"$gt": 1}}).holds({"size": 2})
    assert Criteria.parse({"$.size": {"$gt": 1}}).holds({"size": {"$gt": 1}})


def test_every_operator_is_explained_with_what_was_found() -> None:
    explained = Conditions.parse({"$.size": {"$gt": 10, "$lt": 12}, "$.ref": "x"}).explain(PUSH)
    assert [(one.path, one.operator, one.expected, one.found, one.holds) for one in explained] == [
        ("$.ref", None, "x", ["refs/heads/main"], False),
        ("$.size", "$gt", 10, [12], True),
        ("$.size", "$lt", 12, [12], False),
    ]


def test_a_mapping_that_no_single_value_meets_is_explained_as_a_whole() -> None:
    explained = Conditions.parse({"$.commits[*].lines": {"$gt": 10, "$lt": 20}}).explain(PUSH)
    assert [one.holds for one in explained] == [True, True, False]
    assert explained[-1].operator is None


@pytest.mark.parametrize("written", [{"$.[": 1}, {"$.a": {"$foo": 1}}, {"$.a": {"$regex": "("}}])
def test_what_cannot_be_parsed_has_a_reason(written: Any) -> None:
    with pytest.raises(BadMatches, match=r"."):
        Conditions.parse(written)
