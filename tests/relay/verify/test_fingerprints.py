"""Verified stays, or goes, with the verifier and its secrets: across processes and reloads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.webhooks import Webhook
from relay.verify.verification import VerifiedWebhooks, fingerprint, verified_since, verifier_text
from store.sqlite import SqliteStore, open_store

SECRET = "secret-number-17-of-the-many"


def webhook(name: str = "hook", secret: str = SECRET, **keys: Any) -> Webhook:
    return Webhook.model_validate(
        {"name": name, "receivers": {"a": "any"}, "secret": secret, **keys}
    )


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return open_store(f"sqlite:///{tmp_path / 'bridge.db'}")


def process(store: SqliteStore, *webhooks: Webhook) -> VerifiedWebhooks:
    """A relay that has just started."""
    return VerifiedWebhooks(store.verifications)


def by_key(*webhooks: Webhook) -> dict[Any, Webhook]:
    return {VerifiedWebhooks.key(one): one for one in webhooks}


def is_verified(process: VerifiedWebhooks, one: Webhook) -> bool:
    return process.is_verified(one, process.key(one))


def mark(process: VerifiedWebhooks, one: Webhook, at: int = 5) -> None:
    process.mark(one, process.key(one), at)


def shown(store: SqliteStore, one: Webhook) -> int | None:
    """Since when people are told that it is verified."""
    return verified_since(one, store.verifications.all(), store.verifications.salt())


def test_every_process_and_the_admin_page_know_what_one_has_marked(store: SqliteStore) -> None:
    one, other = webhook("one"), webhook("other")
    before = process(store, one, other)
    mark(process(store, one, other), one)
    assert is_verified(before, one)
    assert not is_verified(before, other)
    assert (shown(store, one), shown(store, other)) == (5, None)


def test_an_edit_of_one_secret_leaves_the_others_verified(store: SqliteStore) -> None:
    one, other = webhook("one"), webhook("other")
    relay = process(store, one, other)
    mark(relay, one)
    mark(relay, other)
    changed = webhook("other", "another-secret-in-words")
    relay.replace(by_key(one, changed))
    for each in (relay, process(store, one, changed)):
        assert is_verified(each, one)
        assert not is_verified(each, changed)
    assert (shown(store, one), shown(store, changed)) == (5, None)


def test_a_secret_that_comes_back_is_not_verified_by_what_is_left_of_it(store: SqliteStore) -> None:
    old, new = webhook(secret=SECRET + "1"), webhook(secret=SECRET + "2")
    mark(process(store, old), old)
    mark(process(store, new), new)
    assert not is_verified(process(store, old), old)
    assert is_verified(process(store, new), new)


def test_the_store_keeps_no_secret_and_no_hash_without_its_key(store: SqliteStore) -> None:
    one = webhook()
    mark(process(store, one), one)
    ((text, _at),) = store.verifications.all().values()
    assert SECRET.encode() in verifier_text(one)
    assert SECRET not in text
    assert text != fingerprint(one, b"")
    assert len(text) == 32


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"headers": {"X-Key": "0123456789abcdef"}}, "83fdb04b49354bfe3dcb122b30016749"),
        (
            {"signature": {"secret": "0123456789abcdef", "header": "X-Sig"}},
            "3833ae11e58eda5bc59839ea0e54811d",
        ),
        ({"platform": "slack", "secret": "0123456789abcdef"}, "083c25a2705db511a3a39fc485028d36"),
    ],
)
def test_a_new_key_in_the_definitions_changes_no_fingerprint(
    keys: dict[str, Any], expected: str
) -> None:
    one = Webhook.model_validate({"name": "hook", "receivers": {"a": "any"}, **keys})
    assert fingerprint(one, b"key") == expected, (
        "webhooks that don't use the new key would become Unverified"
    )
