"""The columns of a record, each with how its values are read.

SQLite stores any value in any column, and another program may have written anything. A value that
can't be read affects only its own row, not those read with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Read = Callable[[Any], Any]
"""Returns what a column's value stands for. Raises Unreadable."""

NOT_PLAIN = "its row in the store can't be read: a value is not UTF-8 text, or not a number"


class Unreadable(Exception):
    """A value that can't be read; the text says why, for people."""

    def __init__(self, why: str, instead: object):
        super().__init__(why)
        self.instead = instead
        """What the record has instead."""


class Columns:
    """The columns of a record, in the order of a select list."""

    def __init__(self, **readers: Read):
        """column → how its values are read."""
        self.names = ", ".join(readers)
        """For a select list."""
        self._readers = readers

    def with_instead(self, instead: Mapping[str, str]) -> str:
        """A select list that has other SQL instead of some columns."""
        return ", ".join(instead.get(name, name) for name in self._readers)

    def places(self, *names: str) -> list[int]:
        """The places of these columns in a row."""
        return list(map(list(self._readers).index, names))

    def read(self, row: Sequence[Any]) -> tuple[dict[str, Any], str | None]:
        """column → what it says, and why the row can't be read; None if it can."""
        values: dict[str, Any] = {}
        why = None
        for (name, read), value in zip(self._readers.items(), row, strict=True):
            try:
                values[name] = read(value)
            except Unreadable as error:
                values[name], why = error.instead, str(error)
        return values, why

    def for_people(self, row: Sequence[Any]) -> dict[str, Any]:
        """column → what it says, or what is shown instead of a value that can't be read."""
        return self.read(row)[0]


def text(value: Any) -> str | None:
    """Text that every store can keep, or None."""
    if value is None or type(value) is str:  # not `Foreign`
        return value
    raise Unreadable(NOT_PLAIN, str(value))


def number(value: Any) -> int | None:
    """A whole number, or None."""
    if value is None or isinstance(value, int):
        return value
    raise Unreadable(NOT_PLAIN, 0)


def word_of(name: str, words: Sequence[str], instead: str) -> Read:
    """One of these words; `name` is what people call the column."""

    def read(value: Any) -> Any:
        if value in words:
            return value
        raise Unreadable(f"its {name} in the store can't be read: {value}", instead)

    return read


def parsed(what: str, parse: Read, instead: Read = lambda _: None) -> Read:
    """A text that `parse` reads, which raises TypeError or ValueError; `what` is what people call
    it. `instead` makes of a text that can't be read what the record has instead."""

    def read(value: Any) -> Any:
        if type(value) is not str:
            raise Unreadable(NOT_PLAIN, instead(value))
        try:
            return parse(value)
        except (TypeError, ValueError) as error:
            raise Unreadable(f"{what} can't be read: {error}", instead(value)) from None

    return read


def json_of(name: str, instead: Read) -> Read:
    """A JSON text; `name` is what people call the column."""
    return parsed(f"its {name} in the store", json.loads, instead)


def object_of(name: str) -> Read:
    """A JSON object, or None."""
    return optional(parsed(f"its {name} in the store", lambda text: dict(json.loads(text))))


def optional(read: Read) -> Read:
    """The same, or None."""
    return lambda value: None if value is None else read(value)
