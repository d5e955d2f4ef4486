"""What libyaml reads has the same values and lines as what the parser in Python reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from config import yaml_lines
from config.yaml_lines import BadYaml, parse_yaml

ROOT = Path(__file__).parents[2]
SAMPLES = re.findall(
    r"```yaml\n(.*?)```", (ROOT / "docs/definitions.md").read_text(encoding="utf-8"), re.DOTALL
)
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
j: [0o17, 1_000, 1e3, .5, 2001-01-01, ~, yes, 0x1F, -.inf, 010, 1., +1, "1", on, True, null]
l: 12:30:45
? k
: [{}, []]
"""


@pytest.mark.parametrize(
    "text", [*SAMPLES, KINDS, "", "# nothing\n", "5", "--- a\n", "a: 1\na: 2\n"]
)
def test_what_libyaml_reads_has_the_same_values_and_lines(text: str) -> None:
    found = parse_yaml(text)
    expected = yaml_lines._Reading().read(YAML(typ="safe", pure=True).compose(text))
    assert repr(found.value) == repr(expected.value)
    assert (found.lines, found.repeated) == (expected.lines, expected.repeated)


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000, "? " * 50_000])
def test_text_that_is_nested_without_end_is_refused(text: str) -> None:
    with pytest.raises(BadYaml, match="nested too deeply"):
        parse_yaml(text)
