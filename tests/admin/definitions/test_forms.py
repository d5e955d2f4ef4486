"""The form of a new webhook: what was typed becomes keys, and mistakes are told at their fields."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from admin.definitions.fields import FIELDS, FURTHER
from admin.definitions.forms import WebhookForm
from admin.definitions.values import without_secrets
from config.webhooks import Callback, Challenge, Jwt, Mtls, Problem, Signature, Webhook
from platforms.guide import guides


def test_every_setting_has_a_field_or_is_typed_as_yaml() -> None:
    """Besides those that the form asks for in its own way."""
    otherwise = {"name", "platform", "secret", "verify_token", "headers", "verifier", "receivers", "starts"}
    settings = {one.alias or name for name, one in Webhook.model_fields.items()}
    assert settings - {field.path[0] for field in FIELDS} - otherwise == set(FURTHER)
    models: dict[str, type[BaseModel]] = {"signature": Signature, "jwt": Jwt, "mtls": Mtls, "challenge": Challenge}
    for key, model in (models | {"callback": Callback}).items():
        inside = {field.path[1] for field in FIELDS if field.path[0] == key}
        assert model.model_fields.keys() - inside <= {"secret"}, key


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"jwt_claims": "- a"}, "jwt_claims"),
        ({"more": "hold: [", "hold": "6m"}, "more"),
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
        ("schema.else", "more"),
        ("only.$.a", "more"),
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
