"""Narrows a batch's failure down to the items that cause it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from store.errors import LeadershipLost, StoreUnavailable

_Item = TypeVar("_Item")

OF_ALL = (LeadershipLost, StoreUnavailable)
"""Errors that say nothing about an item: all items must wait."""


def failing_items(items: Sequence[_Item], act: Callable[[Sequence[_Item]], object]) -> list[tuple[_Item, Exception]]:
    """Calls `act(items)`, which does all or nothing; if it fails, acts on halves, in order, down to single items.

    Returns the items that failed alone, each with its error. Raises LeadershipLost and StoreUnavailable.
    """
    if not items:
        return []
    try:
        act(items)
    except OF_ALL:
        raise
    except Exception as error:
        if len(items) == 1:
            return [(items[0], error)]
        half = len(items) // 2
        return failing_items(items[:half], act) + failing_items(items[half:], act)
    return []
