"""Makes several events of one delivery: each element of an array is one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from criteria.jsonpath import Place, places
from platforms.bodies import Body
from relay.payload import dump

_LARGEST = 10_000
"""Characters of what is around an array, as JSON: every one of its elements gets it."""


class Part(NamedTuple):
    """What becomes one event."""

    body: Body
    is_element: bool = False
    """Whether it is one of several; otherwise it is the whole delivery."""
    of_top: bool = False
    """Whether it is an element of the top-level array."""
    enclosing: Mapping[str, Any] | None = None
    """What is around the array that it is in, without the array; None if that is large."""


def parts_of(body: Body, split: bool | str, most: int) -> Sequence[Part]:
    """The first `most` elements of the array that `split` leads to, in order; the whole body if there is no array.

    `split` is true for the top-level array, which also a platform's own batch is, or a JSONPath into the payload.
    """
    if not split and not body.batch:  # the hot path
        return (Part(body),)
    return list(islice(_parts(body, split), most))


def _parts(body: Body, split: bool | str) -> Iterator[Part]:
    is_split = isinstance(body.value, list) and (split is True or body.batch)
    for part in (Part(Body(element), True, True) for element in body.value) if is_split else (Part(body),):
        if isinstance(split, str):
            yield from _below(part, split)
        else:
            yield part


def _below(part: Part, path: str) -> Iterator[Part]:
    value = part.body.value
    payload = value if isinstance(value, dict) else {"request": value}
    arrays = [(place, found) for place, found in places(payload, path) if place and isinstance(found, list)]
    if not arrays:
        yield part
    for place, found in arrays:
        enclosing = _around(payload, place)
        if len(dump(enclosing)) > _LARGEST:
            enclosing = None
        for element in found:
            yield Part(Body(element), True, False, enclosing)


def _around(value: Any, place: Place) -> Any:
    """The value without what is at the place; of the arrays on the way there, the one element."""
    step, rest = place[0], place[1:]
    inner = _around(value[step], rest) if rest else None
    if isinstance(value, list):
        return inner
    others = {key: item for key, item in value.items() if key != step}
    return {**others, step: inner} if rest else others
