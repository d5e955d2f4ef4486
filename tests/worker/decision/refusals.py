"""Makes single items fail while events are decided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

from store.errors import Unstorable
from store.records import Decision, Event
from tests.worker.decision.decider_bench import Bench
from tests.worker.decision.decider_bench import bench as bench


@contextmanager
def poison(*event_ids: str, error: type[BaseException] = RuntimeError) -> Iterator[None]:
    """The payload of these events can't be read in a way that nobody foresaw."""
    document = Event.document

    def poisoned(event: Event, metadata: bool = True) -> dict[str, Any]:
        if event.id in event_ids:
            raise error("poison")
        return document(event, metadata)

    with mock.patch.object(Event, "document", poisoned):
        yield


@contextmanager
def refusing(bench: Bench, *event_ids: str) -> Iterator[list[int]]:
    """The store refuses what is decided of these events; the sizes of the batches that it was
    given."""
    decide_, sizes = bench.store.decisions.decide, list[int]()

    def refuse(
        holder: str, decisions: Sequence[Decision], expired: Sequence[str], *more: Any
    ) -> Any:
        sizes.append(len(decisions) + len(expired))
        if {*expired, *(decision.event_id for decision in decisions)} & set(event_ids):
            raise Unstorable("too large")
        return decide_(holder, decisions, expired, *more)

    with mock.patch.object(bench.store.decisions, "decide", refuse):
        yield sizes


def aside(bench: Bench) -> list[tuple[str, str, int]]:
    return [(item.kind, item.id, item.tries) for item in bench.store.quarantine.items()]


def hold(bench: Bench) -> str:
    """An event that is held, and whose workflow runs since before it."""
    event = bench.arrive()
    bench.decide()
    assert bench.event(event).hold == "held"
    return event
