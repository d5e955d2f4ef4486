"""The input of a start: constants and paths."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from criteria.inputs import InputTooLarge, filled, find_faults, is_path, value_at
from tests.criteria.test_matches import values

DOCUMENT = {
    "data": {"id": 7, "none": None, "a b": "x"},
    "items": [{"sku": "a"}, {"sku": "b"}, {}],
    "_webhook": {"eventId": "e1", "headers": {"x-kind": "new"}},
}


def fill(written: Any, most: int = 10_000) -> Any:
    return json.loads(filled(written, lambda path: value_at(path, DOCUMENT), most))


@pytest.mark.parametrize(
    ("written", "input_"),
    [
        ("$.data.id", 7),
        ("$['data']['a b']", "x"),
        ("$.data.none", None),
        ("$.data.gone", None),
        ("$.items[0]", {"sku": "a"}),
        ("$.items[*].sku", ["a", "b"]),
        ("$.items[?(@.sku=='b')].sku", ["b"]),
        ("$.gone[*]", []),
        ("$._webhook.headers['x-kind']", "new"),
        ("$", DOCUMENT),
        ("web", "web"),
        ("data.id", "data.id"),
        ("a $.data.id", "a $.data.id"),
        ("$$.data.id", "$.data.id"),
        ("$$$5", "$$5"),
        ("${workflow.input.x}", "${workflow.input.x}"),
        (5, 5),
        (1.5, 1.5),
        (True, True),
        (None, None),
        ([], []),
        ({"x": ["$.data.id", {"$.data.id": "$$"}]}, {"x": [7, {"$.data.id": "$"}]}),
    ],
)
def test_paths_stand_for_what_they_select_and_everything_else_for_itself(
    written: Any, input_: Any
) -> None:
    assert list(find_faults({"a": written})) == []
    assert fill({"a": written}) == {"a": input_}


@given(st.dictionaries(st.text(), values))
def test_a_constant_arrives_as_it_is_written(constant: Any) -> None:
    def escaped(value: Any) -> Any:
        if isinstance(value, str) and value.startswith("$"):
            return f"${value}"
        if isinstance(value, list):
            return list(map(escaped, value))
        return (
            {key: escaped(item) for key, item in value.items()}
            if isinstance(value, dict)
            else value
        )

    assert list(find_faults(escaped(constant))) == []
    assert fill(escaped(constant)) == constant


@pytest.mark.parametrize(
    ("written", "where", "what"),
    [
        ("$.data.id", (), "not a mapping"),
        (
            {"a": {"b": ["$5"]}},
            ("a", "b", 0),
            "no JSONPath, which begins with $.; write $$5 for the text itself",
        ),
        ({"a": "$.["}, ("a",), "not a JSONPath"),
        ({"a": "$.a[?(@.x =~ '(?=a)')]"}, ("a",), "can't be evaluated"),
        ({1: "a"}, ("1",), "a key that isn't text"),
        ({"a": "x" * 20_000}, (), "longer than 20000 characters"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    written: Any, where: tuple[Any, ...], what: str
) -> None:
    [(place, message)] = find_faults(written)
    assert place == where
    assert what in message


def test_an_input_that_repeats_a_large_payload_many_times_is_refused_before_it_is_made() -> None:
    large = {"a": "x" * 1000}
    written = {str(number): "$" for number in range(1000)}
    with pytest.raises(InputTooLarge, match="more than 5000 characters"):
        filled(written, lambda path: value_at(path, large), 5000)


def test_the_names_of_keys_are_never_paths() -> None:
    assert is_path("$.a")
    assert fill({"$.data.id": 1}) == {"$.data.id": 1}


def test_values_that_hold_each_other_are_not_all_written_before_it_is_too_much() -> None:
    """Here half a gigabyte."""
    document: Any = "x" * 5_000_000
    for _ in range(100):
        document = {"a": document}
    tracemalloc.start()
    with pytest.raises(InputTooLarge):
        filled({"all": "$..*"}, lambda path: value_at(path, document), 10_000_000)
    assert tracemalloc.get_traced_memory()[1] < 60_000_000
    tracemalloc.stop()
