"""Lanes: messages for one workflow and key are delivered one after the other, in the order of their decisions.

A message is `queued` until it is the first of its lane that hasn't ended; then it is `pending`, and claimed like any
target. So a lane costs the claims no more than one target does, however long it is. A message that is retried stays the
first. Pure functions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from criteria.equality import shortest_text
from criteria.jsonpath import compile_path

LONGEST_KEY = 128
"""Characters of a key: as many as the index of a Conductor on PostgreSQL takes for a correlation id."""


class NoKey(ValueError):
    """The payload has no key for a message; the text says why not."""


def lane_of(workflow: str, key: str) -> str:
    """The lane of the messages for this workflow and key. A hash, so that every lane's name has the same length."""
    return hashlib.sha256(json.dumps([workflow, key]).encode()).hexdigest()


def message_key(path: str, payload: Mapping[str, Any]) -> str:
    """The key of a message: the text, number or boolean at the path, as text; a number as in a task's matches.

    Of several values the first counts. Raises NoKey if there is none, or Conductor couldn't keep it.
    """
    found = [value for value in compile_path(path)(payload) if value is not None]
    if not found:
        raise NoKey(f"there is no value at {path}")
    value = found[0]
    if isinstance(value, (dict, list)):
        raise NoKey(f"the value at {path} is {'an object' if isinstance(value, dict) else 'a list'}")
    key = value if isinstance(value, str) else shortest_text(value)
    if not key:
        raise NoKey(f"the text at {path} is empty")
    if len(key) > LONGEST_KEY:
        raise NoKey(f"the text at {path} has more than {LONGEST_KEY} characters")
    if "\0" in key or any("\ud800" <= character <= "\udfff" for character in key):
        raise NoKey(f"the text at {path} has a character that Conductor can't keep")
    return key
