"""References to secrets: what they stand for, where they may stand, and what is no secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.references import may_hold_reference
from config.risks import is_placeholder
from config.yaml_lines import Where
from tests.config.loading import ENVIRONMENT, Load, Problems, webhook
from tests.config.loading import load as load
from tests.config.loading import problems as problems


@pytest.mark.parametrize(
    ("written", "what"),
    [
        (
            "${NOT_SET}",
            "the environment variable NOT_SET is not set; set it, or put NOT_SET=… into .env",
        ),
        ("${EMPTY}", "the environment variable EMPTY is empty"),
        ("${file:nothing}", "the file nothing can't be read: No such file or directory"),
        ("${file:.}", "the file . can't be read: Is a directory"),
        ("${file:empty}", "the file empty is empty"),
        ("${file:binary}", "the file binary can't be read: not UTF-8 text"),
        ("${a b}", "${a b} names no variable"),
        ("${}", "${} names no variable"),
        ("${NAME", "a ${ without its }"),
    ],
)
def test_a_reference_that_stands_for_nothing_is_an_error(
    problems: Problems, tmp_path: Path, written: str, what: str
) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    found = problems(
        f"webhooks:\n- name: a\n  platform: github\n  secret: '{written}'\n  receivers: {{w: 1}}"
    )
    assert len(found) == 1
    assert found[0].startswith(f"4: webhook a: secret: {what}")


PLACEHOLDERS = (
    "$NAME",
    "$(NAME)",
    "{{ .Values.secret }}",
    "<your secret>",
    "changeme",
    "CHANGE_ME_PLEASE",
    "your-signing-secret",
    "xxxxxxxxxxxxxxxx",
    "secret",
    "...",
    "password123",
)


@pytest.mark.parametrize("text", PLACEHOLDERS)
@pytest.mark.parametrize("key", ["secret", "signature", "headers"])
def test_a_placeholder_is_no_secret(load: Load, text: str, key: str) -> None:
    written = {
        "secret": {"platform": "github", "secret": "'${GIVEN}'"},
        "signature": {"signature": "{header: X, secret: '${GIVEN}'}"},
        "headers": {"headers": "{X: '${GIVEN}'}"},
    }[key]
    [warning] = load(webhook(**written), GIVEN=text).warnings
    assert "a placeholder, not a secret; put the real one in its place" in str(warning)
    assert text in ("secret", "...") or text not in str(warning)


@pytest.mark.parametrize(
    "text",
    [
        "8f742231b10e8888abcd99yyyzzz85a5",
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "correct horse battery staple",
    ],
)
def test_a_secret_is_no_placeholder(text: str) -> None:
    assert not is_placeholder(text)


ODD = "a secret that starts or ends with a space or line break, or has a character that nobody sees"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('"8f742231b10e8888abcd99"', "a secret in quotes that are part of it"),
        ("“8f742231b10e8888abcd99”", "a secret in quotes that are part of it"),
        ("\ufeff8f742231b10e8888abcd99", ODD),
        ("8f742231b10e8888abcd99 ", ODD),
    ],
)
def test_what_came_along_with_a_secret_is_a_warning(load: Load, text: str, what: str) -> None:
    [warning] = load(webhook(platform="github", secret="'${GIVEN}'"), GIVEN=text).warnings
    assert warning.what == what
    if text == text.strip():
        [warning] = load(webhook(headers="{X: 'Bearer ${GIVEN}'}"), GIVEN=text).warnings
        assert warning.what == what


def test_the_line_break_after_a_key_in_pem_is_nothing(load: Load) -> None:
    key = (
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9",
        "q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==",
    )
    pem = f"-----BEGIN PUBLIC KEY-----\n{key[0]}\n{key[1]}\n-----END PUBLIC KEY-----\n"
    assert load(webhook(platform="sendgrid", secret="'${GIVEN}'"), GIVEN=pem).warnings == ()


def test_quotes_within_a_secret_are_nothing(load: Load) -> None:
    assert (
        load(
            webhook(platform="github", secret="'${GIVEN}'"), GIVEN="'8f742231b10e\"8888abcd99"
        ).warnings
        == ()
    )


@pytest.mark.parametrize(
    ("written", "where"),
    [
        ("name: '${SECRET}'", "name"),
        ("id: '${SECRET}'", "id"),
        ("public_url: 'https://x/${SECRET}'", "public_url"),
        ("respond: {body: 'your key is ${SECRET}'}", "respond.body"),
        ("respond: {body: {key: '${file:key}'}}", "respond.body.key"),
        ("only: {$.a: '${SECRET}'}", "only.$.a"),
        ("starts: [{workflow: '${SECRET}'}]", "starts[0].workflow"),
        ("hide: ['${SECRET}']", "hide[0]"),
        ("challenge: '${SECRET}'", "challenge"),
        ("signature: {header: X, secret: abcdefghijklm, prefix: '${SECRET}'}", "signature.prefix"),
        ("hold: '${SECRET}'", "hold"),
        ("dedup: {header: '${SECRET}'}", "dedup.header"),
        ("schema: '${SECRET}.json'", "schema"),
    ],
)
def test_a_reference_stands_only_where_a_secret_belongs(
    problems: Problems, written: str, where: str
) -> None:
    name = "" if written.startswith("name") else "name: a, "
    found = problems(f"webhooks:\n- {{{name}verifier: none, receivers: {{w: 1}}, {written}}}")
    label = "webhook ${SECRET}" if not name else "webhook a"
    expected = f"2: {label}: {where}: a reference where no secret belongs; write the value itself, or $${{ for a"
    assert any(line.startswith(expected) for line in found), found
    assert ENVIRONMENT["SECRET"] not in "".join(found)


@pytest.mark.parametrize(
    "where",
    [
        ("secret",),
        ("secret", 1),
        ("headers", "X-Api-Key"),
        ("signature", "secret", 0),
        ("verify_token",),
        ("callback", "secret"),
    ],
)
def test_where_secrets_belong_references_may_stand(where: Where) -> None:
    assert may_hold_reference(where)
    assert not may_hold_reference((*where, "deeper"))


def test_a_reference_in_a_key_is_an_error(problems: Problems) -> None:
    found = problems("webhooks:\n- {name: a, verifier: none, receivers: {'${SECRET}': any}}")
    assert found == [
        "2: webhook a: receivers.${SECRET}: a reference in a key; write the key itself, without ${…}"
    ]


def test_what_a_reference_stands_for_is_in_no_message(problems: Problems) -> None:
    text = "webhooks:\n- {name: '${S}', hold: '${S}', platform: '${S}', max_body: '${S}', public_url: 'x${S}'}"
    found = problems(text, S="hunter2 hunter2")
    assert len(found) >= 4
    assert "hunter2" not in "".join(found)
