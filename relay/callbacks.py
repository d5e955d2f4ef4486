"""Calls of URLs that name one task each: who may call them, and which task an event is for."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import replace
from urllib.parse import unquote

from config.webhooks import Accept, Callback
from platforms.base import digest
from relay.callback_tokens import Address, Expired, Forged, Tokens, read_ids
from store.one_target import callback_to, names_of
from store.records import NewEvent

ACCEPT_BY_ID = Accept.model_validate({"rate": "20/s", "burst": 100})
"""What a webhook with `by: id` accepts unless it says otherwise: anyone can make up ids, and each is looked up."""
_LONGEST_ID = 256
_SEAL = object()
_NOBODYS = Tokens("", [secrets.token_hex(32)])


def refuse(path: str) -> None:
    """Takes as long as refusing a forged token: whether a webhook exists must not show in the time of an answer."""
    with suppress(Forged, Expired):
        _NOBODYS.read(path, 0)


class Call:
    """A call of a URL that names a task, and proves that its caller may complete it. Only `CallbackUrls` makes one."""

    __slots__ = ("_path", "address", "expires_at")

    def __init__(self, address: Address, expires_at: int | None, path: str, seal: object):
        """`path`: what follows the webhook's id in the URL. `expires_at`: Unix seconds; None if it doesn't expire."""
        if seal is not _SEAL:
            raise TypeError("only CallbackUrls makes a Call")
        self.address = address
        self.expires_at = expires_at
        self._path = path

    def addressed(self, event: NewEvent) -> NewEvent:
        """The event, for the task that the URL names, and without the URL, which some proxies repeat in headers."""
        delivery_id = f"callback {self.address.workflow_id}/{self.address.reference_name}"
        if len(delivery_id) > _LONGEST_ID or not delivery_id.isascii():
            delivery_id = digest(delivery_id)
        until = event.hold_until if self.expires_at is None else min(event.hold_until, self.expires_at * 1000)
        headers = {name: value for name, value in event.headers.items() if name != "referer" and not self._is_in(value)}
        only = callback_to(self.address.workflow_id, self.address.reference_name)
        return replace(event, only=only, delivery_id=delivery_id, hold_until=until, headers=headers)

    def _is_in(self, value: str) -> bool:
        """Whether a header repeats the URL, as it was called or as it was decoded."""
        return self._path in value or self._path in unquote(value)


class CallbackUrls:
    """One webhook's URLs."""

    def __init__(self, webhook: str, callback: Callback):
        self.is_signed = callback.by is None
        self._tasks = frozenset(callback.tasks)
        self._tokens = Tokens(webhook, [secret.get_secret_value() for secret in callback.secret or ()])

    @property
    def in_words(self) -> str:
        """By what its calls are proven, for people."""
        return "the token in its URL" if self.is_signed else "the workflow's id in its URL"

    def read(self, path: str, now: int) -> Call:
        """The call; `path` is what follows the webhook's id in the URL, `now` is Unix seconds.

        Raises Forged, Expired.
        """
        if self.is_signed:
            address, expires_at = self._tokens.read(path, now)
        else:
            address, expires_at = read_ids(path), None
        if self._tasks and self._tasks.isdisjoint(names_of(address.reference_name)):
            raise Forged
        return Call(address, expires_at, path, _SEAL)
