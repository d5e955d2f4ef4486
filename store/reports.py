"""What the processes report about themselves and about Conductor, for each other and for people.

Each field is a row of the table ``facts``, which an older or newer program may read or write
during an upgrade: what this one can't read counts as not reported.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

GONE = "webhook_gone:"
"""Begins the names of rows that report that a webhook is gone from the definitions."""
GONE_FOR = 24 * 3_600_000
"""Milliseconds for which it is reported that a webhook is gone from the definitions."""
_CONDUCTOR = "conductor"


@dataclass(frozen=True)
class Misfit:
    """Something in the definitions that doesn't fit Conductor's workflows, however many webhooks
    it is about."""

    what: str
    remedy: str
    webhooks: tuple[str, ...]
    """The first few of them."""
    number: int
    """How many there are."""

    def __str__(self) -> str:
        if not self.webhooks:
            return f"{self.what}: {self.remedy}"
        names = ", ".join(self.webhooks)
        unnamed = self.number - len(self.webhooks)
        if unnamed > 0:
            names += f" and {unnamed} more"
        return f"{self.what}; {self.remedy} ({names})"


def _misfits_in(text: str) -> tuple[Misfit, ...]:
    return tuple(
        Misfit(one["what"], one["remedy"], tuple(one["webhooks"]), one["number"])
        for one in json.loads(text)
    )


def _text_of(values: Sequence[object]) -> str:
    return json.dumps(values) if values else ""


@dataclass(frozen=True)
class _Row:
    """The row that keeps a field."""

    name: str
    read: Callable[[str], object]
    """Raises ValueError, TypeError or LookupError."""
    write: Callable[[Any], str]
    """An empty text deletes the row."""


def _row(name: str, read: Callable[[str], object] = str, write: Callable[[Any], str] = str) -> Any:
    return field(default=None, metadata={"row": _Row(name, read, write)})


@dataclass(frozen=True)
class Reports:
    """None: not reported. An empty text or list: there is nothing to report, and the row is
    deleted."""

    conductor: str | None = _row(_CONDUCTOR)
    """``up``, or why Conductor can't be used."""
    conductor_at: int | None = None
    """When `conductor` was written, in Unix milliseconds. Only read."""
    clock_offset: int | None = _row("conductor_clock_offset", int)
    """Milliseconds that Conductor's clock is ahead of ours."""
    missing_calls: str | None = _row("conductor_lacks")
    """Which calls Conductor lacks, or our key may not make."""
    right_server_at: int | None = _row("conductor_right_at", int)
    """When Conductor was last seen to be the server whose tasks wait here, in Unix milliseconds."""
    another_server: str | None = _row("another_server")
    """Which tasks Conductor doesn't know while it knows none that tell the right server."""
    watermark: str | None = _row("watermark")
    """Up to when all tasks are known, as JSON (`worker.discovery.watermark.Known`)."""
    discovery: str | None = _row("discovery")
    """How waiting tasks that no queue hands out are found, and why no better way is used."""
    index_fails: str | None = _row("index_fails")
    """Which webhooks' events wait because the index can't be searched, and why it can't."""
    index_searched_to: int | None = _row("index_searched_to", int)
    """The server's time up to which the index was searched, in milliseconds."""
    index_searched_for: Collection[str] | None = _row(
        "index_searched_for",
        lambda text: frozenset(json.loads(text)),
        lambda names: _text_of(sorted(names)),
    )
    """The receivers for whose tasks the index was searched up to then."""
    unreconciled: str | None = _row("unreconciled")
    """``yes`` from when Conductor was away until all running workflows have been read."""
    found_by_index_alone_at: int | None = _row("tasks_by_index_alone", int)
    """When a task was last found by the index alone, in Unix milliseconds."""
    misfits: Sequence[Misfit] | None = _row(
        "workflow_problems",
        _misfits_in,
        lambda misfits: _text_of(list(map(asdict, misfits))),
    )
    """What in the definitions doesn't fit Conductor's workflows. The last one may say how many
    more there are."""
    relay_definitions_error: str | None = _row("definitions_error:relay")
    """What the relay found wrong with the definitions."""
    worker_definitions_error: str | None = _row("definitions_error:worker")
    """What the worker found wrong with the definitions."""
    notices: str | None = _row("notices")
    """What `worker.notify` remembers."""
    webhooks_gone: Mapping[str, int] = field(default_factory=dict)
    """Webhooks that are gone from the definitions → since when, in Unix milliseconds; for
    `GONE_FOR`. Only read."""

    @property
    def conductor_error(self) -> str | None:
        """Why Conductor can't be used; None if it can, or was never tried."""
        if self.conductor == "up":
            return None
        return self.conductor

    @property
    def definitions_errors(self) -> dict[str, str]:
        """Process → what it found wrong with the definitions."""
        found = {"relay": self.relay_definitions_error, "worker": self.worker_definitions_error}
        return {process: error for process, error in found.items() if error}

    def updated(self, news: Reports) -> Reports:
        """These reports with those fields of `news` that are reported."""
        return replace(self, **{name: value for name, _, value in _reported(news)})


def _reported(reports: Reports) -> Iterator[tuple[str, _Row, Any]]:
    """The name, the row and the value of each field that is reported."""
    for each in fields(reports):
        row = each.metadata.get("row")
        value = getattr(reports, each.name)
        if row is not None and value is not None:
            yield each.name, row, value


def rows_of(reports: Reports) -> dict[str, str]:
    """Row → its text; empty if the row is to be deleted."""
    return {row.name: row.write(value) for _, row, value in _reported(reports)}


def reports_in(rows: Sequence[tuple[Any, ...]]) -> Reports:
    """The reports in these rows: name, text, and when it was written. Unknown rows are ignored."""
    texts = {name: text for name, text, _ in rows}
    times = {name: at for name, _, at in rows}
    values: dict[str, Any] = {}
    for each in fields(Reports):
        row = each.metadata.get("row")
        if row is not None and row.name in texts:
            with suppress(ValueError, TypeError, LookupError):
                values[each.name] = row.read(texts[row.name])
    return Reports(
        **values,
        conductor_at=times.get(_CONDUCTOR),
        webhooks_gone={
            name.removeprefix(GONE): at for name, at in times.items() if name.startswith(GONE)
        },
    )


ROWS = [each.metadata["row"].name for each in fields(Reports) if "row" in each.metadata]
"""The names of all rows."""
