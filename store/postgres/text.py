"""Puts text into a form that PostgreSQL accepts."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.adapt import Buffer
from psycopg.types.string import StrBinaryDumper, StrDumperUnknown

from store import storable


class _Text(StrDumperUnknown):
    """The entrance to the store: text in a form that PostgreSQL accepts."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(storable.text_without_nul(obj))


class _TextBinary(StrBinaryDumper):
    """The same in binary."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(storable.text_without_nul(obj))


def take_any_text(connection: psycopg.Connection[Any]) -> None:
    """Lets the connection store any text, with a replacement for what PostgreSQL can't keep."""
    connection.adapters.register_dumper(str, _TextBinary)
    connection.adapters.register_dumper(str, _Text)
