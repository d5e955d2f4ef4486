"""A delivery that somebody wrote, as the store keeps it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SavedDelivery:
    """A delivery that somebody wrote for a webhook, and saved by name: unsigned, and without what `hide` names."""

    webhook: str
    name: str
    saved_at: int
    method: str
    query: str
    """Without ``?``."""
    headers: dict[str, str]
    """In their order; the content type is one of them."""
    body: str
