"""Items that can't be read are tried again, each at its own times."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest

from store.sqlite import SqliteStore, open_store
from tests.support.clock import Clock
from worker.discovery.suspects import SHOWN_AFTER, Kind, Suspect, Suspects


class Bench:
    """Suspects, a clock, and tries that are as many seconds apart as there were failures."""

    def __init__(self, store: SqliteStore) -> None:
        self.clock = Clock()
        self.all = Suspects(self.clock)
        self.store = store

    def shown(self) -> list[tuple[str, int]]:
        self.all.show(self.store)
        return [(item.id, item.tries) for item in self.store.quarantine.items()]

    def failed(self, kind: Kind, id_: str, reason: str, at: float) -> None:
        self.clock.seconds = at
        with mock.patch("worker.discovery.suspects.wait_before", lambda tries, _: float(tries)):
            self.all.failed(kind, id_, reason)

    def due(self, at: float, limit: int) -> list[Suspect]:
        self.clock.seconds = at
        return self.all.due(limit)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    store = open_store(f"sqlite:///{tmp_path}/bridge.db")
    return Bench(store)


def test_people_are_shown_what_goes_on_failing_until_it_can_be_read(bench: Bench) -> None:
    for number in range(SHOWN_AFTER - 1):
        bench.failed("task", "t1", "500", number)
    assert bench.shown() == []
    bench.failed("task", "t1", "500", 10)
    assert bench.shown() == [("t1", SHOWN_AFTER)]
    bench.failed("task", "t1", "500", 20)
    assert bench.shown() == [("t1", SHOWN_AFTER + 1)]
    bench.all.read("task", ["t1"])
    assert bench.shown() == []


def test_of_each_workflow_it_is_told_when_the_first_item_was_shown(bench: Bench) -> None:
    for at, id_, workflow in ((0.0, "t1", "flow"), (5.0, "t2", "flow"), (7.0, "t3", "other")):
        bench.clock.seconds = at
        bench.all.failed("task", id_, "500", workflow)
    bench.all.failed("workflow", "w1", "500", "another")
    bench.clock.seconds = 10.0
    assert bench.all.first_shown(["task"]) == {"flow": 10.0, "other": 3.0}
    bench.all.failed("task", "t1", "500", "flow")
    bench.all.read("task", ["t3"])
    assert bench.all.first_shown(["task", "workflow"]) == {"flow": 10.0, "another": 3.0}


def test_those_that_have_waited_longest_come_first_and_only_so_many(bench: Bench) -> None:
    for number, at in enumerate([5, 3, 4]):
        bench.failed("workflow", f"w{number}", "500", at)
    assert [item.id for item in bench.due(100, 2)] == ["w1", "w2"]
