"""JSONPaths: plain ones are walked, all others evaluated, with the same outcome."""

from __future__ import annotations

import json
import sys
from typing import Any

import jsonpath_ng.jsonpath
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonpath_ng.ext.parser import parse

from criteria import evaluator
from criteria.evaluator import MAX_STEPS, Node
from criteria.jsonpath import BadPath, blank, compile_path

OF_TODAYS_LIBRARY = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="Python 3.10's jsonpath-ng knows fewer filters"
)
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
def test_the_walk_selects_what_the_evaluator_selects(
    document: dict[str, Any], steps: list[str]
) -> None:
    path = "$" + "".join(steps)
    try:
        expected = [node.value for node in parse(path).find(document)]
    except (TypeError, KeyError):  # the evaluator's own errors on values that have no members
        expected = []
    assert compile_path(path)(document) == expected


SEGMENTS = st.lists(
    st.sampled_from(
        [
            ".a",
            ".b",
            "['a','b']",
            ".*",
            "[*]",
            "[0]",
            "[-1]",
            "[0,1]",
            "[0:2]",
            "[::-1]",
            "..a",
            "..*",
            "[?(@.a)]",
            "[?@.a == 1]",
            "[?@.a != 1]",
            "[?@ > 0]",
            "[?@ <= '1']",
            "[?@.a == null]",
            "[?@.a == $.a]",
            "[?@.a == true]",
            "[?@.a =~ '^1?$']",
            "[?!@.a]",
            "[?@.a && @.b || @[0]]",
            "[?@..a]",
        ]
    ),
    min_size=1,
    max_size=4,
)


@OF_TODAYS_LIBRARY
@given(document=st.dictionaries(st.sampled_from("ab"), JSON, max_size=3), segments=SEGMENTS)
def test_the_bounded_evaluator_selects_what_the_librarys_own_selects(
    document: dict[str, Any], segments: list[str]
) -> None:
    path = "$" + "".join(segments)
    try:
        expected = [node.value for node in parse(path).find(document)]
    # Of values with which a segment can do nothing: it finds nothing there.
    except (
        TypeError,
        AssertionError,
    ):
        return
    assert json.dumps(compile_path(path)(document)) == json.dumps(expected)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (
            "$.items[*].id + 1",
            "arithmetic isn't supported, .*; compute other values in the workflow",
        ),
        ("$.items[\\id]", "sorting isn't"),
        ("$.items.`len`", "`len` isn't"),
        ("$.event.type.`split(ss, 1, -1)`", "`split` isn't"),
        ("$.a.`sub(/(a+)+$/, b)`", "`sub` isn't"),
        ("$.items[0].`parent`", "`parent` isn't"),
        ("$.event where type", "`where` isn't"),
        (
            "$[?(@.a =~ /a+/i)]",
            r"is not a JSONPath: .*; write the pattern in quotes, as in =~ \"\^ab\"",
        ),
        ("$[?(@.a =~ 5)]", "a pattern that is not text; write it in quotes"),
        (
            "$[?(@.a =~ '(?<=a)b')]",
            "invalid perl operator.*; patterns are RE2's, without look-around",
        ),
        ("$" + ".a" * 500, "more than 1000 characters"),
        ("$" + "[?@" * 200 + "]" * 200, "is nested too deeply"),
    ],
)
def test_what_matching_does_not_need_is_refused_with_a_remedy(path: str, reason: str) -> None:
    with pytest.raises(BadPath, match=reason):
        compile_path(path)


WIDE: dict[str, Any] = {"a": [{"a": 1, "b": [0] * 50}] * 2000}
DEEP: dict[str, Any] = {"a": 1}
for _ in range(90):
    DEEP = {"a": DEEP, "b": [DEEP.get("b", 0)]}


@pytest.mark.parametrize(
    "document", [WIDE, DEEP, {"a": list(range(100_000))}, {"a": "x" * 1_000_000}, {"a": 10**4000}]
)
@pytest.mark.parametrize(
    "path",
    [
        "$" + "..*" * 30,
        "$..a..a..a..a",
        "$[" + "'a'," * 200 + "'a'][" + "0," * 80 + "0][*][*]",
        "$" + "[?@..*[?@..*[?@..*]]]",
        "$..[?(@ =~ '^(x+x+)+y')]",
        pytest.param("$..[?@ == $]..[?@ == $]", marks=OF_TODAYS_LIBRARY),
    ],
)
def test_hostile_paths_on_hostile_documents_take_a_bounded_number_of_steps(
    path: str, document: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is counted is every node that comes to be, ours or the library's; a lower bound is
    reached sooner."""
    bound, made = MAX_STEPS // 10, 0
    monkeypatch.setattr(evaluator, "MAX_STEPS", bound)
    for kind in (Node, jsonpath_ng.jsonpath.DatumInContext):
        make = kind.__init__

        def count(node: Any, *given: Any, make: Any = make, **more: Any) -> None:
            nonlocal made
            made += 1
            make(node, *given, **more)

        monkeypatch.setattr(kind, "__init__", count)
    compile_path(path)(document)
    assert made <= bound + 1


def test_a_pattern_is_searched_and_costs_by_its_size_and_the_text() -> None:
    document = {"list": [{"text": "ab" * 500_000}, {"text": "xaby"}, {"text": 5}, {"id": 7}]}
    assert compile_path('$.list[?(@.text =~ "^x")].text')(document) == ["xaby"]
    assert len(compile_path('$.list[?(@.text =~ "(ab)+")]')(document)) == 2
    assert compile_path('$.list[?(@.text =~ "(ab){400}")]')(document) == [], (
        "it would be found, at too high a cost"
    )


def test_a_path_that_takes_too_long_selects_nothing_and_hides_everything() -> None:
    document = json.loads(json.dumps(WIDE))
    assert compile_path("$..*..*..*")(document) == []
    assert blank(document, "$..*..*..*", "***") == "***"
    assert blank({"a": [{"b": 1}, {"b": 2}]}, "$.a[*].b", "***") == {
        "a": [{"b": "***"}, {"b": "***"}]
    }
