"""What others send, as every store can keep it: text that UTF-8 can encode, numbers within bounds.

JSON may write half of a surrogate pair (``"\\ud800"``) and NUL. Criteria and payloads are kept as JSON in ASCII, so
they are compared as they came. Names, ids and errors are text: there a sign takes the place of what can't be kept.
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
    """A text in the database that isn't UTF-8, as far as it can be read: no bridge wrote it."""

    __slots__ = ()


_SURROGATES = re.compile("[\ud800-\udfff]")


def text(value: str) -> str:
    """The text, with the replacement character for each half of a surrogate pair."""
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return _SURROGATES.sub("\ufffd", value)
    return value


def stored(found: bytes) -> str:
    """A text as the database has it; `Foreign` if it isn't UTF-8, so that it spoils only its own row, and no page."""
    try:
        return found.decode()
    except UnicodeDecodeError:
        return Foreign(found.decode(errors="replace"))


def text_without_nul(value: str) -> str:
    """The same, with a sign for each NUL, which PostgreSQL doesn't take."""
    return text(value.replace("\0", "\u2400") if "\0" in value else value)


def number(value: int, largest: int = LARGEST_LONG) -> int:
    """The number, or the bound that it is beyond: 0 or `largest`."""
    return min(max(value, 0), largest)


def task(found: Task) -> Task:
    """The task as it is read again from any store, so that whoever remembers it means the same."""
    if _is_storable(found):
        return found
    return replace(
        found,
        id=text_without_nul(found.id),
        workflow_id=text_without_nul(found.workflow_id),
        workflow=text_without_nul(found.workflow),
        reference_name=text_without_nul(found.reference_name),
        domain=None if found.domain is None else text_without_nul(found.domain),
        broken=None if found.broken is None else text_without_nul(found.broken),
        scheduled_at=number(found.scheduled_at),
        response_timeout=number(found.response_timeout, LARGEST_INT),
    )


def _is_storable(found: Task) -> bool:
    """Whether it is as nearly all are."""
    texts = found.id + found.workflow_id + found.workflow + found.reference_name
    return (
        texts.isascii()
        and "\0" not in texts
        and found.domain is None
        and found.broken is None
        and 0 <= found.scheduled_at <= LARGEST_LONG
        and 0 <= found.response_timeout <= LARGEST_INT
    )
