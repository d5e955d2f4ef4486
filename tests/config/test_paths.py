"""A path without `$` is an error where a constant could be meant; one that selects nothing is a
warning."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.webhooks import Definitions, DefinitionsError, load_definitions
from platforms import PLATFORMS

WEBHOOK = (
    "webhooks:\n- name: chat\n  headers: {X-Key: 0123456789abcdef}\n  receivers: {flow: any}\n"
)


def load(folder: Path, keys: str) -> Definitions:
    file = folder / "webhooks.yaml"
    file.write_text(WEBHOOK + keys)
    return load_definitions(file, PLATFORMS, {})


@pytest.mark.parametrize(
    ("keys", "line", "says"),
    [
        (
            "  messages:\n  - workflow: agent\n    key: thread\n",
            7,
            "messages[0].key: 'thread' doesn't begin with $",
        ),
        (
            "  respond: {wait: 5s, output: reply}\n",
            5,
            "respond.output: 'reply' doesn't begin with $",
        ),
        ("  decode:\n    payload: json\n", 6, "decode.payload: 'payload' doesn't begin with $"),
        ("  split: items\n", 5, "split: neither true nor false nor a JSONPath"),
    ],
)
def test_where_a_constant_could_be_meant_it_is_an_error(
    tmp_path: Path, keys: str, line: int, says: str
) -> None:
    with pytest.raises(DefinitionsError) as caught:
        load(tmp_path, keys)
    [problem] = caught.value.problems
    assert f"webhooks.yaml:{line}: webhook chat: {says}" in str(problem)
    assert "$." in problem.remedy


def test_elsewhere_it_is_read_from_the_top_of_the_payload(tmp_path: Path) -> None:
    assert not load(tmp_path, "  only: {event.type: message}\n  hide: [customer.mail]\n").warnings


@pytest.mark.parametrize(
    ("keys", "line", "path", "remedy"),
    [
        (
            "  only:\n    $._webhook.headers['X-GitHub-Event']: push\n",
            6,
            "only.$._webhook.headers['X-GitHub-Event']",
            "write $._webhook.headers['x-github-event']",
        ),
        ("  hide: [$._webhook.headers.Email]\n", 5, "hide[0]", "write $._webhook.headers['email']"),
        (
            "  starts: [{workflow: s, when: {$._webhook.eventID: x}}]\n",
            5,
            "starts[0].when.$._webhook.eventID",
            "eventId",
        ),
        (
            "  starts: [{workflow: s, input: {a: [$._webhook.Query.a]}}]\n",
            5,
            "starts[0].input.a[0]",
            "query",
        ),
        (
            "  starts: [{workflow: s, once: {key: $._webhook.id}}]\n",
            5,
            "starts[0].once.key",
            "eventId",
        ),
        (
            "  messages: [{workflow: s, key: $._webhook.header.to}]\n",
            5,
            "messages[0].key",
            "headers",
        ),
    ],
)
def test_a_path_that_no_events_metadata_has_is_a_warning(
    tmp_path: Path, keys: str, line: int, path: str, remedy: str
) -> None:
    [warning] = load(tmp_path, keys).warnings
    assert str(warning).startswith(
        f"{tmp_path}/webhooks.yaml:{line}: webhook chat: {path}: warning: "
    )
    assert "selects nothing" in warning.what
    assert remedy in warning.remedy


def test_nothing_is_said_of_what_metadata_may_have(tmp_path: Path) -> None:
    when = "$._webhook.headers.x-id: a, $._webhook: {$exists: true}, $.a._webhook.B: c, $._webhook.query.Id: d"
    assert (
        load(
            tmp_path,
            f"  starts: [{{workflow: s, when: {{{when}}}, input: {{a: $$._webhook.B}}}}]\n",
        ).warnings
        == ()
    )
