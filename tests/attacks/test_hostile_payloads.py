"""Payloads that are made to keep a relay busy where definitions look into them: `decode`, `split`
and `schema`.

Each would take minutes, or all memory, if it were not bounded: a test's own time-out is the
measure.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from store.sqlite import open_store
from tests.support.relay import Relay


def based(data: bytes) -> str:
    return base64.b64encode(data).decode()


def relay_with(folder: Path, document: Any = None, **keys: Any) -> Relay:
    if document is not None:
        (folder / "s.json").write_text(json.dumps(document))
        keys["schema"] = "s.json"
    return Relay(folder, [{"name": "a", "verifier": "none", "max_body": "5MB", **keys}])


BOMBS: dict[str, Callable[[], str]] = {
    "bomb": lambda: based(gzip.compress(bytes(100_000_000), 9)),
    "bomb in a bomb": lambda: based(gzip.compress(gzip.compress(bytes(100_000_000), 9))),
    "deep in Base64": lambda: based(b"[" * 1_000_000),
    "deep": lambda: "[" * 1_000_000,
    "deep objects": lambda: '{"a":' * 500_000,
    "padding": lambda: "=" * 1_000_000,
    "exponent": lambda: "[" + "1," * 500_000 + "1e999999999]",
    "digits": lambda: "[" + "9" * 1_000_000 + "]",
}
"""Each is made by the test that needs it, not by every process that collects the tests."""


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_accepted_as_the_text_that_it_is(bomb: str, tmp_path: Path) -> None:
    text = BOMBS[bomb]()
    for encoding in ("json", "base64", "base64-json", "gzip"):
        folder = tmp_path / encoding
        folder.mkdir()
        relay = relay_with(folder, decode={"$.a": encoding})
        assert relay.post("a", json.dumps({"a": text})).status_code == 200, encoding
        kept = relay.event().document(metadata=False)["a"]
        assert kept == text or (encoding, kept.encode()) == ("base64", base64.b64decode(text)), (
            encoding
        )


def test_many_small_bombs_are_bounded_together(tmp_path: Path) -> None:
    bomb = based(gzip.compress(b'["' + b"x" * 1_000_000 + b'"]', 9))
    relay = relay_with(tmp_path, decode={"$.a[*]": "gzip"})
    assert relay.post("a", json.dumps({"a": [bomb] * 1000})).status_code == 200
    kept = relay.event().document(metadata=False)["a"]
    assert sum(isinstance(one, list) for one in kept) <= 10


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("^(a+)+$", "a" * 1_000_000 + "!"),
        ("^(a|a)*$", "a" * 1_000_000 + "!"),
        ("^(.*)*x$", "y" * 1_000_000),
        (r"(\w+\s?)+:$", "word " * 200_000),
    ],
)
def test_no_pattern_of_a_schema_backtracks(pattern: str, text: str, tmp_path: Path) -> None:
    relay = relay_with(tmp_path, {"properties": {"a": {"pattern": pattern}}})
    assert relay.post("a", json.dumps({"a": text})).status_code == 422


def test_an_array_of_very_many_elements_leaves_no_event(tmp_path: Path) -> None:
    relay = relay_with(tmp_path, split="$.a")
    assert relay.post("a", '{"a":[' + "0," * 2_000_000 + "0]}").status_code == 400
    assert open_store(relay.url).queries.event_counts() == {}
