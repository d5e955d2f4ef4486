"""JSON Schemas that payloads must fit."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.json_schemas import BadSchema, PayloadSchema, load_schema
from config.last_good import LastGood
from config.references import stamp_of
from config.watch import DefinitionsSource
from config.webhooks import Definitions, DefinitionsError, load_definitions
from platforms import PLATFORMS

ORDER = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "integer", "minimum": 1},
        "mail": {"type": "string", "pattern": "^[^@]+@[^@]+$"},
        "kind": {"enum": ["new", "old"]},
        "items": {
            "type": "array",
            "items": {"type": "object", "properties": {"a b": {"type": ["string", "null"]}}},
        },
    },
}
Schema = Callable[..., PayloadSchema]


@pytest.fixture
def schema(tmp_path: Path) -> Schema:
    def load(main: Any, **others: Any) -> PayloadSchema:
        for name, document in {"main": main, **others}.items():
            text = document if isinstance(document, str) else json.dumps(document, indent=2)
            file = tmp_path / f"{name.replace('__', '/')}.json"
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        return load_schema("main.json", tmp_path, lambda path: path.read_text())

    return load


@pytest.mark.parametrize(
    ("payload", "misfit"),
    [
        ({"id": 1}, None),
        ({"id": 1.0, "mail": "a@b", "more": []}, None),
        ({}, "$: required id"),
        ({"id": "secret"}, "$.id: type integer"),
        ({"id": 0}, "$.id: minimum 1"),
        ({"id": 10**900}, None),
        ({"id": 1, "mail": "secret"}, "$.mail: pattern"),
        ({"id": 1, "kind": "secret"}, "$.kind: enum"),
        ({"id": 1, "items": [{}, {"a b": 5}]}, '$.items[1]["a b"]: type null or string'),
        ({"id": 1, "mail": "a@\ud800"}, None),
        ({"id": 1, "mail": "\ud800"}, "$.mail: pattern"),
    ],
)
def test_what_does_not_fit_is_told_by_place_and_rule_without_a_value(
    payload: Any, misfit: str | None, schema: Schema
) -> None:
    found = schema(ORDER).misfit(payload)
    assert (None if found is None else str(found)) == misfit


def test_a_place_is_bounded(schema: Schema) -> None:
    found = schema({"additionalProperties": {"additionalProperties": {"type": "null"}}})
    assert len(str(found.misfit({"é\n" * 5000: {"x" * 5000: 1}}))) < 400


def test_schemas_of_the_same_texts_are_equal(schema: Schema) -> None:
    assert schema(ORDER) == schema(ORDER)
    assert schema(ORDER) != schema({})


def branches(keyword: str) -> dict[str, Any]:
    """A schema that is tried twice at each level of a payload."""
    inner = {"next": {"$ref": "#"}}
    return {
        keyword: [
            {"properties": inner, "required": ["a"]},
            {"properties": inner, "required": ["b"]},
        ]
    }


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf"])
def test_a_schema_that_refers_to_itself_in_branches_ends_for_the_deepest_payload(
    keyword: str, schema: Schema
) -> None:
    found, payload = schema(branches(keyword)), dict[str, Any]()
    for _ in range(90):
        payload = {"a": 1, "b": 1, "next": payload}
    assert str(found.misfit(payload)) == f"$: {keyword}"


def test_a_schema_whose_first_error_would_take_too_long_to_find_only_refuses(
    schema: Schema,
) -> None:
    found, payload = (
        schema({**branches("anyOf"), "unevaluatedProperties": {"const": 1}}),
        dict[str, Any](),
    )
    for _ in range(90):
        payload = {"a": 1, "b": 1, "next": payload}
    assert str(found.misfit(payload)) == "$"


def test_a_branch_is_told_by_its_keyword_and_names_are_no_keywords(schema: Schema) -> None:
    names = {
        "anyOf": {"anyOf": [{"type": "string"}, {"$ref": "#/properties/anyOf/anyOf/0"}]},
        "const": {"const": {}},
    }
    found = schema({"properties": names})
    assert found.misfit({"anyOf": "x", "const": {}}) is None
    assert str(found.misfit({"anyOf": 1})) == "$.anyOf: anyOf"
    assert str(found.misfit({"const": 1})) == "$.const: const"


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        (1, True),
        (1.0, True),
        ("1", False),
        (True, False),
        (False, True),
        (0, False),
        (None, True),
        ({"a": [1.0, {"b": True}]}, True),
        ({"a": [1, {"b": 1}]}, False),
        ([], True),
        ({}, False),
        (10**900, True),
        (1.5, False),
    ],
)
def test_values_of_an_enum_are_equal_as_json_schema_says(
    value: Any, fits: bool, schema: Schema
) -> None:
    found = schema(
        {"properties": {"v": {"enum": [1, False, None, {"a": [1, {"b": True}]}, [], 10**900]}}}
    )
    assert (found.misfit({"v": value}) is None) is fits


def test_a_name_that_does_not_fit_is_told_without_it(schema: Schema) -> None:
    misfit = schema({"propertyNames": {"maxLength": 3}}).misfit({"secret": 1})
    assert str(misfit) == "$: maxLength"


# --- references ---


def test_a_reference_leads_to_files_below_the_folder(schema: Schema) -> None:
    main = {"properties": {"a": {"$ref": "parts/a.json#/$defs/x"}, "self": {"$ref": "#"}}}
    part = {
        "$defs": {"x": {"properties": {"b": {"$ref": "../b.json"}}}},
        "properties": {"m": {"$ref": "../main.json"}},
    }
    found = schema(main, parts__a=part, b={"type": "integer"})
    assert found.misfit({"a": {"b": 1}, "self": {"a": {"b": 1}}}) is None
    assert str(found.misfit({"self": {"a": {"b": "x"}}})) == "$.self.a.b: type integer"


def test_a_schema_with_an_id_may_refer_to_files_and_to_itself(schema: Schema) -> None:
    main = {
        "$id": "https://example.com/order",
        "$ref": "b.json",
        "properties": {"n": {"$ref": "https://example.com/order"}},
    }
    found = schema(main, b={"$id": "https://example.com/of-b", "minProperties": 1})
    assert (found.misfit({"n": {"x": 1}}), str(found.misfit({"n": {}}))) == (
        None,
        "$.n: minProperties 1",
    )


def test_a_schema_may_refer_to_one_that_it_holds_by_its_id(schema: Schema) -> None:
    inner = {
        "a": {"$id": "/schemas/a", "minProperties": 1},
        "b": {"$id": "b.json", "maxProperties": 1},
    }
    main = {
        "$id": "https://example.com/all.json",
        "$defs": inner,
        "allOf": [{"$ref": "/schemas/a"}, {"$ref": "b.json"}],
    }
    found = schema(main)
    assert str(found.misfit({})) == "$: minProperties 1"
    assert str(found.misfit({"a": 1, "b": 2})) == "$: maxProperties 1"


def test_the_standards_own_schema_may_be_referred_to(schema: Schema) -> None:
    found = schema({"$ref": "https://json-schema.org/draft/2020-12/schema"})
    assert found.misfit({"type": "objekt"}) is not None


@pytest.mark.parametrize(
    "reference",
    [
        "https://example.com/x.json",
        "http://127.0.0.1:1/x.json",
        "file:///etc/hostname",
        "/etc/hostname",
        "//example.com/x.json",
        "../outside.json",
        "%2e%2e/outside.json",
        "link.json",
        "urn:example:a",
    ],
)
def test_a_reference_that_leaves_the_folder_is_refused_at_its_line(
    reference: str, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "outside.json").write_text("{}")
    (folder / "link.json").symlink_to(tmp_path / "outside.json")
    (folder / "main.json").write_text(
        json.dumps({"properties": {"a": {"$ref": reference}}}, indent=2)
    )
    read: list[Path] = []

    def reading(path: Path) -> str:
        read.append(path)
        return path.read_text()

    with pytest.raises(BadSchema, match="outside the definition's folder") as refused:
        load_schema("main.json", folder, reading)
    assert (refused.value.line, read) == (4, [folder / "main.json"])


@pytest.mark.parametrize("file", ["../main.json", "/etc/hostname", "nul\0"])
def test_a_schema_outside_of_the_folder_is_refused(file: str, tmp_path: Path) -> None:
    with pytest.raises(BadSchema, match="outside the definition's folder"):
        load_schema(file, tmp_path, lambda path: "{}")


def test_a_mounted_folder_of_links_is_one_folder(tmp_path: Path) -> None:
    """As Kubernetes mounts a ConfigMap."""
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026" / "main.json").write_text('{"type": "object"}')
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "main.json").symlink_to("..data/main.json")
    assert load_schema("main.json", tmp_path, lambda path: path.read_text()).misfit({}) is None


# --- errors ---


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("{\n  'a': 1}", 2, "not JSON"),
        ("[]", 1, "not a JSON Schema"),
        ("[" * 100_000, 1, "nested too deeply"),
        ('{"not":' * 800 + "{}" + "}" * 800, 1, ""),
        (
            '{\n  "properties": {\n    "a": {\n      "type": "objekt"\n    }\n  }\n}',
            4,
            'properties.a.type: "objekt"',
        ),
        ('{\n  "properties": {\n    "a": {"pattern": "(?=x)"}\n  }\n}', 3, "no look-around"),
        ('{\n  "pattern": "(a{1000}){1000}"\n}', 2, "may not be huge"),
        ('{\n  "$ref": "#/$defs/gone"\n}', 1, "gone"),
        ('{"minLength": -1}', 1, "minLength"),
    ],
)
def test_a_schema_that_is_wrong_is_told_with_its_line(
    text: str, line: int, what: str, schema: Schema
) -> None:
    with pytest.raises(BadSchema) as error:
        schema(text)
    assert what in str(error.value)
    assert error.value.line == line


def test_what_is_wrong_in_a_file_that_is_referred_to_is_found_there(schema: Schema) -> None:
    with pytest.raises(BadSchema, match="objekt") as error:
        schema({"$ref": "b.json"}, b={"type": "objekt"})
    assert (error.value.file or Path()).name == "b.json"


# --- definitions ---

WEBHOOK = "webhooks:\n- name: a\n  verifier: none\n  receivers: {w: any}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "order.json").write_text(json.dumps(ORDER))
    (tmp_path / "a.yaml").write_text(f"{WEBHOOK}  schema: order.json\n")
    return tmp_path


def load(folder: Path) -> Definitions:
    return load_definitions(folder, PLATFORMS, {})


def compiled(definitions: Definitions) -> PayloadSchema:
    [webhook] = definitions.webhooks
    assert webhook.payload_schema is not None and webhook.payload_schema.compiled is not None
    return webhook.payload_schema.compiled


def test_a_definitions_schema_is_compiled_and_its_files_are_watched(folder: Path) -> None:
    definitions = load(folder)
    assert str(compiled(definitions).misfit({"id": 0})) == "$.id: minimum 1"
    assert folder / "order.json" in definitions.sources


def test_a_schema_that_many_webhooks_name_is_compiled_once(folder: Path) -> None:
    one = WEBHOOK.removeprefix("webhooks:\n") + "  schema: order.json\n"
    (folder / "a.yaml").write_text("webhooks:\n" + one + one.replace("name: a", "name: b"))
    first, second = load(folder).webhooks
    assert first.payload_schema is not None and second.payload_schema is not None
    assert first.payload_schema.compiled is second.payload_schema.compiled is not None


def test_a_process_that_verifies_nothing_reads_no_schema(folder: Path) -> None:
    (folder / "order.json").unlink()
    [webhook] = LastGood(looks_up_secrets=False).load(folder).webhooks
    assert webhook.payload_schema is not None and webhook.payload_schema.compiled is None


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (
            "gone.json",
            "a.yaml:5: webhook a: schema: the file gone.json can't be read: No such file or directory; create",
        ),
        (
            "../x.json",
            "a.yaml:5: webhook a: schema: a schema outside the definition's folder; move it there",
        ),
        ("bad.json", 'bad.json:3: webhook a: schema: properties.a: "x" is not of types'),
        (
            "{file: order.json, else: drop}",
            "a.yaml:5: webhook a: schema.else: Input should be 'refuse' or 'keep'; ",
        ),
        ("{fiel: order.json}", "a.yaml:5: webhook a: schema.fiel: unknown key; did you mean file?"),
        ("5", "a.yaml:5: webhook a: schema: not keys with values; write order.schema.json"),
    ],
)
def test_a_wrong_schema_is_told_at_file_and_line(written: str, problem: str, folder: Path) -> None:
    (folder / "bad.json").write_text('{\n "properties": {\n  "a": "x"\n }\n}')
    (folder / "a.yaml").write_text(f"{WEBHOOK}  schema: {written}\n")
    with pytest.raises(DefinitionsError) as error:
        load(folder)
    assert any(str(one).startswith(f"{folder}/{problem}") for one in error.value.problems), str(
        error.value
    )


def test_a_changed_schema_takes_effect_and_a_broken_one_leaves_the_last_good_in_force(
    folder: Path,
) -> None:
    loader = LastGood(PLATFORMS)
    source = DefinitionsSource(folder, loader.load, loader.load(folder))

    def changed(text: str) -> str | None:
        file = folder / "order.json"
        before = stamp_of(file)[0]
        file.write_text(text)
        os.utime(file, ns=(before + 10**9, before + 10**9))
        source.check()
        misfit = compiled(source.current).misfit({"id": 0})
        return None if misfit is None else str(misfit)

    assert changed("{}") is None
    assert source.error is None
    assert changed('{"type": "objekt"}') is None
    assert "objekt" in str(source.error)
    assert changed('{"type": "array"}') == "$: type array"
    assert source.error is None
