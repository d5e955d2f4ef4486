"""The digests by which events and tasks find each other. Pure.

What an event has at a set of paths and what a task expects there have the same digest if they are
equal, as `criteria.equality` defines it. Other values may have it too: `verdict` compares by value.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import product
from math import prod

from criteria.document import Document
from criteria.equality import Key
from criteria.matches import Criteria, compile_paths
from store.records import MANY, EventKey, Shape
from store.sql.tasks import Asks

MOST = 64
"""Combinations of values for which an event has a key each. One with more is compared task by task."""
_BITS = 63


def asks_of(criteria: Criteria) -> Asks | None:
    """What a task with these criteria asks for; None if it expects a null, which nothing equals."""
    if None in criteria.keys:
        return None
    return Asks(criteria.paths, digest(criteria.keys))


def keys_of(document: Document, shapes: Iterable[Shape]) -> Iterator[EventKey]:
    """The keys of an event with this payload: none for a shape of which a path selects nothing."""
    for shape in shapes:
        paths, selects = compile_paths(shape.paths)
        found = [document.keys(*each) for each in zip(paths, selects, strict=True)]
        if prod(map(len, found)) > MOST:
            yield EventKey(shape.id, MANY)
        else:
            yield from (EventKey(shape.id, digest(values)) for values in product(*found))


def digest(values: Iterable[Key]) -> int:
    """A number of 63 bits."""
    text = json.dumps(list(values)).encode()
    number = int.from_bytes(blake2b(text, digest_size=8).digest(), "big")
    return number >> (64 - _BITS)
