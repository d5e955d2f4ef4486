"""The form of a new webhook: what was typed becomes keys, and mistakes are told at their fields."""

from __future__ import annotations

import pytest

from admin.definitions.entry_text import Entry
from admin.definitions.forms import WebhookForm
from config.problems import Problem
from platforms.guide import guides


@pytest.mark.parametrize(
    "more", ["hold: [", "hold: 1m\nhold: 2m", "- a", "secret: x", "receivers: {a: any}"]
)
def test_what_cannot_be_understood_is_told_at_its_field(more: str) -> None:
    form = WebhookForm(guides()["github"], more=more)
    form.keys()
    assert "more" in form.errors


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("signature.header", "more"),
        ("signature.secret", "secret"),
        ("callback.secret[0]", "secret"),
        ("only.$.a", "more"),
        ("headers.X", "header"),
        ("receivers.a", "receiver"),
        ("starts[1].input", "start"),
        ("", "receiver"),
    ],
)
def test_what_the_check_finds_is_told_at_its_field(path: str, field: str) -> None:
    form = WebhookForm(guides()["custom"])
    form.place([Problem("a.yaml", 1, f"webhook a: {path}", "wrong", "mend it")])
    assert list(form.errors) == [field]


def test_no_secret_is_shown_wherever_one_may_be_written_but_references_are() -> None:
    written = """\
name: hook   # of the partners
secret: [plain, "${NEW}"]
verify_token: plain
headers: {X-Key: [plain, "${file:key}"]}
signature: {secret: plain, header: X-Sign}
callback: {secret: ["${NEW}", plain], expires: 7d}
"""
    assert (
        Entry("", written, "", "", 1).masked
        == """\
name: hook   # of the partners
secret: ["***", "${NEW}"]
verify_token: "***"
headers: {X-Key: ["***", "${file:key}"]}
signature: {secret: "***", header: X-Sign}
callback: {secret: ["${NEW}", "***"], expires: 7d}
"""
    )
    assert Entry("", "callback: {by: id}\n", "", "", 1).masked == "callback: {by: id}\n"
