"""New targets, many in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from store import rows
from store.postgres.connections import Connection, Statement
from store.records import Target

_NEW_TARGET_ARRAYS = (
    "%b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::int[], %b::text[], %b::text[],"
    " %b::int[], %b::text[], %b::bigint[], %b::bigint[], %b::bigint[], %b::text[], %b::text[],"
    " %b::text[]"
)
_NEW_TARGETS = (
    f"INSERT INTO bridge.targets ({rows.NEW_TARGET}, webhook) SELECT {rows.NEW_TARGET},"
    " (SELECT e.webhook FROM bridge.events e WHERE e.id = event_id)"
    f" FROM unnest({_NEW_TARGET_ARRAYS}) WITH ORDINALITY AS new ({rows.NEW_TARGET}, number)"
    f" ORDER BY number {{}}RETURNING {rows.TARGET}"
)


def new_targets(new_rows: Sequence[tuple[Any, ...]], or_ignore: bool = False) -> Statement:
    """The statement that inserts them; with `or_ignore`, skips those whose task another event has taken."""
    return _NEW_TARGETS.format("ON CONFLICT DO NOTHING " if or_ignore else ""), columns(new_rows)


def columns(of_rows: Sequence[tuple[Any, ...]]) -> tuple[list[Any], ...]:
    """A list per column, as ``unnest`` expects them."""
    return tuple(map(list, zip(*of_rows, strict=True)))


def take_free(connection: Connection, targets: Sequence[Target]) -> None:
    """Makes each target the holder of its key, if the key is free; of several targets, the first."""
    keys: dict[str, int] = {}
    for target in targets:
        if target.once_key is not None:
            keys.setdefault(target.once_key, target.id)
    if keys:
        ordered = sorted(keys)
        connection.write(
            "INSERT INTO bridge.onces (key, target_id) SELECT * FROM unnest(%b::text[], %b::bigint[])"
            " ON CONFLICT (key) DO NOTHING",
            (ordered, [keys[key] for key in ordered]),
        )
