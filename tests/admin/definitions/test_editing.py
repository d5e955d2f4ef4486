"""A webhook that is written, and what a form makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from admin.definitions.editing import edited, form_of
from admin.definitions.fields import FIELDS, Field, put, text_of, value_at, value_of
from admin.definitions.forms import WebhookForm
from admin.definitions.values import Secret, to_yaml_value, without_secrets
from config.callbacks import Callback
from config.model import Webhook
from config.problems import Problem
from config.proof_keys import Challenge, Jwt, Mtls, Signature
from platforms.guide import guides


def refer(_secret: Secret, _label: str) -> str:
    return "a reference"


def test_each_of_several_starts_of_a_workflow_keeps_its_own_rest() -> None:
    written = {
        "name": "two",
        "receivers": {"flow": "any"},
        "starts": [
            {"workflow": "s", "when": {"$.x": 1}, "once": {"key": "$.a"}},
            {"workflow": "s", "when": {"$.x": 2}, "unless": "taken"},
            {"workflow": "s", "when": {"$.x": 3}},
        ],
    }
    form = form_of(written)
    form.starts[0]["when"] = "$.x: 4"
    keys = to_yaml_value(edited(written, form, guides()["custom"]), refer)
    first, *others = written["starts"]
    assert keys["starts"] == [{**first, "when": {"$.x": 4}}, *others]


EVERY: dict[str, Any] = {
    "signature": {
        "secret": "${S}",
        "header": "X-Signature",
        "algorithm": "sha512",
        "encoding": "base64",
        "key_encoding": "hex",
        "prefix": "sha512 ",
        "format": "t={timestamp},v1={signature}",
        "signed": "{timestamp}.{url}\n{body}",
        "timestamp_header": "X-Time",
        "tolerance": "2m",
    },
    "jwt": {
        "issuer": "https://login.example.com",
        "audience": ["hooks", "others"],
        "jwks": "https://login.example.com/keys",
        "claims": {"$.scope": "orders", "$.level": {"$gt": 2}},
        "header": "X-Token",
        "tolerance": "1m",
    },
    "mtls": {"header": "X-DN", "subject": "CN=a,O=b", "san": ["a.example", "b.example"], "form": "envoy"},
    "challenge": {"name": "token", "answer": "json", "head": True},
    "callback": {"secret": "${S}", "expires": "2h", "tasks": ["approve"], "query": ["decision"], "by": "id"},
    "audience": "https://hooks.example.com",
    "service_account": "a@b.example",
    "topic": ["arn:aws:sns:eu-west-1:123456789012:a"],
    "only": {"$.type": {"$in": ["a", "b"]}},
    "decode": {"$.a": "base64-json"},
    "split": "$.items",
    "schema": {"file": "order.schema.json", "else": "keep"},
    "dedup": {"header": "X-Id", "path": "$.id"},
    "hide": ["$.a", "$.b"],
    "metadata": False,
    "messages": [{"workflow": "a", "key": "$.k", "when": {"$.x": 1}}, {"workflow": "b", "key": "$.k", "else": "hold"}],
    "hold": "1m",
    "max_body": "2MB",
    "allow_ips": ["192.0.2.0/24"],
    "accept": {"rate": "200/s", "burst": 400},
    "pace": "5/s",
    "tolerance": "3m",
    "respond": {"status": 202, "body": {"ok": True}},
    "public_url": "https://hooks.example.com/webhook/a",
    "id": "7f3kq",
    "listen": True,
    "keep_rejected": 100,
}
OTHERS = {
    "number": "7",
    "tick": "",
    "yaml": "$.new: json",
    "lines": "one\r\ntwo",
    "exact": "a {body} b",
    "switch": "true",
}


def test_every_setting_has_a_field() -> None:
    """Besides those that the form asks for in its own way."""
    otherwise = {"name", "platform", "secret", "verify_token", "headers", "verifier", "receivers", "starts"}
    settings = {one.alias or name: one for name, one in Webhook.model_fields.items()}
    assert settings.keys() - {field.path[0] for field in FIELDS} - otherwise == set()
    models: dict[str, type[BaseModel]] = {"signature": Signature, "jwt": Jwt, "mtls": Mtls, "challenge": Challenge}
    for key, model in (models | {"callback": Callback}).items():
        inside = {field.path[1] for field in FIELDS if field.path[0] == key}
        assert model.model_fields.keys() - inside <= {"secret"}, key


def posted(written: dict[str, Any]) -> WebhookForm:
    """What a browser posts of the form: line breaks as CR LF, and none in a field of one line."""
    form = form_of(written)
    sent = {name: text.replace("\n", "\r\n") for name, text in form.values.items()}
    starts = {f"start_{part}_{n}": text for n, start in enumerate(form.starts) for part, text in start.items()}
    return WebhookForm.read({**sent, **starts}, form.chosen, form.platform)


def test_a_form_that_is_saved_as_it_is_changes_nothing() -> None:
    written = {"name": "a", "receivers": {"flow": [1, 2]}, "starts": [{"workflow": "s", "input": {}}], **EVERY}
    form = posted(written)
    assert to_yaml_value(edited(written, form, guides()["custom"]), refer) == written
    assert form.errors == {}
    short = {"name": "a", "schema": "a.json", "challenge": "token", "decode": False, "split": True, "listen": False}
    assert to_yaml_value(edited(short, posted(short), guides()["custom"]), refer) == short
    callback = {"name": "a", "callback": {"secret": "${S}", "tasks": ["approve"]}, "receivers": {"flow": "any"}}
    assert to_yaml_value(edited(callback, posted(callback), guides()["custom"]), refer) == callback
    for field in FIELDS:
        assert text_of(field, written), field.name


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_each_field_changes_its_own_setting_and_no_other(field: Field) -> None:
    written = {"name": "a", **EVERY}
    form = posted(written)
    form.values[field.name] = field.choices[0] if field.kind == "choice" else OTHERS.get(field.kind, "other")
    keys = to_yaml_value(edited(written, form, guides()["custom"]), refer)
    assert form.errors == {}
    expected = value_of(field, form.values[field.name])
    assert value_at(keys, field.path) == expected
    put(keys, field.path, value_at(EVERY, field.path))
    assert keys == written
    form.values[field.name] = ""
    keys = to_yaml_value(edited(written, form, guides()["custom"]), refer)
    assert value_at(keys, field.path) is None


def test_a_setting_whose_field_is_not_in_the_form_stays() -> None:
    written = {"name": "a", **EVERY}
    form = WebhookForm.read({"hold": "9m"}, [], "custom")
    assert to_yaml_value(edited(written, form, guides()["custom"]), refer) == {**written, "hold": "9m"}


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"keep_rejected": "many"}, "keep_rejected"),
        ({"decode": "$.a"}, "decode"),
        ({"jwt_claims": "- a"}, "jwt_claims"),
        ({"more": "hold: 5m", "hold": "6m"}, "more"),
        ({"more": "secret: x"}, "more"),
    ],
)
def test_what_cannot_be_understood_is_told_at_its_field(values: dict[str, str], field: str) -> None:
    form = WebhookForm.read({**values, "proof": "jwt"}, [], "custom")
    form.keys(guides()["custom"])
    assert field in form.errors


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("signature.header", "signature_header"),
        ("signature", "signature_header"),
        ("signature.secret", "secret"),
        ("callback.secret[0]", "secret"),
        ("callback.tasks", "callback_tasks"),
        ("callback", "callback_expires"),
        ("jwt.claims.$.a", "jwt_claims"),
        ("schema", "schema_file"),
        ("schema.else", "schema_else"),
        ("accept.rate", "accept_rate"),
        ("allow_ips[0]", "allow_ips"),
        ("only.$.a", "only"),
        ("headers.X", "header"),
        ("starts[1].input", "start_input_1"),
        ("", "receivers"),
    ],
)
def test_what_the_check_finds_is_told_at_its_field(path: str, field: str) -> None:
    form = WebhookForm("custom")
    form.place([Problem("a.yaml", 1, f"webhook a: {path}", "wrong", "mend it")])
    assert list(form.errors) == [field]


def test_no_secret_is_shown_wherever_one_may_be_written_but_references_are() -> None:
    written = {
        "name": "hook",
        "secret": ["plain", "${NEW}"],
        "verify_token": "plain",
        "headers": {"X-Key": ["plain", "${file:key}"]},
        "signature": {"secret": "plain", "header": "X-Sign"},
        "callback": {"secret": ["${NEW}", "plain"], "expires": "7d"},
    }
    assert without_secrets(written) == {
        "name": "hook",
        "secret": ["***", "${NEW}"],
        "verify_token": "***",
        "headers": {"X-Key": ["***", "${file:key}"]},
        "signature": {"secret": "***", "header": "X-Sign"},
        "callback": {"secret": ["${NEW}", "***"], "expires": "7d"},
    }
    assert without_secrets({"callback": {"by": "id"}}) == {"callback": {"by": "id"}}


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("signature_signed", "{timestamp}\n{body}", "{timestamp}{body}"),
        ("signature_signed", "{timestamp}.\n{body}", "{timestamp}.\n\n{body}"),
        ("respond", {"body": "a b"}, {"body": "a  b"}),
        ("only", {"$.a": {"$in": ["x y"]}}, {"$.a": {"$in": ["x   y"]}}),
    ],
)
def test_a_change_of_spaces_alone_is_one_where_they_count(name: str, before: Any, after: Any) -> None:
    [field] = [one for one in FIELDS if one.name == name]
    written: dict[str, Any] = {"name": "w", "signature": {"secret": "${S}", "header": "X"}}
    put(written, field.path, before)
    form = form_of(written)
    form.values[name] = text_of(field, put_into({}, field, after)).replace("\n", "\r\n")
    changed = to_yaml_value(edited(written, form, guides()["custom"]), refer)
    assert value_at(changed, field.path) == after
    form.values[name] = text_of(field, written).replace("\n", "\r\n")
    assert to_yaml_value(edited(written, form, guides()["custom"]), refer) == written


def test_a_change_of_spaces_alone_is_one_in_a_condition_too() -> None:
    written = {"name": "w", "starts": [{"workflow": "s", "when": {"$.a": "x y"}}]}
    form = form_of(written)
    form.starts[0]["when"] = "$.a: x  y"
    keys = to_yaml_value(edited(written, form, guides()["custom"]), refer)
    assert keys["starts"] == [{"workflow": "s", "when": {"$.a": "x  y"}}]


def put_into(keys: dict[str, Any], field: Field, value: Any) -> dict[str, Any]:
    put(keys, field.path, value)
    return keys
