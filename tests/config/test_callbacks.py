"""The key `callback`: what it may say, what can't stand beside it, and what it risks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from config.callbacks import DEFAULT_EXPIRES
from config.webhooks import Definitions, DefinitionsError, load_definitions
from platforms import PLATFORMS

SECRET = "a-secret-of-24-characters"


def load(folder: Path, callback: Any, **more: Any) -> Definitions:
    file = folder / "webhooks.yaml"
    webhook = {"name": "approvals", "receivers": {"order_flow": "any"}, "callback": callback} | more
    with file.open("w") as stream:
        YAML(typ="safe").dump({"webhooks": [webhook]}, stream)
    return load_definitions(file, PLATFORMS, {"APPROVALS_SECRET": SECRET})


def test_a_secret_signs_and_a_week_is_the_default(tmp_path: Path) -> None:
    (webhook,) = load(tmp_path, {"secret": "${APPROVALS_SECRET}"}).webhooks
    callback = webhook.callback
    assert callback is not None
    assert [secret.get_secret_value() for secret in callback.secret or ()] == [SECRET]
    assert (callback.expires, callback.by, callback.tasks) == (DEFAULT_EXPIRES, None, ())
    (webhook,) = load(
        tmp_path, {"secret": [SECRET, "x" + SECRET], "expires": "2h", "tasks": ["approve"]}
    ).webhooks
    assert webhook.callback is not None
    assert (webhook.callback.expires, webhook.callback.tasks) == (7200.0, ("approve",))


def test_by_id_is_a_risk_that_a_secret_is_not(tmp_path: Path) -> None:
    assert load(tmp_path, {"secret": "${APPROVALS_SECRET}"}).warnings == ()
    (warning,) = load(tmp_path, {"by": "id"}).warnings
    assert "nothing signs its URLs" in str(warning)
    assert "tasks: [NAME]" in str(warning)
    (warning,) = load(tmp_path, {"by": "id", "tasks": ["approve"]}).warnings
    assert "those tasks" in str(warning)


def test_urls_that_nothing_signs_are_called_for_at_a_pace(tmp_path: Path) -> None:
    for callback, more, paces in (
        ({"secret": SECRET}, {}, {}),
        ({"by": "id"}, {}, {"approvals": 25}),
        ({"by": "id"}, {"pace": "50/s"}, {"approvals": 50}),
    ):
        assert load(tmp_path, callback, **more).paces == paces


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        ({}, "nothing that makes its URLs"),
        ({"by": "id", "secret": SECRET}, "remove one"),
        ({"by": "id", "expires": "1d"}, "don't expire"),
        ({"by": "name"}, "callback.by"),
        ({"by": "id", "query": ["decision"]}, "people confirm what they never see; remove it"),
        ({"secret": SECRET, "query": "decision"}, "callback.query: not a list; write [decision]"),
        ({"secret": SECRET, "expires": "0s"}, "write a duration such as 2h or 7d"),
        ({"secret": SECRET, "expires": 0}, "write a duration such as 2h or 7d"),
        ({"secret": SECRET, "expires": "400d"}, "write a duration such as 2h or 7d"),
        ({"secret": SECRET, "expires": 5}, "callback.expires"),
        ({"secret": "${NONE}"}, "NONE is not set"),
        (
            {"secret": SECRET, "task": "approve"},
            "unknown key; did you mean tasks? known are secret",
        ),
        ({"secret": SECRET, "tasks": "approve"}, "callback.tasks: not a list; write [approve]"),
        (True, "callback"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, callback: Any, message: str) -> None:
    with pytest.raises(DefinitionsError, match=re.escape(message)):
        load(tmp_path, callback)


@pytest.mark.parametrize(
    "beside",
    [
        {"secret": SECRET},
        {"headers": {"X-Key": SECRET}},
        {"signature": {"secret": SECRET, "header": "X-S"}},
        {"verifier": "none"},
        {"challenge": "challenge"},
        {"starts": [{"workflow": "other"}]},
        {"dedup": {"path": "$.id"}},
        {"split": True},
        {"listen": True},
        {"keep_rejected": 5},
        {"platform": "github"},
        {"receivers": {}},
    ],
)
def test_what_can_not_stand_beside_it(tmp_path: Path, beside: dict[str, Any]) -> None:
    with pytest.raises(DefinitionsError, match=f"{next(iter(beside))}|receivers"):
        load(tmp_path, {"secret": SECRET}, **beside)
