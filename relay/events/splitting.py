"""Makes several events of one delivery: each element of an array is one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from config.webhooks import Webhook
from criteria.evaluator import TooCostly
from criteria.jsonpath import Place, places
from platforms.base import Platform
from platforms.bodies import Body, MalformedBody
from relay.events.decoding import decoded
from relay.events.payload import dump

_LARGEST = 10_000
"""Characters of what is around an array, as JSON: every one of its elements gets it."""
_MOST_OF_SAMPLE = 100
_END = object()


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

    Raises MalformedBody if it takes too long to find that out.

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
    try:
        found = places(payload, path)
    except TooCostly:
        raise MalformedBody("the delivery is too large for the path of `split`") from None
    arrays = [(place, array) for place, array in found if place and isinstance(array, list)]
    if not arrays:
        yield part
    enclosing_of = _Enclosing(payload)
    for place, array in arrays:
        enclosing = enclosing_of.at(place) if array else None
        for element in array:
            yield Part(Body(element), True, False, enclosing)


class _Enclosing:
    """What is around the arrays of one payload."""

    def __init__(self, payload: Any):
        self._payload = payload
        self._larger: dict[tuple[int, str | int], bool] = {}
        """(an object on the way to arrays, its member on that way) → whether the others alone are too large."""

    def at(self, place: Place) -> dict[str, Any] | None:
        """None if it is large, which is found out without reading much of it for each array."""
        value = self._payload
        for step in place:
            if isinstance(value, dict):
                key = (id(value), step)
                if key not in self._larger:
                    self._larger[key] = _is_larger(item for name, item in value.items() if name != step)
                if self._larger[key]:
                    return None
            value = value[step]
        enclosing: dict[str, Any] = _without(self._payload, place)
        return enclosing if len(dump(enclosing)) <= _LARGEST else None


def _is_larger(values: Iterable[Any]) -> bool:
    """Whether the values certainly come to more than `_LARGEST` characters; looks at no more of them than that."""
    length, stack = 0, [iter(values)]
    while stack:
        value = next(stack[-1], _END)
        if value is _END:
            stack.pop()
            continue
        length += 1 + (len(value) if isinstance(value, (str, list, dict)) else 0)
        if length > _LARGEST:
            return True
        if isinstance(value, dict):
            length += sum(map(len, value))
            stack.append(iter(value.values()))
        elif isinstance(value, list):
            stack.append(iter(value))
    return False


def _without(value: Any, place: Place) -> Any:
    """The value without what is at the place; of the arrays on the way there, the one element."""
    step, rest = place[0], place[1:]
    inner = _without(value[step], rest) if rest else None
    if isinstance(value, list):
        return inner
    others = {key: item for key, item in value.items() if key != step}
    return {**others, step: inner} if rest else others


def shaped(webhook: Webhook, platform: Platform, body: Body) -> Sequence[Body]:
    """What the webhook's `decode` and `split` make of the body: one for each event, of which there may be few."""
    return [part.body for part in parts_of(decoded(webhook, platform, body), webhook.split, _MOST_OF_SAMPLE)]
