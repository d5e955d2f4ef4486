"""libyaml's events make the same nodes as the parser in Python, which decides in doubt."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from config import yaml_lines, yaml_nodes
from config.yaml_lines import BadYaml, Located, parse_yaml
from tests.examples import at_most, examples

ROOT = Path(__file__).parents[2]
SAMPLES = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/definitions.md").read_text(encoding="utf-8"), re.DOTALL)
KINDS = """
a: &x {b: 1, c: [1, 2]}
d: *x
e: {<<: *x, b: 2}
<<: [*x, {z: 1}]
f: |
  text
   more

  x
g: >-
  a
  b
h: "q\\u00e9 \\/ \\n"
i: 'it''s'
j: [0o17, 1_000, 1e3, .5, 2001-01-01, ~, yes, 0x1F, -.inf, =, 010, 1., +1, "1", on, True, null]
l: 12:30:45
? k
: [{}, []]
"""
PIECES = [*"\t\n :{}[],\"'|>&*#?!%@`-\\é~+.=\r<", "- ", ": ", " #", "? ", "!!str ", "---", "&a", "*a", "<<: *a"]
PIECES += ["\u2028", "\x85", "\ufeff", "null", "0o7", "1_0", "&a:b ", "... ", "%YAML 1.1\n---\n"]


def in_python(text: str) -> Located | BadYaml | YAMLError:
    try:
        return yaml_lines._Reading(text).read(YAML(typ="safe", pure=True).compose(text))
    except (BadYaml, YAMLError) as error:
        return error


def same(text: str) -> None:
    """Whether what libyaml reads is what the parser in Python reads, if it isn't in doubt."""
    if yaml_nodes._IN_DOUBT.search(text):
        return
    try:
        found = yaml_lines._Reading(text).read(yaml_nodes._Composer().compose(text))
    except (BadYaml, YAMLError, yaml_nodes._InDoubt):
        return
    expected = in_python(text)
    assert isinstance(expected, Located), str(expected)
    assert repr(found.value) == repr(expected.value)
    assert (found.lines, found.repeated) == (expected.lines, expected.repeated)


@pytest.mark.parametrize("text", [*SAMPLES, KINDS, "", "# nothing\n", "5", "--- a\n", "a: 1\na: 2\n"])
def test_what_libyaml_reads_has_the_same_values_and_lines(text: str) -> None:
    yaml_nodes._Composer().compose(text)
    same(text)


@examples
@settings(max_examples=at_most(150))
@given(
    st.sampled_from([*SAMPLES, KINDS]),
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from(PIECES), st.integers(0, 3)), max_size=3),
)
def test_where_libyaml_differs_it_is_not_asked(text: str, changes: list[tuple[float, str, int]]) -> None:
    for where, piece, without in changes:
        place = int(where * len(text))
        text = text[:place] + piece + text[place + without :]
    same(text)


@pytest.mark.parametrize(
    "text",
    ["a:\tb", "&a: b", "a: !!str 5", "%YAML 1.1\n---\na: yes", "a: *b", "a\n---\nb", "a: [", "\0"],
)
def test_the_parser_in_python_decides_in_doubt(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def reading(*arguments: Any, pure: bool = False, **more: Any) -> Any:
        asked.append(pure)
        return YAML(*arguments, pure=pure, **more)

    monkeypatch.setattr(yaml_nodes, "YAML", reading)
    with suppress(BadYaml):
        parse_yaml(text)
    assert asked[-1] is True


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000, "? " * 50_000])
def test_the_parser_in_python_is_not_asked_about_nesting(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take time by the square of the depth, and anything nested so deeply is an error."""
    monkeypatch.setattr(yaml_nodes, "YAML", None)
    with pytest.raises(BadYaml, match="nested too deeply"):
        parse_yaml(text)
