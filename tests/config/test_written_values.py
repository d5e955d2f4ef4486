"""What was hardly meant as it is written: numbers in conditions, and characters that nobody sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.webhooks import Definitions, DefinitionsError, load_definitions


def load(folder: Path, condition: str) -> Definitions:
    file = folder / "webhooks.yaml"
    file.write_text(
        "webhooks:\n- name: a\n  verifier: none\n  receivers: {w: any}\n"
        f"  starts:\n  - workflow: s\n    when:\n      $.a: {condition}\n"
    )
    return load_definitions(file, None, {})


def said(folder: Path, condition: str) -> list[tuple[int, str, str, str]]:
    warnings = (warning for warning in load(folder, condition).warnings if "verifier" not in warning.where)
    return [(warning.line, warning.where, warning.what, warning.remedy) for warning in warnings]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1.10", "number 1.1"),
        ("1.0", "number 1"),
        ("0042", "number 42"),
        ("0x1F", "number 31"),
        ("1e3", "number 1000"),
        ("+5", "number 5"),
        ("True", "boolean true"),
    ],
)
def test_a_value_that_is_written_unlike_its_text_is_a_warning(tmp_path: Path, written: str, read: str) -> None:
    text = read.split()[1]
    what = f"{written} is the {read}, which equals the text {text}, but not the text {written}"
    remedy = f'write "{written}", in quotes, if a text is meant, or else {text}'
    assert said(tmp_path, written) == [(8, "webhook a: starts[0].when.$.a", what, remedy)]
    assert load(tmp_path, f'"{written}"').webhooks[0].starts[0].when == {"$.a": written}
    assert said(tmp_path, f'"{written}"') == said(tmp_path, text) == []


@pytest.mark.parametrize("operators", ["{$eq: 1.0}", "{$ne: 1.0}", "{$in: [2, 1.0]}", "{$not: {$nin: [1.0]}}"])
def test_so_it_is_in_operators_that_compare_with_texts(tmp_path: Path, operators: str) -> None:
    assert [what.partition(",")[0] for _, _, what, _ in said(tmp_path, operators)] == ["1.0 is the number 1"]


@pytest.mark.parametrize("condition", ["{$gte: 1.50}", "{$exists: True}", "[1.0]", "{b: 1.0}", "{$in: [[1.0]]}", "1.5"])
def test_nothing_is_said_where_no_text_could_be_meant(tmp_path: Path, condition: str) -> None:
    assert said(tmp_path, condition) == []


def test_a_list_beside_the_webhooks_is_an_unknown_key_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "webhooks.yaml"
    file.write_text("shared:\n- {only: {$.a: 1.10}}\nwebhooks:\n- {name: a, verifier: none, receivers: {w: any}}\n")
    with pytest.raises(DefinitionsError) as raised:
        load_definitions(file, None, {})
    assert [(one.line, one.where) for one in raised.value.problems] == [(1, "shared")]
    assert [one.where for one in raised.value.warnings] == ["webhook a: verifier"]
