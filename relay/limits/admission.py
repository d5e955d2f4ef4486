"""Which deliveries are looked at: as many as a webhook's `accept` allows, and few from an address
that proves nothing.

Only proven and new deliveries count against `accept`, so strangers can't shut others out. An
address that has sent one is never refused for other senders' failures: platforms, and everyone
behind a shared NAT, use the same addresses as strangers.
"""

from __future__ import annotations

import math
import mmap
import time
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache

from config.model import Accept
from relay.limits.addresses import read_address
from store.clock import MonotonicClock
from store.rules.senders import LONGEST_ADDRESS, subscriber_of

_WAYS = 8
"""Slots that a key may use. When all are taken, the one with the earliest time is overwritten."""
_BYTES = 8
_NEXT_TO_NOTHING = 1e-6
"""Seconds: the rounding error that sums of times may have."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """`rate` a second, and `burst` at once: a token bucket, represented by the time at which it is
    full again."""

    rate: float
    burst: int

    def wait(self, full_at: float, now: float) -> float:
        """Seconds until a token is available; 0.0 if one is."""
        seconds = max(full_at, now) - now - (self.burst - 1) / self.rate
        return seconds if seconds > _NEXT_TO_NOTHING else 0.0

    def less(self, full_at: float, now: float, number: int = 1) -> float:
        """When the bucket is full again after so many more tokens are taken. An empty bucket gets
        no emptier."""
        return min(max(full_at, now) + number / self.rate, now + self.burst / self.rate)


FAILURES = Allowance(rate=5, burst=100)
"""Failed proofs that are computed, and recorded in detail, per address and webhook. A large body
counts as several."""
_BYTES_A_FAILURE = 32 * 1024
"""Of a body whose proof failed, that count as one more failure."""
PAGES = Allowance(rate=5, burst=100)
"""Pages that are shown per address and webhook, at the links of callbacks: for each, the store is
read."""
PROVEN_FOR = 24 * 3600.0
"""Seconds after a proven delivery during which `FAILURES` doesn't apply to its address."""


class SharedTimes:
    """One time per key, in memory that a process shares with its forks: each reads what the others
    wrote.

    The table has a fixed size, since strangers choose the keys.

    There is no lock: if two processes write the same key at the same moment, one of the two times
    may be lost.
    """

    def __init__(self, places: int = 8192):
        self._sets = places // _WAYS
        memory = memoryview(mmap.mmap(-1, 2 * self._sets * _WAYS * _BYTES))
        half = len(memory) // 2
        self._keys = memory[:half].cast("Q")
        self._times = memory[half:].cast("d")

    def get(self, key: Hashable) -> float:
        """The key's time; 0.0 if it has none."""
        place = self._find(hash(key))
        return 0.0 if place is None else self._times[place]

    def set(self, key: Hashable, time: float) -> None:
        """Sets the key's time."""
        # Seeded per program and shared by forks, so nobody can choose keys that collide.
        hashed = hash(key)
        place = self._find(hashed)
        if place is None:
            first = hashed % self._sets * _WAYS
            place = min(range(first, first + _WAYS), key=self._times.__getitem__)
            self._keys[place] = _as_word(hashed)
        self._times[place] = time

    def _find(self, hashed: int) -> int | None:
        first = hashed % self._sets * _WAYS
        keys, word = self._keys[first : first + _WAYS].tolist(), _as_word(hashed)
        return first + keys.index(word) if word in keys else None


def _as_word(hashed: int) -> int:
    """Never 0, which marks a free slot."""
    return hashed & 0xFFFF_FFFF_FFFF_FFFF or 1


class Admission:
    """Counts across this process and its forks: one relay, however many workers it has."""

    def __init__(self, clock: MonotonicClock = time):
        self._clock = clock
        self._accepted = SharedTimes()
        self._failed = SharedTimes()
        self._proven = SharedTimes()
        self._pages = SharedTimes()

    def wait(self, webhook: str, sender: str | None) -> int:
        """Seconds until the sender should try again; 0 if its delivery may be looked at now.
        `sender` is the address, None if unknown."""
        now = self._clock.monotonic()
        address = _one_sender(sender)
        if address is not None:
            key = webhook, address
            seconds = FAILURES.wait(self._failed.get(key), now)
            if seconds and self._proven.get(key) < now:
                return math.ceil(seconds)
        return 0

    def take(self, webhook: str, accept: Accept) -> int:
        """Counts a proven delivery. Returns 0, or the seconds until it should be sent again if the
        webhook has reached its limit."""
        return take_one(
            self._accepted,
            webhook,
            Allowance(accept.rate, accept.most_at_once),
            self._clock.monotonic(),
        )

    def proven(self, webhook: str, sender: str | None) -> None:
        """Records that the sender has proven a delivery that wasn't known: whoever sends again what
        it has seen doesn't free itself from `FAILURES`."""
        address = _one_sender(sender)
        if address is not None:
            self._proven.set((webhook, address), self._clock.monotonic() + PROVEN_FOR)

    def page(self, webhook: str, sender: str | None) -> int:
        """Records a request for a page. Returns 0, or the seconds until its sender should try
        again."""
        address = _one_sender(sender)
        if address is None:
            return 0
        return take_one(self._pages, (webhook, address), PAGES, self._clock.monotonic())

    def failed(self, webhook: str, sender: str | None, size: int = 0) -> None:
        """Records a delivery whose proof failed, with a body of this many bytes."""
        address = _one_sender(sender)
        if address is not None:
            key, cost = (webhook, address), 1 + size // _BYTES_A_FAILURE
            self._failed.set(
                key, FAILURES.less(self._failed.get(key), self._clock.monotonic(), cost)
            )


def take_one(times: SharedTimes, key: Hashable, allowance: Allowance, now: float) -> int:
    """Takes one of the key's tokens. Returns 0, or the seconds until there is one."""
    full_at = times.get(key)
    seconds = allowance.wait(full_at, now)
    if seconds:
        return math.ceil(seconds)
    times.set(key, allowance.less(full_at, now))
    return 0


def _one_sender(text: str | None) -> bytes | None:
    """What identifies the sender at an address. None if nothing does: a private address may be a
    load balancer's."""
    return None if text is None or len(text) > LONGEST_ADDRESS else _public(text)


@lru_cache(maxsize=1024)
def _public(text: str) -> bytes | None:
    address = read_address(text)
    return subscriber_of(address).packed if address is not None and address.is_global else None
