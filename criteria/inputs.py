"""What a started workflow gets if its entry of `starts` has an `input`: constants, and JSONPaths
into the payload that stand for what they select.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from criteria.document import Document, Payload
from criteria.jsonpath import BadPath, compile_path, selects_one

MAX_LENGTH = 20_000
"""Characters of an input as JSON: it is kept with each start."""

Where = tuple[str | int, ...]
Fault = tuple[Where, str]
"""The keys that lead to what is wrong, and ``what is wrong; remedy``."""


class InputTooLarge(ValueError):
    """The input is larger than it may be."""


def is_path(text: str) -> bool:
    """Whether the text stands for what it selects. ``$$5`` is the text $5, and ``${x}`` means
    nothing here."""
    return text == "$" or text.startswith(("$.", "$["))


def find_faults(written: object) -> Iterator[Fault]:
    """Everything that is wrong with an `input`."""
    if not isinstance(written, dict):
        yield (), "not a mapping; write one such as {order: $.data.id, source: web}"
        return
    faults = list(_faults(written, ()))
    yield from faults
    if not faults and len(json.dumps(written)) > MAX_LENGTH:
        yield (), f"longer than {MAX_LENGTH} characters; keep long constants in the workflow"


def _faults(value: object, where: Where) -> Iterator[Fault]:
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str):
                yield from _faults(item, (*where, key))
            else:
                yield (*where, str(key)), "a key that isn't text; put it in quotes"
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _faults(item, (*where, number))
    elif isinstance(value, str):
        yield from ((where, problem) for problem in _faults_of_text(value))


def _faults_of_text(text: str) -> Iterator[str]:
    if is_path(text):
        try:
            compile_path(text)
        except BadPath as error:
            yield f"{error}; write one such as $.data.id, or $${text[1:9]}… for the text itself"
    elif text.startswith("$") and not text.startswith(("$$", "${")):
        yield (
            f"{text[:40]!r} is no JSONPath, which begins with $.; write $${text[1:40]} for the text"
            " itself"
        )


ValueAt = Callable[[str], Any]
"""JSONPath → what it stands for."""


def value_at(path: str, payload: Payload) -> Any:
    """What the path stands for: the value that it selects, None if there is none; a list if it may
    select several."""
    selected = Document.of(payload).found(path)
    found = [None if isinstance(one, float) and not math.isfinite(one) else one for one in selected]
    if selects_one(path):
        return found[0] if found else None
    return found


def filled(written: Any, value_of: ValueAt, most: int) -> str:
    """The input as JSON text: `written`, with each path replaced. Raises InputTooLarge beyond
    `most` characters."""
    texts: dict[str, str] = {}
    left = most

    def text_of(value: Any) -> str:
        nonlocal left
        if isinstance(value, dict):
            return (
                "{"
                + ",".join([f"{json.dumps(key)}:{text_of(item)}" for key, item in value.items()])
                + "}"
            )
        if isinstance(value, list):
            return "[" + ",".join(map(text_of, value)) + "]"
        if isinstance(value, str) and is_path(value):
            if value not in texts:
                texts[value] = text_of_found(value_of(value), left)
            text = texts[value]
        else:
            text = json.dumps(
                value[1:] if isinstance(value, str) and value.startswith("$$") else value
            )
        left -= len(text)
        if left < 0:
            raise InputTooLarge(f"the input would have more than {most} characters")
        return text

    return text_of(written)


_as_json = partial(json.dumps, separators=(",", ":"))


def text_of_found(found: Any, most: int, as_json: Callable[[Any], str] = _as_json) -> str:
    """The value as JSON text; a list's no further than it takes to have more than `most`
    characters, as its values may be parts of each other."""
    if not isinstance(found, list):
        return as_json(found)
    parts: list[str] = []
    length = 0
    for one in found:
        parts.append(as_json(one))
        length += len(parts[-1]) + 1
        if length > most:
            break
    return "[" + ",".join(parts) + "]"
