"""Moves everything in one store to another, table by table in small steps, and then compares.

Each step and the record of its progress are one transaction in the receiving store, so that a
transfer can be interrupted at any moment and resumed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from store.records import Term
from store.sql.maintenance import TRANSFER, Row, Table, Tables
from store.sql.store import Store

_STEP = 2000
_TERM_SECONDS = 60.0
"""Seconds after each step during which nobody may decide."""
_HOLDER = "migrate-store"


TABLES = (
    Table("events", ("seq",), large="payload"),
    Table("tasks", ("id",)),
    Table("targets", ("id",)),
    Table("shapes", ("id",)),
    Table("event_keys", ("shape", "key", "at", "seq")),
    Table("receivers", ("webhook", "workflow")),
    Table("conversations", ("workflow_id",)),
    Table("workflows", ("id",)),
    Table("onces", ("key",)),
    Table("paces", ("webhook",)),
    Table("pauses", ("webhook",)),
    Table("quarantine", ("kind", "id")),
    Table("effects", ("kind",)),
    Table("verifications", ("webhook",)),
    Table("without_events", ("id",)),
    Table("raw_deliveries", ("id",), large="body"),
    Table("answers", ("event_id",), large="body"),
    Table("near_misses", ("event_id",)),
    Table("delivery_counts", ("webhook", "hour", "outcome")),
    Table("changes", ("id",)),
    Table("kept_definitions", ("file",)),
    Table("sessions_over", ("id",)),
    Table("hidden_paths", ("webhook",)),
    Table("facts", ("name",)),
)
"""What is moved, in this order. Leadership and counts are each store's own."""


class CantTransfer(Exception):
    """The transfer can't be made; the text says why, and what to do."""


@dataclass(frozen=True)
class Progress:
    """Receives the progress."""

    table: str
    done: int
    total: int


Say = Callable[[Progress], None]


def transfer(source: Store, to: Store, name: str, say: Say) -> dict[str, int]:
    """Moves everything, or the rest after an interruption; returns table → number of rows.

    `name` identifies the source. Raises CantTransfer, StoreUnavailable.
    """
    note = _note_of(to, name)
    terms: list[tuple[Store, Term]] = []
    try:
        terms.append((source, _elect(source, "the store to move from")))
        terms.append((to, _elect(to, "the store to move to")))
        tables = [to.tables.with_columns(table) for table in TABLES]
        at = [table.name for table in tables].index(note["table"])
        for table in tables[at:]:
            after = (
                tuple(note["after"])
                if note["table"] == table.name and note["after"] is not None
                else None
            )
            _move(source, to, table, after, name, say, terms)
        totals = {table.name: _compared(source.tables, to.tables, table, say) for table in tables}
        to.tables.finish()
        return totals
    finally:
        for store, term in terms:
            store.leadership.resign(term)


def _note_of(to: Store, name: str) -> dict[str, Any]:
    """How far an earlier transfer got."""
    text = to.tables.note()
    if text is None:
        full = [table.name for table in TABLES[:3] if to.tables.count(table)]
        if full:
            raise CantTransfer(
                f"the store to move to isn't empty: it has {', '.join(full)}; give it an empty one"
            )
        return {"table": TABLES[0].name, "after": None}
    note: dict[str, Any] = json.loads(text)
    if note["from"] != name:
        raise CantTransfer(
            "a transfer from another store into this one was begun; finish that one, or give it an"
            " empty store"
        )
    return note


def _elect(store: Store, which: str) -> Term:
    """Keeps workers from deciding meanwhile. Raises CantTransfer if one does."""
    leader = store.leadership.leader()
    term = store.leadership.elect(_HOLDER, _TERM_SECONDS)
    if term is None:
        worker = f" ({leader[0]})" if leader else ""
        raise CantTransfer(
            f"a worker{worker} runs on {which}; stop relays and workers on both, and wait six"
            " seconds after a kill"
        )
    return term


def _move(
    source: Store,
    to: Store,
    table: Table,
    after: Row | None,
    name: str,
    say: Say,
    terms: list[tuple[Store, Term]],
) -> None:
    total, done = source.tables.count(table), to.tables.count(table)
    while True:
        for store, term in terms:
            if not store.leadership.renew(term, _TERM_SECONDS):
                raise CantTransfer(
                    "a worker was started meanwhile; stop it, and run this command again"
                )
        rows = source.tables.read(table, after, _STEP)
        if not rows:
            return
        after = rows[-1][: len(table.key)]
        note = json.dumps({"from": name, "table": table.name, "after": after})
        to.tables.write(
            table, [row for row in rows if row[0] != TRANSFER or table.name != "facts"], note
        )
        done += len(rows)
        say(Progress(table.name, min(done, total), total))


def _compared(source: Tables, to: Tables, table: Table, say: Say) -> int:
    """The number of rows. Raises CantTransfer unless it, and a checksum of the contents, are the
    same on both sides."""
    (number, before), (moved, after) = _sum(source, table), _sum(to, table)
    if (number, before) != (moved, after):
        raise CantTransfer(
            f"{table.name} differ after the transfer: {number} rows and {moved}; did a relay or"
            " worker run meanwhile? Stop them, give it an empty store, and start again"
        )
    say(Progress(f"{table.name}, compared", number, number))
    return number


def _sum(rows: Tables, table: Table) -> tuple[int, int]:
    """The number of rows, and a checksum of their contents that doesn't depend on their order."""
    number = total = 0
    for row in _all(rows, table):
        if table.name == "facts" and row[0] == TRANSFER:
            continue
        number += 1
        # PostgreSQL has a replacement for NUL, which it doesn't accept.
        text = json.dumps(row).replace("\\u0000", "\\u2400")
        total += int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
    return number, total % 2**64


def _all(rows: Tables, table: Table) -> Iterator[Row]:
    after: Row | None = None
    while page := rows.read(table, after, _STEP):
        yield from page
        after = page[-1][: len(table.key)]
