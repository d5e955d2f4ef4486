"""Hints beside a criterion that doesn't hold."""

from __future__ import annotations

from typing import Any

import pytest

from criteria.conditions import Conditions
from criteria.descriptions import describe_criterion

HINT = "(a number or boolean equals a text only in its shortest form, such as 1.5 or true)"


@pytest.mark.parametrize(
    ("expected", "found", "hinted"),
    [
        (1.1, "1.10", True),
        (7, "007", True),
        ("1.0", 1, True),
        (True, "True", True),
        ({"$in": [1]}, "1.0", False),
        ({"$eq": 1}, "1.0", True),
        ({"$gte": 7}, "7", False),
        (1, "2", False),
        (1, "x", False),
        (10**400, "1", False),
        ("1.0", "1.00", False),
        (True, "yes", False),
        (1, None, False),
    ],
)
def test_a_number_that_a_text_spells_otherwise_is_told(
    expected: Any, found: Any, hinted: bool
) -> None:
    criteria = Conditions.parse({"$.a": expected}).explain({"a": found})
    assert any(HINT in describe_criterion(criterion) for criterion in criteria) is hinted
