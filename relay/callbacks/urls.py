"""Calls of URLs that name one task each: who may call them, and which task an event is for."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import replace
from urllib.parse import unquote, unquote_plus

from config.webhooks import Accept, Callback
from platforms.base import digest
from relay.callbacks.tokens import Address, Expired, Forged, Tokens, read_ids
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

    __slots__ = ("_allowed", "_path", "address", "expires_at")

    def __init__(
        self, address: Address, expires_at: int | None, path: str, seal: object, allowed: frozenset[str] = frozenset()
    ):
        """`path`: what follows the webhook's id in the URL. `expires_at`: Unix seconds; None if it doesn't expire.
        `allowed`: query parameters that may become part of the payload."""
        if seal is not _SEAL:
            raise TypeError("only CallbackUrls makes a Call")
        self.address = address
        self.expires_at = expires_at
        self._path = path
        self._allowed = allowed

    @property
    def is_signed(self) -> bool:
        """Whether its URL has a token, which can't be made up."""
        return self.expires_at is not None

    @property
    def delivery_id(self) -> str:
        """The same for every call that is for this task."""
        text = f"callback {self.address.workflow_id}/{self.address.reference_name}"
        return text if len(text) <= _LONGEST_ID and text.isascii() else digest(text)

    def allowed(self, query: str) -> str:
        """What counts of a query (raw, as in the URL): nothing signs it, so only the parameters that the definition
        names."""
        if not self._allowed:
            return ""
        return "&".join(part for part in query.split("&") if _name_in(part) in self._allowed)

    def addressed(self, event: NewEvent) -> NewEvent:
        """The event, for the task that the URL names, and without the URL, which some proxies repeat in headers."""
        until = event.hold_until if self.expires_at is None else min(event.hold_until, self.expires_at * 1000)
        headers = {name: value for name, value in event.headers.items() if name != "referer" and not self._is_in(value)}
        only = callback_to(self.address.workflow_id, self.address.reference_name)
        return replace(event, only=only, delivery_id=self.delivery_id, hold_until=until, headers=headers)

    def _is_in(self, value: str) -> bool:
        """Whether a header repeats the URL, as it was called or as it was decoded."""
        return self._path in value or self._path in unquote(value)


def _name_in(part: str) -> str:
    """The parameter's name, as `read_query` reads it."""
    return unquote_plus(part.partition("=")[0].encode("latin-1", "replace").decode("utf-8", "replace"))


class CallbackUrls:
    """One webhook's URLs."""

    def __init__(self, webhook: str, callback: Callback):
        self.is_signed = callback.by is None
        self._tasks = frozenset(callback.tasks)
        self._allowed = frozenset(callback.query)
        self._tokens = Tokens(webhook, [secret.get_secret_value() for secret in callback.secret or ()])

    @property
    def description(self) -> str:
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
        return Call(address, expires_at, path, _SEAL, self._allowed)
