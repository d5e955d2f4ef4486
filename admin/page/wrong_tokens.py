"""Slows down guessing of tokens: an address has a few free mistakes, and then has to wait, longer each time."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from relay.http.addresses import read_address, subscriber_of
from store.clock import MonotonicClock

_FREE = 5
"""Wrong tokens in a row before an address has to wait."""
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 60.0
_FORGIVEN_AFTER = 600.0
"""Seconds without a wrong token after which an address starts afresh."""
_ADDRESSES = 10_000


class TooManyWrongTokens(Exception):
    """The address has given too many wrong tokens; `seconds` is how long it has to wait."""

    def __init__(self, seconds: int):
        self.seconds = seconds
        super().__init__(f"too many wrong tokens from your address: try again in {seconds} s")


@dataclass
class _Failures:
    number: int
    at: float
    tokens: tuple[bytes, ...]
    """Digests of the last ones."""


class WrongTokens:
    """Wrong tokens by address (an IPv6 address by its /64). Thread-safe. Of too many, the oldest are dropped."""

    def __init__(self, clock: MonotonicClock = time):
        self._clock = clock
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, address: str | None) -> None:
        """Raises TooManyWrongTokens while the address has to wait: no token is checked meanwhile."""
        with self._lock:
            failures = self._failures.get(_key(address))
            if failures is None or failures.number < _FREE:
                return
            wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(failures.number - _FREE, 10))
            left = failures.at + wait - self._clock.monotonic()
        if left > 0:
            raise TooManyWrongTokens(max(1, round(left)))

    def failed(self, address: str | None, token: str) -> int:
        """The address gave a wrong token; returns how many it has given in a row.

        Repeating a token is not a new guess: a program with an outdated token must not lock out others at its address.
        """
        key, now = _key(address), self._clock.monotonic()
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        with self._lock:
            before = self._failures.pop(key, None)
            if before is None or now - before.at >= _FORGIVEN_AFTER:
                before = _Failures(0, now, ())
            if digest not in before.tokens:
                before = _Failures(before.number + 1, now, (*before.tokens[1 - _FREE :], digest))
            self._failures[key] = before
            if len(self._failures) > _ADDRESSES:
                self._failures.popitem(last=False)
        return before.number

    def succeeded(self, address: str | None) -> None:
        """The address gave the admin's token. (A holder of the viewer's may still be guessing that one.)"""
        with self._lock:
            self._failures.pop(_key(address), None)


def _key(address: str | None) -> str:
    found = read_address(address)
    return str(subscriber_of(found)) if found is not None else address or ""
