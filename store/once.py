"""Starts that are to be one: how they are told by their key, and who of several makes the start. Pure functions.

The first start with a key holds it, from its decision on. A later one with the same key looks at the holder as its call
is due: it is not made as long as the holder stands for it, and becomes the holder otherwise.
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
"""Where a start stands beside the holder of its key. `holds`: it is the holder. `free`: it may become the holder.
`waits`: the holder's call is under way. `is there`: the holder's workflow stands for it. `may run`: it does if it still
runs, which Conductor knows."""


def once_key(webhook: str, workflow: str, path: str, payload: Mapping[str, Any]) -> str | None:
    """The key of a start with this `once.key`: the same for values that a criterion holds equal.

    None if the path selects nothing but null. A hash, since payloads may be private and of any length.
    """
    values = [key for key in map(comparison_key, compile_path(path)(payload)) if key is not None]
    if not values:
        return None
    text = json.dumps([webhook, workflow, path, values])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def standing(target: Target, holder: OnceHolder | None) -> Standing:
    """Where the start stands as its call is due."""
    if holder is None:
        return "free"
    if holder.target_id == target.id:
        return "holds"
    if holder.state in ("pending", "claimed"):
        return "waits"
    if holder.workflow_id is None:  # it was refused for good
        return "free"
    return "is there" if target.once_while == "kept" else "may run"
