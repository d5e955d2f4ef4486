"""The JSON Schema that editors check the YAML with."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import config.webhooks
from admin.definitions.schema import json_schema
from config.yaml_lines import read_yaml
from platforms import PLATFORMS
from tests.config.test_webhooks import KITCHEN_SINK, SHIPPED
from tests.support.sample import P256_KEY

SCHEMA = json_schema(PLATFORMS)
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_the_shipped_schema_is_what_the_command_prints() -> None:
    shipped = (
        Path(config.webhooks.__file__).with_name("webhooks.schema.json").read_text(encoding="utf-8")
    )
    assert json.loads(shipped) == SCHEMA, "run: webhook-bridge schema > config/webhooks.schema.json"


def test_every_key_has_a_description() -> None:
    for definition in SCHEMA["definitions"].values():
        for key, schema in definition["properties"].items():
            assert schema.get("description"), key


def test_a_definition_with_every_key_is_valid(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(KITCHEN_SINK, encoding="utf-8")
    VALIDATOR.validate(read_yaml(file).value)


def test_the_shipped_file_is_valid() -> None:
    VALIDATOR.validate(read_yaml(SHIPPED).value)


@pytest.mark.parametrize(
    "webhook",
    [
        {"name": "a"},
        {"receivers": {"w": "any"}},
        {"name": "a", "receivers": {"w": "some"}},
        {"name": "a b", "receivers": {"w": 1}},
        {"name": "a", "receivers": {"w": 1}, "bogus": 1},
        {"name": "a", "receivers": {"w": 1}, "platform": "githib"},
        {"name": "a", "receivers": {"w": 1}, "hold": 5},
        {"name": "a", "receivers": {"w": 1}, "secret": None},
        {"name": "a", "receivers": {"w": 1}, "dedup": {"header": "A", "path": "$.b"}},
        {"name": "a", "starts": [{"when": {}}]},
        {"name": "a", "receivers": {"w": 1}, "only": {"$.a": {"$gt1": 1}}},
        {"name": "a", "receivers": {"w": 1}, "only": {"$.a": {"$in": 1}}},
        {"name": "a", "receivers": {"w": 1}, "only": {"$.a": {"$not": {"$regex": 1}}}},
        {"name": "a", "starts": [{"workflow": "w", "when": {"$.a": {"$gt": True}}}]},
        {"name": "a", "receivers": {"w": 1}, "respond": {"status": 404}},
        {"name": "a", "receivers": {"w": 1}, "respond": {"body": 1}},
        {"name": "a", "receivers": {"w": 1}, "signature": {"secret": "x"}},
    ],
)
def test_what_check_refuses_the_schema_refuses(webhook: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid({"webhooks": [webhook]})


def test_an_empty_list_is_valid() -> None:
    assert VALIDATOR.is_valid({"webhooks": []})
    assert VALIDATOR.is_valid({"webhooks": None})


def test_every_example_of_the_shipped_file_works_once_uncommented(tmp_path: Path) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    uncommented = re.sub(r"(?m)^( {2,4})# (?=- name: | {2}|secret: )", r"\1", text)
    assert uncommented.count("- name:") == text.count("- name:") >= 9
    assert not re.search(r"# +- name:", uncommented)
    file = tmp_path / "webhooks.yaml"
    file.write_text(uncommented, encoding="utf-8")
    variables = set(re.findall(r"\$\{([A-Z_]+)\}", uncommented)) - {"NAME"}
    definitions = config.webhooks.load_definitions(
        file, PLATFORMS, dict.fromkeys(variables, P256_KEY)
    )
    assert [warning.where for warning in definitions.warnings] == ["webhook lab: verifier"]
    VALIDATOR.validate(read_yaml(file).value)
