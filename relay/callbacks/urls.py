"""Calls of URLs that name one task each: who may call them, and which task an event is for."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, slots=True)
class Use:
    """One use of the URLs for a task, of which only one can be used at a time."""

    number: int
    at: int | None = None
    """When it was (Unix milliseconds); None if the call is the first to make it."""


FIRST_USE = Use(1)


class Call:
    """A call of a URL that names a task, and proves that its caller may complete it. Only
    `CallbackUrls` makes one."""

    __slots__ = ("_allowed", "_path", "claims")

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

    @property
    def is_signed(self) -> bool:
        """Whether its URL has a token, which can't be made up."""
        return self.claims.expires_at is not None

    def find_use(self, used_at: Callable[[Sequence[str]], Mapping[str, int]]) -> Use:
        """Which use of the URLs for its task this call is, or repeats.

        Each use also uses up every other URL that had been made for the task by then, so that of
        several the first counts. A task that waits anew gets URLs that are made later. `used_at`:
        delivery ids → when they arrived, of those that are known.
        """
        first = 1
        while True:  # each look-up asks for twice as many
            numbers = range(first, 2 * first + 1)
            known = used_at([self._delivery_id(number) for number in numbers])
            for number in numbers:
                at = known.get(self._delivery_id(number))
                if at is None or at >= self.claims.made_at:
                    return Use(number, at)
            first = numbers.stop

    def _delivery_id(self, use: int) -> str:
        """The same for every call of a URL that this use uses up."""
        address = self.claims.address
        number = f"#{use} " if use > 1 else ""
        text = f"callback {number}{address.workflow_id}/{address.reference_name}"
        return text if len(text) <= _LONGEST_ID and text.isascii() else digest(text)

    def allowed(self, query: str) -> str:
        """What counts of a query (raw, as in the URL): nothing signs it, so only the parameters
        that the definition names."""
        if not self._allowed:
            return ""
        return "&".join(part for part in query.split("&") if _name_in(part) in self._allowed)

    def addressed(self, event: NewEvent, use: Use) -> NewEvent:
        """The event, for the task that the URL names, and without the URL, which some proxies
        repeat in headers."""
        address, expires_at = self.claims.address, self.claims.expires_at
        made_at = self.claims.made_at or None
        until = event.hold_until
        if expires_at is not None:
            until = min(until, expires_at * 1000)
        headers = {
            name: value
            for name, value in event.headers.items()
            if name != "referer" and not self._is_in(value)
        }
        return replace(
            event,
            only=callback_to(address.workflow_id, address.reference_name, made_at),
            delivery_id=self._delivery_id(use.number),
            hold_until=until,
            headers=headers,
        )

    def _is_in(self, value: str) -> bool:
        """Whether a header repeats the URL, as it was called or as it was decoded."""
        return self._path in value or self._path in unquote(value)


def _name_in(part: str) -> str:
    """The parameter's name, as `read_query` reads it."""
    name = part.partition("=")[0].encode("latin-1", "replace")
    return unquote_plus(name.decode("utf-8", "replace"))


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
