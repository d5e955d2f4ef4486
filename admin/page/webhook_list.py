"""The list of webhooks: what needs attention first, page by page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.webhooks import Webhook

PAGE = 25
"""Webhooks of a page."""


@dataclass(frozen=True)
class Row:
    """A webhook as the list shows it."""

    webhook: Webhook
    verified_at: int | None
    paused_at: int | None
    deliveries: Mapping[str, int]
    """Outcome → number in the last day."""
    failed: int
    """Unresolved events of the last day that failed."""
    is_broken: bool
    """Whether its definition has an error."""

    @property
    def name(self) -> str:
        """The webhook's."""
        return self.webhook.name

    @property
    def urgency(self) -> int:
        """How soon somebody should look at it: 0 if all is well."""
        if self.is_broken or self.failed:
            return 3
        if self.deliveries.get("rejected"):
            return 2
        return int(self.verified_at is None or self.paused_at is not None)


def _by_urgency(row: Row) -> tuple[Any, ...]:
    return -row.urgency, -row.failed, -row.deliveries.get("rejected", 0), row.name


SORTS: Mapping[str, Callable[[Row], Any]] = {
    "attention": _by_urgency,
    "name": lambda row: row.name,
    "accepted": lambda row: (-row.deliveries.get("accepted", 0), row.name),
    "failed": lambda row: (-row.failed, row.name),
    "rejected": lambda row: (-row.deliveries.get("rejected", 0), row.name),
}
"""What a list can be sorted by → the order."""


def page_of(rows: Sequence[Row], sort: str, number: int) -> tuple[list[Row], int]:
    """The rows of that page, the first of which is 1, and how many pages there are."""
    pages = max(1, -(-len(rows) // PAGE))
    first = (min(number, pages) - 1) * PAGE
    return sorted(rows, key=SORTS[sort])[first : first + PAGE], pages
