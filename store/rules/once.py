"""Starts that should happen once per key: how keys are computed, and which of several starts is made. Pure functions.

The first start with a key holds it, from its decision on. When a later one with the same key becomes due, it looks at
the holder: if that still covers it, the later start is skipped; otherwise it becomes the holder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from criteria.equality import comparison_key
from criteria.jsonpath import compile_path
from store.records import OnceHolder, Target

Standing = Literal["holds", "free", "waits", "is there", "may run"]
"""A start's relation to the holder of its key. `holds`: it is the holder. `free`: it may become the holder. `waits`:
the holder's call is in flight. `is there`: the holder's workflow covers it. `may run`: the holder's workflow covers it
if it still runs, which Conductor knows."""


def once_key(webhook: str, workflow: str, path: str, payload: Mapping[str, Any]) -> str | None:
    """The key of a start with this `once.key`: the same for values that a criterion considers equal.

    None if the path selects nothing, or only null. A hash, since payloads may be private and of any length.
    """
    values = [key for key in map(comparison_key, compile_path(path)(payload)) if key is not None]
    if not values:
        return None
    text = json.dumps([webhook, workflow, path, values])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def standing(target: Target, holder: OnceHolder | None) -> Standing:
    """The start's standing when its call is due."""
    if holder is None:
        return "free"
    if holder.target_id == target.id:
        return "holds"
    if holder.state in ("pending", "claimed"):
        return "waits"
    if holder.workflow_id is None:  # it was refused permanently
        return "free"
    return "is there" if target.once_while == "kept" else "may run"
