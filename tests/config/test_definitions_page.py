"""The examples of docs/definitions.md: each webhook loads, and each row about operators says the
truth."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from config.json_schemas import load_schema
from config.webhooks import load_definitions
from criteria.operators import NAMES, Operators
from platforms import PLATFORMS
from tests.support.sample import P256_KEY

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "definitions.md").read_text(encoding="utf-8")
WEBHOOKS = [
    block
    for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    if block.startswith("  - name:")
]
JSON = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
ROWS = [
    re.split(r" *(?<!\\)\| *", row)[1:-1] for row in re.findall(r"^\| `\{\$.*$", PAGE, re.MULTILINE)
]


@pytest.mark.parametrize("block", WEBHOOKS, ids=lambda block: block.split()[2])
def test_an_example_of_a_webhook_loads(block: str, tmp_path: Path) -> None:
    (tmp_path / "webhooks.yaml").write_text(
        "webhooks:\n" + re.sub(r"\$\{file:[^}]*\}", "${FILE}", block)
    )
    (tmp_path / "order.schema.json").write_text("{}")
    variables = dict.fromkeys([*re.findall(r"\$\{([A-Z_0-9]+)\}", block), "FILE"], P256_KEY)
    assert load_definitions(tmp_path / "webhooks.yaml", PLATFORMS, variables).webhooks


def test_the_example_of_a_schema_answers_as_the_page_says(tmp_path: Path) -> None:
    schema, answer = JSON[-2:]
    item = {"properties": {"quantity": {"minimum": 1}}}
    for name, document in (("order", schema), ("item", item)):
        (tmp_path / f"{name}.schema.json").write_text(json.dumps(document))
    found = load_schema("order.schema.json", tmp_path, lambda path: path.read_text())
    misfit = found.misfit({"id": 1, "items": [{}, {"quantity": 2}, {"quantity": 0}]})
    assert answer["message"] == f"the payload doesn't fit the schema: {misfit}"


def values(cell: str) -> list[list[Any]]:
    """What a path selects, for each value of a table's cell."""
    return [[] if text == "nothing" else [json.loads(text.strip("`"))] for text in cell.split(", ")]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_about_an_operator_is_true(row: list[str]) -> None:
    operators = Operators(YAML(typ="safe", pure=True).load(row[0].strip("`")))
    assert [found for found in values(row[2]) if not operators.holds(found)] == []
    assert [found for found in values(row[3]) if operators.holds(found)] == []


def test_the_page_has_every_operator() -> None:
    assert len(ROWS) >= 10
    assert [name for name in NAMES if f"`{name}`" not in PAGE and f"{{{name}:" not in PAGE] == []
