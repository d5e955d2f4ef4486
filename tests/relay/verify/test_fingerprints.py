"""Verified stays, or goes, with the verifier and its secrets: across processes, reloads and upgrades."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.webhooks import Webhook
from relay.verify.fingerprints import fingerprint, verified_since, verifier_text
from relay.verify.verification import VerifiedWebhooks
from store.sqlite import SqliteStore, open_store

SECRET = "secret-number-17-of-the-many"
OF_AN_OLDER_VERSION = "00112233445566778899aabbccddeeff"
"""As scrypt made them."""


def webhook(name: str = "hook", secret: str = SECRET, **keys: Any) -> Webhook:
    return Webhook.model_validate({"name": name, "receivers": {"a": "any"}, "secret": secret, **keys})


CHALLENGE_ONLY = Webhook.model_validate(
    {"name": "hook", "receivers": {"a": "any"}, "platform": "facebook", "verify_token": SECRET}
)
"""Nothing but an answered challenge verifies it."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = open_store(f"sqlite:///{tmp_path / 'bridge.db'}")
    yield store
    store.close()


def process(store: SqliteStore, *webhooks: Webhook) -> VerifiedWebhooks:
    """A relay that has just started."""
    return VerifiedWebhooks(store.verifications, by_key(*webhooks))


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
    assert len(text.removeprefix("keyed:")) == 32


@pytest.mark.parametrize("one", [webhook(), CHALLENGE_ONLY], ids=["signed", "challenge only"])
def test_an_upgrade_leaves_a_verified_webhook_verified(store: SqliteStore, one: Webhook) -> None:
    store.verifications.set_verified("hook", OF_AN_OLDER_VERSION, 7)
    store.verifications.set_verified("hook quick", "keyed:0011", 7)
    assert shown(store, one) == 7  # before a relay of the new version has run
    assert is_verified(process(store, one), one)
    assert store.verifications.all()["hook"] == (fingerprint(one, store.verifications.salt()), 7)
    assert is_verified(process(store, one), one)


def test_after_an_upgrade_a_change_is_noticed_again(store: SqliteStore) -> None:
    one, changed = webhook(), webhook(secret="another-secret-in-words")
    store.verifications.set_verified("hook", OF_AN_OLDER_VERSION, 7)
    relay, other = process(store, one), process(store, one)
    assert is_verified(relay, one)
    for each in (relay, other):  # of which one has not looked yet
        each.replace(by_key(changed))
        assert not is_verified(each, changed)
    assert shown(store, changed) is None


def test_a_webhook_that_was_broken_at_the_upgrade_stays_verified_too(store: SqliteStore) -> None:
    store.verifications.set_verified("hook", OF_AN_OLDER_VERSION, 7)
    relay = process(store, webhook("other"))
    assert not is_verified(relay, webhook("other"))
    relay.replace(by_key(webhook(), webhook("other")))
    assert is_verified(relay, webhook())


def test_a_webhook_that_was_not_verified_is_not_verified_by_an_upgrade(store: SqliteStore) -> None:
    store.verifications.set_verified("other", OF_AN_OLDER_VERSION, 7)
    assert not is_verified(process(store, webhook()), webhook())


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"headers": {"X-Key": "0123456789abcdef"}}, "keyed:c1c6db5f4d52bab8dc204909589ff76c"),
        ({"signature": {"secret": "0123456789abcdef", "header": "X-Sig"}}, "keyed:bde82ac72dbdb2657deaaee2a4cb3580"),
        ({"platform": "slack", "secret": "0123456789abcdef"}, "keyed:b7f03ff0703ab968a7c7d4cf08038081"),
    ],
)
def test_a_new_key_in_the_definitions_changes_no_fingerprint(keys: dict[str, Any], expected: str) -> None:
    one = Webhook.model_validate({"name": "hook", "receivers": {"a": "any"}, **keys})
    assert fingerprint(one, b"key") == expected, "webhooks that don't use the new key would become Unverified"
