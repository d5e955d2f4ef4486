"""Fingerprints: slow where a secret may be guessed, quick everywhere, and never lost by an upgrade or an edit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.webhooks import Webhook
from relay import fingerprints
from relay.fingerprints import Fingerprints, fingerprint, is_guessable, looks_random
from relay.verification import VerifiedWebhooks
from store.sqlite import SqliteStore, open_store

RANDOM = "7f3c1B9Qz04kLm28XyT6vW5n"
WORDS = "secret-number-17-of-the-many"


def webhook(name: str = "hook", secret: str = WORDS, **keys: Any) -> Webhook:
    return Webhook.model_validate({"name": name, "receivers": {"a": "any"}, "secret": secret, **keys})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = open_store(f"sqlite:///{tmp_path / 'bridge.db'}")
    yield store
    store.close()


@pytest.fixture
def scrypts(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What went through scrypt."""
    done: list[bytes] = []
    scrypt = fingerprints.hashlib.scrypt  # type: ignore[attr-defined]

    def count(text: bytes, **settings: Any) -> bytes:
        done.append(text)
        return scrypt(text, **settings)  # type: ignore[no-any-return]

    monkeypatch.setattr(fingerprints.hashlib, "scrypt", count)  # type: ignore[attr-defined]
    return done


def process(store: SqliteStore, *webhooks: Webhook) -> VerifiedWebhooks:
    """A relay that has just started."""
    return VerifiedWebhooks(store, {VerifiedWebhooks.key(one): one for one in webhooks})


def is_verified(process: VerifiedWebhooks, one: Webhook) -> bool:
    return process.is_verified(one, process.key(one))


def mark(process: VerifiedWebhooks, one: Webhook, at: int = 5, whole: bool = True) -> None:
    process.mark(one, process.key(one), at, whole)


@pytest.mark.parametrize(
    ("secret", "random"),
    [
        (RANDOM, True),
        ("9f86d081884c7d659a2feaa0c55ad015", True),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", True),
        ("3c7d1b8e-0f5a-4a7e-9d1c-2b6f8a4e5d90", True),
        (WORDS, False),
        ("CorrectHorseBatteryStaple2026", False),
        ("a1B2c3D4", False),
        ("aB1aB1aB1aB1aB1aB1aB1aB1", False),
        ("", False),
    ],
)
def test_words_are_told_from_what_a_machine_has_drawn(secret: str, random: bool) -> None:
    assert looks_random(secret) is random


def test_one_random_secret_makes_the_whole_unguessable_and_no_secret_needs_no_care() -> None:
    assert is_guessable(webhook())
    assert not is_guessable(webhook(headers={"X-Key": RANDOM}))
    assert not is_guessable(Webhook.model_validate({"name": "open", "receivers": {"a": "any"}, "verifier": "none"}))


def test_a_random_secret_takes_no_scrypt_at_all(store: SqliteStore, scrypts: list[bytes]) -> None:
    one = webhook(secret=RANDOM)
    mark(process(store, one), one)
    assert is_verified(process(store, one), one)
    assert not scrypts


def test_a_process_takes_one_scrypt_for_any_number_of_guessable_secrets(
    store: SqliteStore, scrypts: list[bytes]
) -> None:
    many = [webhook(f"hook-{number}", f"{WORDS}-{number}") for number in range(5)]
    first = process(store, *many)
    for one in many:
        mark(first, one)
    scrypts.clear()
    second = process(store, *many)
    assert all(is_verified(second, one) for one in many)
    prints = Fingerprints(many, store.fingerprint_salt())
    assert [prints.find(one, store.verifications()) for one in many] == [(5, False)] * 5
    assert len(scrypts) == 2  # one a process


def test_a_delivery_does_not_wait_for_the_slow_fingerprint(store: SqliteStore, scrypts: list[bytes]) -> None:
    one = webhook()
    relay = process(store, one)
    relay.write()  # as the relay does as soon as it runs
    scrypts.clear()
    mark(relay, one, whole=False)
    assert not scrypts
    assert is_verified(process(store, one), one)
    relay.write()
    assert store.verifications()["hook"] == (fingerprint(one, store.fingerprint_salt()), 5)


@pytest.mark.parametrize("secret", [WORDS, RANDOM])
def test_a_store_of_an_earlier_version_stays_verified(store: SqliteStore, secret: str, scrypts: list[bytes]) -> None:
    one = webhook(secret=secret)
    store.set_verified("hook", fingerprint(one, store.fingerprint_salt()), 7)
    assert is_verified(process(store, one), one)
    scrypts.clear()
    assert is_verified(process(store, one), one)
    assert len(scrypts) == (1 if secret == WORDS else 0)
    assert not is_verified(process(store, webhook(secret=secret + "x")), webhook(secret=secret + "x"))


def test_an_edit_of_one_guessable_secret_leaves_the_others_verified(store: SqliteStore, scrypts: list[bytes]) -> None:
    one, other = webhook("one", WORDS + "1"), webhook("other", WORDS + "2")
    before = process(store, one, other)
    mark(before, one)
    mark(before, other)
    changed = webhook("other", "another-secret-in-words")
    stopped_meanwhile = process(store, one, changed)
    assert is_verified(stopped_meanwhile, one)
    assert not is_verified(stopped_meanwhile, changed)

    scrypts.clear()
    before.replace({before.key(each): each for each in (one, changed)})
    assert is_verified(before, one)
    assert not is_verified(before, changed)
    before.write()
    assert len(scrypts) == 2  # the new key and the changed webhook: none for those that stay
    after = process(store, one, changed)
    scrypts.clear()
    assert is_verified(after, one)
    assert len(scrypts) == 1


def test_a_secret_that_comes_back_is_not_verified_by_what_is_left_of_it(store: SqliteStore) -> None:
    old, new = webhook(secret=WORDS + "1"), webhook(secret=WORDS + "2")
    mark(process(store, old), old)
    mark(process(store, new), new)
    assert not is_verified(process(store, old), old)
    assert is_verified(process(store, new), new)


def test_no_text_in_the_store_can_be_had_from_a_guess_without_scrypt(store: SqliteStore, scrypts: list[bytes]) -> None:
    one = webhook()
    mark(process(store, one), one)
    salt = store.fingerprint_salt()
    texts = {text for text, _at in store.verifications().values()}
    guess = fingerprints.verifier_text(one)
    assert fingerprints._KEYED + fingerprints._hash(guess, salt) not in texts
    assert len(texts) == 2
