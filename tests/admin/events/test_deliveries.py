"""Deliveries that people write: what they read is what is signed."""

from __future__ import annotations

import json

from admin.events.deliveries import as_seen, headers_of, lines_of


def test_json_that_is_to_be_signed_hides_no_character() -> None:
    value = {"a": "\u202egnp.exe \u200b \x7f \U000e0041", "b": "M\u00fcller"}
    shown = as_seen(json.dumps(value, indent=2, ensure_ascii=False))
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert "M\u00fcller" in shown
    assert json.loads(shown) == value


def test_a_header_stays_one_whatever_its_value_has() -> None:
    headers = {"X-A": "1\x85X-GitHub-Event: push\x0bX-B: 2", "X-C": "3"}
    assert headers_of(lines_of(headers).replace("\n", "\r\n")) == headers
