"""How many senders may wait in one process for the end of a workflow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

MOST = 12_500
"""Senders that may wait in one process, if there is memory for them."""
_SHARE = 4
"""Senders that a webhook may have waiting for each free place: if it is alone, four fifths of all places."""
_AT_LEAST = 100
_PART_OF_MEMORY = 4
_EACH = 32 * 1024
"""Bytes of memory for each sender that waits, with its connection and greenlet."""
_OTHER_FILES = 4096
"""Files that a process opens for other things, mostly connections that don't wait."""


def most_waiting(memory: int, open_files: int) -> int:
    """How many may wait in a process with this share of the memory, in bytes, that may open this many files."""
    return max(_AT_LEAST, min(MOST, memory // _PART_OF_MEMORY // _EACH, open_files - _OTHER_FILES))


class WaitingPlaces:
    """Leaves room for other webhooks' senders, however many wait for one webhook's slow workflows: the fewer places are
    free, the fewer a webhook may have."""

    def __init__(self, most: int = MOST):
        self.most = most
        self._taken = Counter[str]()
        self._sum = 0

    def has_room(self, webhook: str) -> bool:
        """Whether another of the webhook's senders may wait."""
        return self._taken[webhook] < _SHARE * (self.most - self._sum)

    @contextmanager
    def one(self, webhook: str) -> Iterator[None]:
        """Takes a place until the block ends."""
        self._taken[webhook] += 1
        self._sum += 1
        try:
            yield
        finally:
            self._sum -= 1
            self._taken[webhook] -= 1
            if not self._taken[webhook]:
                del self._taken[webhook]
