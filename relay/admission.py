"""Which deliveries are looked at: as many as a webhook's `accept` lets in, and few of an address that proves nothing.

Nobody but proven senders uses up `accept`, so that strangers can't shut others out. And an address from which something
proven has come is never refused for the failures of others there: platforms, and whoever shares a way out to the
internet, send from the same addresses as strangers do.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import lru_cache

from config.webhooks import Accept
from relay.addresses import read_address, subscriber_of
from relay.shared_times import SharedTimes
from store.clock import MonotonicClock

_LONGEST_ADDRESS = 100
_NEXT_TO_NOTHING = 1e-6
"""Seconds, by which sums of them may be wrong."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """So many a second, and `burst` at once: a bucket that is described by the time at which it is full again."""

    rate: float
    burst: int

    def wait(self, full_at: float, now: float) -> float:
        """Seconds until there is one; 0.0 if there is."""
        seconds = max(full_at, now) - now - (self.burst - 1) / self.rate
        return seconds if seconds > _NEXT_TO_NOTHING else 0.0

    def less_one(self, full_at: float, now: float) -> float:
        """When it is full again after one more; one that is empty becomes no emptier."""
        return min(max(full_at, now) + 1 / self.rate, now + self.burst / self.rate)

    def one_more(self, full_at: float) -> float:
        """When it is full again after one has been given back."""
        return full_at - 1 / self.rate


FAILURES = Allowance(rate=5, burst=100)
"""Failed proofs of one address on one webhook that are computed, and told in detail."""
PROVEN_FOR = 24 * 3600.0
"""Seconds after a proven delivery for which its address is not held to `FAILURES`."""


class Admission:
    """Counts for this process and its forks: one relay, however many workers it has."""

    def __init__(self, clock: MonotonicClock = time):
        self._clock = clock
        self._accepted = SharedTimes()
        self._failed = SharedTimes()
        self._proven = SharedTimes()

    def wait(self, webhook: str, accept: Accept | None, sender: str | None) -> int:
        """Seconds after which a delivery may come again; 0 if it may be looked at now. `sender` is the address, None if
        it isn't known."""
        now = self._clock.monotonic()
        seconds = 0.0
        if accept is not None:
            seconds = Allowance(accept.rate, accept.most_at_once).wait(self._accepted.get(webhook), now)
        if (address := _one_sender(sender)) is not None:
            key = webhook, address
            if (more := FAILURES.wait(self._failed.get(key), now)) and self._proven.get(key) < now:
                seconds = max(seconds, more)
        return math.ceil(seconds)

    def proven(self, webhook: str, accept: Accept | None, sender: str | None) -> int:
        """A delivery is proven. Seconds after which it may come again if the webhook has had enough, else 0."""
        now = self._clock.monotonic()
        if (address := _one_sender(sender)) is not None:
            self._proven.set((webhook, address), now + PROVEN_FOR)
        if accept is None:
            return 0
        allowance = Allowance(accept.rate, accept.most_at_once)
        full_at = self._accepted.get(webhook)
        if seconds := allowance.wait(full_at, now):
            return math.ceil(seconds)
        self._accepted.set(webhook, allowance.less_one(full_at, now))
        return 0

    def left_nothing(self, webhook: str, accept: Accept | None) -> None:
        """What was proven left no new event. It counts for nothing: whoever has seen a delivery can send it again."""
        if accept is not None:
            allowance = Allowance(accept.rate, accept.most_at_once)
            self._accepted.set(webhook, allowance.one_more(self._accepted.get(webhook)))

    def failed(self, webhook: str, sender: str | None) -> None:
        """A delivery proved nothing."""
        if (address := _one_sender(sender)) is not None:
            key = webhook, address
            self._failed.set(key, FAILURES.less_one(self._failed.get(key), self._clock.monotonic()))


def _one_sender(text: str | None) -> bytes | None:
    """What stands for the sender at an address. None if that can't be told: a private one may be a load balancer's."""
    return None if text is None or len(text) > _LONGEST_ADDRESS else _public(text)


@lru_cache(maxsize=1024)
def _public(text: str) -> bytes | None:
    address = read_address(text)
    return subscriber_of(address).packed if address is not None and address.is_global else None
