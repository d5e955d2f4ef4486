"""Calls of URLs that name one task each: who may call them, and which task an event is for."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from urllib.parse import unquote, unquote_plus

from config.callbacks import Callback
from config.model import Accept
from platforms.base import digest
from relay.callbacks.tokens import Claims, Expired, Forged, Tokens, read_ids
from store.one_target import callback_to, names_of
from store.records import NewEvent

ACCEPT_BY_ID = Accept.model_validate({"rate": "20/s", "burst": 100})
"""What a webhook with `by: id` accepts unless it says otherwise: anyone can make up ids, and each
is looked up."""
_LONGEST_ID = 256
_SEAL = object()
_NOBODYS = Tokens("", [secrets.token_hex(32)])


def refuse(path: str) -> None:
    """Takes as long as refusing a forged token: whether a webhook exists must not show in the time
    of an answer."""
    with suppress(Forged, Expired):
        _NOBODYS.read(path, 0)


class Call:
    """A call of a URL that names a task, and proves that its caller may complete it. Only
    `CallbackUrls` makes one."""

    __slots__ = ("_allowed", "_path", "claims", "use")

    def __init__(
        self, claims: Claims, path: str, seal: object, allowed: frozenset[str] = frozenset()
    ):
        """`path`: what follows the webhook's id in the URL. `allowed`: query parameters that may
        become part of the payload."""
        if seal is not _SEAL:
            raise TypeError("only CallbackUrls makes a Call")
        self.claims = claims
        self._path = path
        self._allowed = allowed
        self.use = 1
        """Which use of its task's URLs the call is, or repeats: see `find_use`."""

    @property
    def is_signed(self) -> bool:
        """Whether its URL has a token, which can't be made up."""
        return self.claims.expires_at is not None

    def find_use(self, used_at: Callable[[Sequence[str]], Mapping[str, int]]) -> int | None:
        """Finds out which use it is of the URLs for its task; returns when that was (Unix
        milliseconds), None if it is a new one.

        Each use also uses up every other URL that had been made for the task by then, so that of
        several the first counts. A task that waits anew gets URLs that are made later. `used_at`:
        delivery ids → when they arrived, of those that are known.
        """
        while True:
            ids = [self._delivery_id(use) for use in range(self.use, 2 * self.use + 1)]
            found = used_at(ids)
            for one in ids:
                if (at := found.get(one)) is None or at >= self.claims.made_at:
                    return at
                self.use += 1

    @property
    def delivery_id(self) -> str:
        """The same for every call of a URL that this use uses up."""
        return self._delivery_id(self.use)

    def _delivery_id(self, use: int) -> str:
        address = self.claims.address
        text = f"callback {f'#{use} ' if use > 1 else ''}{address.workflow_id}/{address.reference_name}"
        return text if len(text) <= _LONGEST_ID and text.isascii() else digest(text)

    def allowed(self, query: str) -> str:
        """What counts of a query (raw, as in the URL): nothing signs it, so only the parameters
        that the definition names."""
        if not self._allowed:
            return ""
        return "&".join(part for part in query.split("&") if _name_in(part) in self._allowed)

    def addressed(self, event: NewEvent) -> NewEvent:
        """The event, for the task that the URL names, and without the URL, which some proxies
        repeat in headers."""
        claims = self.claims
        until = (
            event.hold_until
            if claims.expires_at is None
            else min(event.hold_until, claims.expires_at * 1000)
        )
        headers = {
            name: value
            for name, value in event.headers.items()
            if name != "referer" and not self._is_in(value)
        }
        only = callback_to(
            claims.address.workflow_id, claims.address.reference_name, claims.made_at or None
        )
        return replace(
            event, only=only, delivery_id=self.delivery_id, hold_until=until, headers=headers
        )

    def _is_in(self, value: str) -> bool:
        """Whether a header repeats the URL, as it was called or as it was decoded."""
        return self._path in value or self._path in unquote(value)


def _name_in(part: str) -> str:
    """The parameter's name, as `read_query` reads it."""
    return unquote_plus(
        part.partition("=")[0].encode("latin-1", "replace").decode("utf-8", "replace")
    )


class CallbackUrls:
    """One webhook's URLs."""

    def __init__(self, webhook: str, callback: Callback):
        self.is_signed = callback.by is None
        self._tasks = frozenset(callback.tasks)
        self._allowed = frozenset(callback.query)
        self._tokens = Tokens(
            webhook, [secret.get_secret_value() for secret in callback.secret or ()]
        )

    def read(self, path: str, now: int) -> Call:
        """The call; `path` is what follows the webhook's id in the URL, `now` is Unix seconds.

        Raises Forged, Expired.
        """
        claims = self._tokens.read(path, now) if self.is_signed else Claims(read_ids(path))
        if self._tasks and self._tasks.isdisjoint(names_of(claims.address.reference_name)):
            raise Forged
        return Call(claims, path, _SEAL, self._allowed)
