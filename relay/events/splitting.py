"""Makes several events of one delivery: each element of an array is one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from config.webhooks import Webhook
from criteria.evaluator import TooCostly
from criteria.jsonpath import Place, places
from platforms.base import Platform
from platforms.bodies import Body, MalformedBody
from relay.events.decoding import Decoder, decoding_of
from relay.events.payload import CONDUCTOR_PAYLOAD, dump

_LARGEST = 10_000
"""Characters of what is around an array, as JSON: every one of its elements gets it."""
_MOST_READ = 4_000_000
"""Characters that are read of what is around arrays and is left out: it may be as much for each of
very many."""
_MOST_OF_SAMPLE = 100


class Part(NamedTuple):
    """What becomes one event."""

    body: Body
    is_element: bool = False
    """Whether it is one of several; otherwise it is the whole delivery."""
    of_top: bool = False
    """Whether it is an element of the top-level array."""
    enclosing: Mapping[str, Any] | None = None
    """What is around the array that it is in, without the array; None if that is large, or too much
    that is large was read before."""


def parts_of(body: Body, split: bool | str, most: int) -> Sequence[Part]:
    """The first `most` elements of the array that `split` leads to, in order; the whole body if
    there is no array.

    Raises MalformedBody if it takes too long to find that out.

    `split` is true for the top-level array, which also a platform's own batch is, or a JSONPath
    into the payload.
    """
    if not split and not body.batch:  # the hot path
        return (Part(body),)
    return list(islice(_parts(body, split), most))


def _parts(body: Body, split: bool | str) -> Iterator[Part]:
    is_split = isinstance(body.value, list) and (split is True or body.batch)
    for part in (
        (Part(Body(element), True, True) for element in body.value) if is_split else (Part(body),)
    ):
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
    left = _MOST_READ
    for place, array in arrays:
        enclosing = None
        if array and left > 0:
            around = _without(payload, place)
            length = len(dump(around))
            if length <= _LARGEST:
                enclosing = around
            else:
                left -= length
        for element in array:
            yield Part(Body(element), True, False, enclosing)


def _without(value: Any, place: Place) -> Any:
    """The value without what is at the place; of the arrays on the way there, the one element."""
    step, rest = place[0], place[1:]
    inner = _without(value[step], rest) if rest else None
    if isinstance(value, list):
        return inner
    others = {key: item for key, item in value.items() if key != step}
    return {**others, step: inner} if rest else others


def shaped(webhook: Webhook, platform: Platform, body: Body) -> Sequence[Body]:
    """What the webhook's `decode` and `split` make of the body: one for each event, of which there
    may be few."""
    decoded = Decoder(decoding_of(webhook, platform), CONDUCTOR_PAYLOAD).decode(body)
    return [part.body for part in parts_of(decoded, webhook.split, _MOST_OF_SAMPLE)]
