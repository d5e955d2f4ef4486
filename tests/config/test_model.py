"""The model of one webhook."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from config.model import DEFAULT_HOLD, Webhook


def errors(**keys: Any) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        Webhook.model_validate({"name": "a", "receivers": {"w": "any"}, **keys})
    return [(".".join(map(str, error["loc"])), error["msg"]) for error in caught.value.errors()]


def test_what_is_not_said_has_its_default() -> None:
    webhook = Webhook.model_validate({"name": "a", "receivers": {"w": "any"}})
    assert (webhook.platform, webhook.hold, webhook.metadata, webhook.split) == (
        "custom",
        DEFAULT_HOLD,
        True,
        False,
    )
    assert (webhook.secret, webhook.headers, webhook.signature, webhook.verifier) == (
        None,
        None,
        None,
        None,
    )
    assert webhook.url_id == "a"


def test_an_id_is_the_last_part_of_the_url() -> None:
    assert (
        Webhook.model_validate({"name": "a", "id": "7f3kq", "receivers": {"w": 1}}).url_id
        == "7f3kq"
    )


@pytest.mark.parametrize(
    ("written", "versions"),
    [("any", None), (2, frozenset({2})), ([1, 2], frozenset({1, 2})), ([3, 3], frozenset({3}))],
)
def test_receivers_have_any_one_or_several_versions(written: object, versions: object) -> None:
    assert Webhook.model_validate({"name": "a", "receivers": {"w": written}}).receivers == {
        "w": versions
    }


@pytest.mark.parametrize("written", ["all", 0, -1, [], [0], ["any"], True, 1.5, {}, "1"])
def test_other_versions_are_refused(written: object) -> None:
    assert errors(receivers={"w": written})[0][0] == "receivers.w"


@pytest.mark.parametrize("version", [202401011200, 2**31, 2**100])
def test_a_version_that_conductor_cannot_have_is_refused(version: int) -> None:
    for keys in ({"receivers": {"w": version}}, {"receivers": {"w": [1, version]}}):
        assert "2147483647" in errors(**keys)[0][1]
    found = errors(starts=[{"workflow": "w", "version": version}])
    assert found[0][0] == "starts.0.version"
    assert "2147483647" in found[0][1]
    largest = {
        "name": "a",
        "receivers": {"w": 2**31 - 1},
        "starts": [{"workflow": "w", "version": 2**31 - 1}],
    }
    assert Webhook.model_validate(largest).starts[0].version == 2**31 - 1


def test_one_secret_is_a_list_of_one() -> None:
    webhook = Webhook.model_validate({"name": "a", "receivers": {"w": 1}, "secret": "abc"})
    assert webhook.secret is not None
    assert [secret.get_secret_value() for secret in webhook.secret] == ["abc"]


def test_secrets_are_in_no_text_and_no_error() -> None:
    webhook = Webhook.model_validate(
        {"name": "a", "receivers": {"w": 1}, "secret": "hidden", "headers": {"X": "hidden"}}
    )
    assert "hidden" not in repr(webhook)
    assert "hidden" not in str(webhook)
    with pytest.raises(ValidationError) as caught:
        Webhook.model_validate(
            {"name": "a b", "secret": "hidden", "signature": {"secret": "hidden", "x": "hidden"}}
        )
    assert "hidden" not in str(caught.value)
    assert "hidden" not in str(caught.value.errors())


@pytest.mark.parametrize("secret", ["", [], [""], 5, True, [5], {}])
def test_an_empty_secret_or_one_that_is_not_text_is_refused(secret: object) -> None:
    assert errors(secret=secret)


@pytest.mark.parametrize("value", [" a", "a ", "a\nb", "", 5, None])
def test_a_header_value_that_no_header_can_have_is_refused(value: object) -> None:
    assert errors(headers={"X-A": value})


def test_header_names_have_no_case() -> None:
    assert errors(headers={"X-Key": "a", "x-key": "b"})[0][1].startswith(
        "the header x-key appears twice"
    )


@pytest.mark.parametrize(
    "name", ["", "a b", "ä", "a/b", "-a", ".a", "a" * 129, "../x", "a?b", "a#b", 5]
)
def test_a_name_is_one_part_of_a_url(name: object) -> None:
    assert errors(name=name)[0][0] == "name"


@pytest.mark.parametrize(
    "url", ["hooks.example.com", "ftp://x", "https://", "https://h:99999/", "https://h/#x"]
)
def test_a_public_url_is_whole(url: str) -> None:
    assert errors(public_url=url)[0][0] == "public_url"


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        (
            {
                "signed": "all",
            },
            "the body isn't signed",
        ),
        ({"signed": "{timestamp}.{body}"}, "{timestamp} is signed, but no key says where it is"),
        ({"signed": "{id}.{body}"}, "{id} can't be signed"),
    ],
)
def test_what_is_signed_is_checked(signature: dict[str, Any], message: str) -> None:
    (found,) = errors(signature={"secret": "x", "header": "X", **signature})
    assert found[0] == "signature.signed"
    assert found[1].startswith(message)


def test_dedup_is_a_header_or_a_path() -> None:
    assert errors(dedup={})[0][0] == "dedup"
    assert errors(dedup={"header": "X", "path": "$.id"})[0][0] == "dedup"
    assert errors(dedup={"path": "$["})[0][0] == "dedup.path"


def test_a_webhook_goes_somewhere() -> None:
    assert errors(receivers={})[0][1].startswith("neither `receivers` nor `starts`")


def test_broken_rules_are_said_beside_wrong_values() -> None:
    found = dict(errors(receivers={}, hold="soon", signature={"signed": "{x}"}, bogus=1))
    assert set(found) >= {
        "",
        "hold",
        "signature.signed",
        "signature.secret",
        "signature.header",
        "bogus",
    }


def test_messages_alone_are_enough() -> None:
    webhook = Webhook.model_validate(
        {"name": "a", "messages": [{"workflow": "agent", "key": "$.thread"}]}
    )
    assert [(one.key, one.else_, one.when) for one in webhook.messages] == [
        ("$.thread", "start", {})
    ]


@pytest.mark.parametrize(
    ("message", "place", "what"),
    [
        ({"key": None}, "messages.0.key", "Field required"),
        ({"key": "thread["}, "messages.0.key", ""),
        (
            {"key": "event.thread"},
            "messages.0.key",
            "doesn't begin with $, as a JSONPath does; write $.event.thread",
        ),
        ({"key": "a constant"}, "messages.0.key", "write one such as $.event.type"),
        ({"else": "drop"}, "messages.0.else", ""),
        ({"version": 0}, "messages.0.version", ""),
        (
            {"version": 2, "else": "hold"},
            "messages.0.version",
            "a version, but `else: hold` starts nothing",
        ),
        ({"input": {}}, "messages.0.input", ""),
    ],
)
def test_an_entry_of_messages_is_checked(message: dict[str, Any], place: str, what: str) -> None:
    entry = {
        key: value
        for key, value in {"workflow": "agent", "key": "$.a", **message}.items()
        if value is not None
    }
    ((where, said),) = errors(messages=[entry])
    assert where == place
    assert what in said


def test_a_message_cant_be_held_where_nothing_is() -> None:
    for nothing in ("0s", "0m", "0ms", "0h0s"):
        found = errors(messages=[{"workflow": "agent", "key": "$.a", "else": "hold"}], hold=nothing)
        assert [where for where, _ in found] == ["messages"], nothing
