"""The keys of messages and starts: which lane a message is in, and which starts are one."""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from criteria.document import Document, Payload
from criteria.equality import comparison_key, shortest_text
from store.records import OnceHolder, Target

LONGEST_KEY = 128
"""Characters of a key: as many as the index of a Conductor on PostgreSQL takes for a correlation
id."""


class NoKey(ValueError):
    """The payload has no key for a message; the text says why not."""


def lane_of(workflow: str, key: str) -> str:
    """The lane of the messages for this workflow and key. A hash, so that every lane's name has the
    same length."""
    return hashlib.sha256(json.dumps([workflow, key]).encode()).hexdigest()


def message_key(path: str, payload: Payload) -> str:
    """The key of a message: the text, number or boolean at the path, as text; a number as in a
    task's matches.

    Of several values the first counts. Raises NoKey if there is none, or Conductor couldn't keep
    it.
    """
    found = [value for value in Document.of(payload).found(path) if value is not None]
    if not found:
        raise NoKey(f"there is no value at {path}")
    value = found[0]
    if isinstance(value, (dict, list)):
        raise NoKey(
            f"the value at {path} is {'an object' if isinstance(value, dict) else 'a list'}"
        )
    key = value if isinstance(value, str) else shortest_text(value)
    if not key:
        raise NoKey(f"the text at {path} is empty")
    if len(key) > LONGEST_KEY:
        raise NoKey(f"the text at {path} has more than {LONGEST_KEY} characters")
    if "\0" in key or any("\ud800" <= character <= "\udfff" for character in key):
        raise NoKey(f"the text at {path} has a character that Conductor can't keep")
    return key


Standing = Literal["holds", "free", "waits", "is there", "may run"]
"""A start's relation to the holder of its key. `holds`: it is the holder. `free`: it may become the
holder. `waits`: the holder's call is in flight. `is there`: the holder's workflow covers it. `may
run`: the holder's workflow covers it if it still runs, which Conductor knows."""


def once_key(webhook: str, workflow: str, path: str, payload: Payload) -> str | None:
    """The key of a start with this `once.key`: the same for values that a criterion considers
    equal.

    None if the path selects nothing, or only null. A hash, since payloads may be private and of any
    length.
    """
    values = [
        key for key in map(comparison_key, Document.of(payload).found(path)) if key is not None
    ]
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
