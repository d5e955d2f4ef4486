"""The JSON Schema of the YAML, for editors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from config.model import WebhooksFile
from config.quantities import format_duration
from criteria.operators import SCHEMA as OPERATORS


def json_schema(platforms: Iterable[str]) -> dict[str, Any]:
    """The schema of the webhooks file, with the names of these platforms."""
    made = WebhooksFile.model_json_schema()
    schema: dict[str, Any] = {
        "$schema": "http://json-schema.org/draft-07/schema#",  # what editors support best
        "title": "Webhooks of the Conductor Webhook Bridge",
        **{key: value for key, value in made.items() if key != "title"},
    }
    # Draft 7 keeps shared schemas under this name, and ignores everything next to a $ref.
    schema["definitions"] = {**schema.pop("$defs"), "Operators": OPERATORS}
    schema = {key: _adapted(value) for key, value in schema.items()}
    schema["definitions"]["Webhook"]["properties"]["platform"]["enum"] = sorted(platforms)
    schema["definitions"]["Webhook"]["anyOf"] = [
        {"required": [key]} for key in ("receivers", "starts", "messages")
    ]
    schema["definitions"]["Dedup"]["oneOf"] = [{"required": ["header"]}, {"required": ["path"]}]
    # With every entry commented out, `webhooks:` is null.
    schema["properties"]["webhooks"]["type"] = ["array", "null"]
    return schema


def _adapted(value: Any) -> Any:
    if isinstance(value, list):
        return [_adapted(item) for item in value]
    if not isinstance(value, dict):
        return value
    adapted = {
        key: _adapted(item)
        for key, item in value.items()
        if key != "title" or not isinstance(item, str)
    }
    if "x-schema" in adapted:
        adapted["allOf"] = [{"$ref": f"#/definitions/{adapted.pop('x-schema')}"}]
        return adapted
    if "$ref" in adapted:
        adapted = _with_reference(adapted)
    if "ms|s|m|h|d" in str(adapted.get("pattern")):
        _allow_variables(adapted)
    return _without_null(adapted)


def _with_reference(schema: dict[str, Any]) -> dict[str, Any]:
    reference = {"$ref": schema.pop("$ref").replace("#/$defs/", "#/definitions/")}
    return {**schema, "allOf": [reference]} if schema else reference


def _allow_variables(duration: dict[str, Any]) -> None:
    duration["pattern"] += r"|^\$\{[^{}]+\}$"
    if isinstance(duration.get("default"), float):
        duration["default"] = format_duration(duration["default"])


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The bridge rejects a key without a value, so null is not offered."""
    kinds = schema.get("anyOf")
    if not isinstance(kinds, list) or {"type": "null"} not in kinds:
        return schema
    rest = [kind for kind in kinds if kind != {"type": "null"}]
    others = {key: value for key, value in schema.items() if key != "anyOf"}
    if others.get("default", ...) is None:
        del others["default"]
    if len(rest) == 1 and others.keys().isdisjoint(rest[0]):
        return {**others, **rest[0]}
    return others | {"anyOf": rest}
