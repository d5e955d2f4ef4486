"""Fingerprints of webhooks' verifiers and secrets: they say in the store whether a webhook is still the verified one.

Whoever steals the store must not find a secret by its fingerprint. A secret that nobody can guess is safe behind any
hash: there a keyed hash serves, which takes microseconds. One that may be guessable has a slow fingerprint (scrypt),
which is made once, and a quick one beside it, which spares processes the slow one: its key is one scrypt of all the
guessable webhooks together, so it is at least as hard to guess by. The key changes with each of them; then the slow
fingerprint still tells.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from config.webhooks import Webhook
from relay.hub import aside

_SCRYPT: dict[str, Any] = {"n": 2**14, "r": 8, "p": 1, "dklen": 16}
"""Some 50 ms on one core."""
_KEYED = "keyed:"
_RANDOM_LENGTH = 20
_RANDOM_KINDS = 10
_RANDOM_CHANGES = 0.3


class Entry(NamedTuple):
    """A fingerprint, and the name that the store keeps it under."""

    name: str
    text: str


class Fingerprints:
    """The fingerprints of one set of webhooks. Safe for threads."""

    def __init__(self, webhooks: Iterable[Webhook], salt: bytes, before: Fingerprints | None = None):
        """`salt` is the store's own; what was found out of an earlier set is taken over from `before`."""
        self._salt = salt
        self._guessable = sorted(verifier_text(webhook) for webhook in webhooks if is_guessable(webhook))
        self._lock = threading.Lock()
        self._key: bytes | None = None
        self._slow: dict[bytes, str] = dict(before._slow) if before is not None else {}

    def prepare(self) -> None:
        """Makes the key of the guessable ones, so that no delivery has to wait for it."""
        if self._guessable:
            self._key_of_all()

    def quick(self, webhook: Webhook) -> Entry:
        """The fingerprint to look for first. The first of a guessable webhook takes one scrypt."""
        text = verifier_text(webhook)
        if not is_guessable(webhook):
            return Entry(webhook.name, _KEYED + _hash(text, self._salt))
        return Entry(_quick_name(webhook.name), _KEYED + _hash(text, self._key_of_all()))

    def slow(self, webhook: Webhook) -> Entry:
        """The fingerprint that depends on nothing but the webhook: one scrypt, the first time."""
        text = verifier_text(webhook)
        if text not in self._slow:
            self._slow[text] = aside(fingerprint, webhook, self._salt)
        return Entry(webhook.name, self._slow[text])

    def at_first(self, webhook: Webhook) -> list[Entry]:
        """What to keep as the webhook is verified; the slow fingerprint then takes the first one's place."""
        quick = self.quick(webhook)
        return [quick] if quick.name == webhook.name else [Entry(webhook.name, quick.text), quick]

    def find(self, webhook: Webhook, stored: Mapping[str, tuple[str, int]]) -> tuple[int, bool] | None:
        """Since when the webhook is verified, by what the store has: name → (fingerprint, time); None if it isn't.

        And whether its quick fingerprint is to be written: that of another set of webhooks, or none, is there.
        """
        if webhook.name not in stored:
            return None
        own, at = stored[webhook.name]
        quick = self.quick(webhook)
        known, since = stored.get(quick.name, ("", 0))
        is_slow = not own.startswith(_KEYED)
        if known == quick.text:
            if is_slow:
                self._slow[verifier_text(webhook)] = own
            return since, False
        return (at, True) if is_slow and self.slow(webhook).text == own else None

    def _key_of_all(self) -> bytes:
        if self._key is None:
            with self._lock:
                if self._key is None:
                    together = b"\0".join(self._guessable)
                    self._key = aside(hashlib.scrypt, together, salt=b"all " + self._salt, **_SCRYPT)
        return self._key


def _quick_name(name: str) -> str:
    """A name that no webhook can have: they have no spaces."""
    return f"{name} quick"


def _hash(text: bytes, key: bytes) -> str:
    return hashlib.blake2b(text, key=key, digest_size=16).hexdigest()


def fingerprint(webhook: Webhook, salt: bytes) -> str:
    """A text that changes with the webhook's verifier and secrets, and tells nobody what they are.

    Takes some 50 ms by design: guessing a secret by its fingerprint must not pay.
    """
    return hashlib.scrypt(verifier_text(webhook), salt=salt, **_SCRYPT).hex()


def verifier_text(webhook: Webhook) -> bytes:
    """All that decides how the webhook's deliveries are verified, secrets included. Never leaves the process."""
    signature: dict[str, Any] | None = None
    if webhook.signature is not None:
        signature = webhook.signature.model_dump(exclude={"secret", "tolerance"})
        signature["secret"] = [secret.get_secret_value() for secret in webhook.signature.secret]
    parts: dict[str, Any] = {
        "platform": webhook.platform,
        "secret": [secret.get_secret_value() for secret in webhook.secret or ()],
        "verify_token": webhook.verify_token.get_secret_value() if webhook.verify_token else None,
        "audience": webhook.audience,
        "service_account": webhook.service_account,
        "headers": {name.lower(): value.get_secret_value() for name, value in sorted((webhook.headers or {}).items())},
        "signature": signature,
        "challenge": webhook.challenge,
        "verifier": webhook.verifier,
    }
    if webhook.topic is not None:  # what was verified before there was this key stays so
        parts["topic"] = webhook.topic
    return json.dumps(parts, sort_keys=True).encode()


def is_guessable(webhook: Webhook) -> bool:
    """Whether the webhook has secrets, and none that looks as if a machine had drawn it at random.

    One of those makes the whole text that is hashed unguessable.
    """
    secrets = list(_secrets(webhook))
    return bool(secrets) and not any(map(looks_random, secrets))


def looks_random(secret: str) -> bool:
    """Whether this can't be guessed: long, of many characters, and jumping between digits and letters of either case.

    Words, also with a number or a year at their end, don't jump. A random text that is taken for words costs time only.
    """
    letters = [character for character in secret if character.isascii() and character.isalnum()]
    if len(letters) < _RANDOM_LENGTH or len(set(letters)) < _RANDOM_KINDS:
        return False
    kinds = [0 if letter.isdigit() else 1 if letter.islower() else 2 for letter in letters]
    changes = sum(one != following for one, following in pairwise(kinds))
    return changes >= _RANDOM_CHANGES * (len(kinds) - 1)


def _secrets(webhook: Webhook) -> Iterator[str]:
    for secret in webhook.secret or ():
        yield secret.get_secret_value()
    if webhook.signature is not None:
        for secret in webhook.signature.secret:
            yield secret.get_secret_value()
    for value in (webhook.headers or {}).values():
        yield value.get_secret_value()
    if webhook.verify_token is not None:
        yield webhook.verify_token.get_secret_value()
