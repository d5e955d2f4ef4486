"""Rows that can't be read, or hold what no bridge wrote: one is set aside, and the others are
decided."""

from __future__ import annotations

from unittest import mock

import pytest

from store.sql.event_search import EventFilter
from tests.worker.decision.decider_bench import Bench
from tests.worker.decision.decider_bench import bench as bench
from tests.worker.decision.refusals import aside, hold
from worker.decision import decider as decide

FOREIGN = [
    "headers = '{'",
    "query = '{'",
    "headers = CAST(x'7bff7d' AS TEXT)",
    "payload = CAST(x'7bff7d' AS TEXT)",
    "query = x'ff'",
    "received_at = 'soon'",
    "hold_until = x'ff'",
    "settled_at = 'soon'",
]
"""What another program might have written: SQLite takes it for a text."""


@pytest.mark.parametrize("column", FOREIGN)
@pytest.mark.parametrize("undecided", [True, False])
def test_an_event_in_whose_row_is_what_no_bridge_wrote_is_set_aside_and_the_others_are_decided(
    bench: Bench, column: str, undecided: bool
) -> None:
    sick = bench.arrive() if undecided else hold(bench)
    garble(bench, f"UPDATE events SET {column} WHERE id = ?", sick)
    well = bench.arrive()
    bench.restart()
    bench.decide()
    assert bench.event(well).hold == "held"
    assert aside(bench) == [("event", sick, 1)]
    assert "can't be read" in bench.store.quarantine.items()[0].reason
    assert len(bench.store.queries.events(EventFilter())) == 2


FOREIGN_TASK = [
    "matches = CAST(x'7bff7d' AS TEXT)",
    "matches = x'ff'",
    "matches = 'nonsense'",
    "id = CAST(id || x'ff' AS TEXT)",
    "workflow = CAST(x'ff' AS TEXT)",
    "scheduled_at = 'soon'",
    "response_timeout = x'ff'",
]


@pytest.mark.parametrize("column", FOREIGN_TASK)
def test_a_task_in_whose_row_is_what_no_bridge_wrote_is_broken_and_the_others_wait(
    bench: Bench, column: str
) -> None:
    sick, well = bench.wait(), bench.wait()
    bench.decide()
    garble(bench, f"UPDATE tasks SET {column} WHERE id = ?", sick.id)
    with mock.patch.object(decide, "_PAGE", 2):
        bench.restart()
    event = bench.arrive()
    bench.decide()
    assert bench.takers(event) == [well.id]
    assert len(bench.store.queries.waiting_tasks()) == 1


def garble(bench: Bench, sql: str, id_: str) -> None:
    with bench.store._connections.transaction() as db:
        db.execute(sql, (id_,))
