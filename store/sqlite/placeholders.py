"""Lists of parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def marks(values: Sequence[Any]) -> str:
    """A question mark for each value."""
    return ", ".join("?" * len(values))
