"""Puts text into a form that PostgreSQL accepts, and columns of many rows into arrays."""

from __future__ import annotations

import struct
from typing import Any

import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format
from psycopg.types.string import StrBinaryDumper, StrDumperUnknown

from store.sql import storable

_TEXT, _TEXTS = 25, 1009
_LONG, _LONGS = 20, 1016
"""Numbers that PostgreSQL has for types, which never change."""
_HEAD = struct.Struct("!iiIii").pack
"""Of an array: dimensions, whether it has NULLs, the elements' type, their number, and the first
one's."""
_LENGTH = struct.Struct("!i").pack
_NUMBER = struct.Struct("!iq").pack
_NULL = _LENGTH(-1)
_SPECIAL = '\0\\"'
"""Characters that mean something in an array's text, or can't be there."""


class Texts(list[str | None]):
    """A column of text, sent as an array. Of a plain list psycopg looks at each element's type,
    which takes three times as long."""


class Longs(list[int | None]):
    """A column of BIGINT."""


class _Text(StrDumperUnknown):
    """The entrance to the store: text in a form that PostgreSQL accepts."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(storable.text_without_nul(obj))


class _TextBinary(StrBinaryDumper):
    """The same in binary."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(storable.text_without_nul(obj))


class _TextsDumper(Dumper):
    format = Format.BINARY
    oid = _TEXTS

    def dump(self, obj: Texts) -> Buffer | None:
        data = [_head(_TEXT, obj)]
        for text in obj:
            if text is None:
                data.append(_NULL)
            else:
                encoded = storable.text_without_nul(text).encode()
                data += (_LENGTH(len(encoded)), encoded)
        return b"".join(data)


class _LongsDumper(Dumper):
    format = Format.BINARY
    oid = _LONGS

    def dump(self, obj: Longs) -> Buffer | None:
        try:
            data = [_NULL if number is None else _NUMBER(8, number) for number in obj]
        except struct.error as error:
            raise psycopg.DataError(f"a number is out of range: {error}") from error
        return b"".join([_head(_LONG, obj), *data])


class _TextsLiteralDumper(Dumper):
    """As part of a statement's own text."""

    oid = _TEXTS

    def dump(self, obj: Texts) -> Buffer | None:
        together = "".join(filter(None, obj))
        # Nearly always: to look at each takes three times as long.
        is_plain = together.isascii() and not any(character in together for character in _SPECIAL)
        quoted = _plainly if is_plain else _escaped
        return (
            f"{{{','.join(['NULL' if text is None else quoted(text) for text in obj])}}}".encode()
        )


class _LongsLiteralDumper(Dumper):
    """As part of a statement's own text."""

    oid = _LONGS

    def dump(self, obj: Longs) -> Buffer | None:
        return f"{{{','.join(['NULL' if number is None else str(number) for number in obj])}}}".encode()


def _plainly(text: str) -> str:
    return f'"{text}"'


def _escaped(text: str) -> str:
    return _plainly(storable.text_without_nul(text).replace("\\", "\\\\").replace('"', '\\"'))


def _head(kind: int, elements: list[Any]) -> bytes:
    return _HEAD(1, None in elements, kind, len(elements), 1)


def take_any_text(connection: psycopg.Connection[Any]) -> None:
    """Lets the connection store any text, with a replacement for what PostgreSQL can't keep."""
    connection.adapters.register_dumper(str, _TextBinary)
    connection.adapters.register_dumper(str, _Text)
    for literal, binary, column in (
        (_TextsLiteralDumper, _TextsDumper, Texts),
        (_LongsLiteralDumper, _LongsDumper, Longs),
    ):
        connection.adapters.register_dumper(column, literal)
        connection.adapters.register_dumper(column, binary)  # the last one, so it is preferred
