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
        reference = {"$ref": adapted.pop("$ref").replace("#/$defs/", "#/definitions/")}
        adapted = {**adapted, "allOf": [reference]} if adapted else reference
    if "ms|s|m|h|d" in str(adapted.get("pattern")) and isinstance(adapted.get("default"), float):
        adapted["default"] = format_duration(adapted["default"])
    if "ms|s|m|h|d" in str(adapted.get("pattern")):
        adapted["pattern"] += r"|^\$\{[^{}]+\}$"
    kinds = adapted.get("anyOf")
    if isinstance(kinds, list) and {"type": "null"} in kinds:
        # The bridge rejects a key without a value, so null is not offered.
        rest = [kind for kind in kinds if kind != {"type": "null"}]
        del adapted["anyOf"]
        if adapted.get("default", ...) is None:
            del adapted["default"]
        adapted |= (
            rest[0] if len(rest) == 1 and not set(rest[0]) & set(adapted) else {"anyOf": rest}
        )
    return adapted
