"""Why nothing is at a path."""

from __future__ import annotations

from typing import Any

import pytest

from criteria.conditions import Conditions
from criteria.descriptions import describe_criterion
from criteria.matches import Criteria
from criteria.missing import why_missing

DOCUMENT: dict[str, Any] = {
    "Ref": 1,
    "a": {
        "b": [{"x": 1}],
        "two words": {"c": None},
        "json": '{"id": 1}',
        "text": "x",
        "n": 5,
        "yes": True,
    },
    "_webhook": {"headers": {"x-a": "1"}, "query": {}},
}


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("$.ref", "the payload has Ref, and case counts"),
        ("$.A.b", "the payload has a, and case counts"),
        ("$.a.B", "$.a has b, and case counts"),
        (
            "$.a.b.x",
            "$.a.b is a list: name an element, as in $.a.b[0], or all of them, as in $.a.b[*]",
        ),
        ("$.a.b[1].x", "$.a.b has 1 element"),
        ("$.a[0]", "$.a is an object, not a list"),
        (
            "$.a.json.id",
            "$.a.json is a text that looks like JSON, which `decode` in the webhook's definition can read",
        ),
        ("$.a.text.id", "$.a.text is a text"),
        ("$.a.n.id", "$.a.n is a number"),
        ("$.a.yes.id", "$.a.yes is a boolean"),
        ("$.a['two words'].c.d", "$.a['two words'].c is null"),
        (
            "$._webhook.headers['X-A']",
            "header names are in lower case in `_webhook.headers`, so X-A selects nothing; "
            "write $._webhook.headers['x-a']",
        ),
        ("$.missing", ""),
        ("$.a.b[*].y", ""),
        ("$..y", ""),
    ],
)
def test_what_is_known_is_told(path: str, why: str) -> None:
    assert why_missing(path, DOCUMENT) == why


def test_of_a_body_that_is_a_list_its_place_is_told() -> None:
    batch = {"request": [{"id": 1}], "_webhook": {}}
    why = "the body is a list, which is at $.request; `split` makes each of its elements an event"
    assert why_missing("$.id", batch) == why
    assert why_missing("$.id", {**batch, "more": 1}) == why_missing("$.id", {"request": 5}) == ""


JSON_LIKE = ", but looks like JSON: have its sender say Content-Type: application/json"


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        ({'{"id":1}': ""}, f"the body was sent as a form{JSON_LIKE}"),
        ({'{"a":"b': "c", 'd"}': ""}, f"the body was sent as a form{JSON_LIKE}"),
        ({"request": ' {"id":1}'}, f"the body was sent as text, and is at $.request{JSON_LIKE}"),
        ({"request": "<id>1</id>"}, "the body was sent as text, and is at $.request"),
    ],
)
def test_of_a_body_that_its_content_type_makes_something_else_that_is_told(
    payload: dict[str, Any], why: str
) -> None:
    assert why_missing("$.id", {**payload, "_webhook": {}}) == why


def test_explanations_tell_it() -> None:
    why = "nothing at $.ref, expected is 5 (the payload has Ref, and case counts)"
    assert [describe_criterion(one) for one in Criteria.parse({"$.ref": 5}).explain(DOCUMENT)] == [
        why
    ]
    assert [
        describe_criterion(one) for one in Conditions.parse({"$.ref": 5}).explain(DOCUMENT)
    ] == [why]
    [criterion] = Conditions.parse({"$.ref": {"$exists": False}}).explain(DOCUMENT)
    assert describe_criterion(criterion) == "nothing at $.ref, expected is $exists false"
