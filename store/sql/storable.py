"""Input in a form that every store can keep: text that UTF-8 can encode, numbers within bounds.

JSON may contain lone surrogates (``"\\ud800"``) and NUL. Criteria and payloads are kept as JSON in ASCII, so they are
compared as received. Names, ids and errors are text, in which a replacement character stands for what can't be kept.
"""

from __future__ import annotations

import re
from dataclasses import replace

from store.records import Task

LARGEST_INT = 2**31 - 1
"""PostgreSQL's INTEGER, and Java's."""
LARGEST_LONG = 2**63 - 1
"""PostgreSQL's BIGINT, SQLite's INTEGER and Java's long."""


class Foreign(str):
    """Text in the database that isn't UTF-8, decoded as far as possible: no bridge wrote it."""

    __slots__ = ()


_SURROGATES = re.compile("[\ud800-\udfff]")


def text(value: str) -> str:
    """The text, with the replacement character for each lone surrogate."""
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return _SURROGATES.sub("\ufffd", value)
    return value


def stored(found: bytes) -> str:
    """Text from the database; `Foreign` if it isn't UTF-8, so that it affects only its own row, not
    a whole page."""
    try:
        return found.decode()
    except UnicodeDecodeError:
        return Foreign(found.decode(errors="replace"))


def text_without_nul(value: str) -> str:
    """The same, with a replacement for each NUL, which PostgreSQL doesn't accept."""
    return text(value.replace("\0", "\u2400") if "\0" in value else value)


def number(value: int, largest: int = LARGEST_LONG) -> int:
    """The number, limited to the range from 0 to `largest`."""
    return min(max(value, 0), largest)


def task(found: Task) -> Task:
    """The task as any store would return it, so that in-memory copies are the same."""
    return replace(
        found,
        id=text_without_nul(found.id),
        workflow_id=text_without_nul(found.workflow_id),
        workflow=text_without_nul(found.workflow),
        reference_name=text_without_nul(found.reference_name),
        domain=None if found.domain is None else text_without_nul(found.domain),
        broken=None if found.broken is None else text_without_nul(found.broken),
        scheduled_at=number(found.scheduled_at),
        shown_at=number(found.shown_at),
        response_timeout=number(found.response_timeout, LARGEST_INT),
        iteration=None if found.iteration is None else number(found.iteration, LARGEST_INT),
    )
