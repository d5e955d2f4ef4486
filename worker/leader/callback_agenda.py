"""When look-ups for callbacks' events are due: pure, for one thread."""

from __future__ import annotations

import heapq


class Agenda:
    """Events by when they are due. Webhooks take turns: however many events one has, another's don't wait for them."""

    def __init__(self) -> None:
        self._by_webhook: dict[str, list[tuple[float, int]]] = {}
        """First the webhook whose turn it is; only those that have entries."""

    def add(self, webhook: str, at: float, seq: int) -> None:
        """The webhook's event is due then."""
        heapq.heappush(self._by_webhook.setdefault(webhook, []), (at, seq))

    def due_at(self) -> float:
        """When the next one is due; infinite if there is none."""
        return min((entries[0][0] for entries in self._by_webhook.values()), default=float("inf"))

    def pop(self, now: float) -> tuple[float, int] | None:
        """When an event was due, and its `seq`; None if none is due."""
        for webhook, entries in self._by_webhook.items():
            if entries[0][0] <= now:
                first = heapq.heappop(entries)
                del self._by_webhook[webhook]
                if entries:
                    self._by_webhook[webhook] = entries
                return first
        return None
