"""How many senders may wait in one process for the end of a workflow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

MOST = 1000
"""Senders that may wait in one process: half of its connections."""
_SHARE = 4
"""Senders that a webhook may have waiting for each free place: if it is alone, four fifths of all places."""


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
