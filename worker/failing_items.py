"""Narrows a batch's failure down to the items that cause it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from store.errors import LeadershipLost, RowsUnavailable, StoreUnavailable

_Item = TypeVar("_Item")


def concerns_all(error: Exception) -> bool:
    """Whether the error says nothing about an item: all items must wait."""
    return isinstance(error, (LeadershipLost, StoreUnavailable)) and not isinstance(error, RowsUnavailable)


def failing_items(items: Sequence[_Item], act: Callable[[Sequence[_Item]], object]) -> list[tuple[_Item, Exception]]:
    """Calls `act(items)`, which does all or nothing; if it fails, acts on halves, in order, down to single items.

    Returns the items that failed alone, each with its error. Raises errors that concern all of them.
    """
    if not items:
        return []
    try:
        act(items)
    except Exception as error:
        if concerns_all(error):
            raise
        if len(items) == 1:
            return [(items[0], error)]
        half = len(items) // 2
        return failing_items(items[:half], act) + failing_items(items[half:], act)
    return []
