"""Items that can't be read are tried again, each at its own times."""

from __future__ import annotations

from unittest import mock

import pytest

from tests.worker.clock import Clock
from worker.discovery.suspects import SHOWN_AFTER, Kind, Suspect, Suspects


class Bench:
    """Suspects, a clock, and tries that are as many seconds apart as there were failures."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.all = Suspects(self.clock)

    def failed(self, kind: Kind, id_: str, reason: str, at: float) -> None:
        self.clock.seconds = at
        with mock.patch("worker.discovery.suspects.wait_before", float):
            self.all.failed(kind, id_, reason)

    def due(self, at: float, limit: int = 5) -> list[Suspect]:
        self.clock.seconds = at
        return self.all.due(limit)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_suspect_is_due_again_later_after_each_failure(bench: Bench) -> None:
    bench.failed("task", "t1", "500", 10)
    assert bench.due(10.9) == []
    assert bench.due(11) == [Suspect("task", "t1", "500", 10, 1, 11)]
    bench.failed("task", "t1", "403", 11)
    assert bench.due(13) == [Suspect("task", "t1", "403", 10, 2, 13)]


def test_those_that_have_waited_longest_come_first_and_only_so_many(bench: Bench) -> None:
    for number, at in enumerate([5, 3, 4]):
        bench.failed("workflow", f"w{number}", "500", at)
    assert [item.id for item in bench.due(100, 2)] == ["w1", "w2"]


def test_what_could_be_read_is_forgotten(bench: Bench) -> None:
    bench.failed("task", "t1", "500", 0)
    bench.failed("workflow", "t1", "500", 0)
    bench.all.read("task", ["t1", "t2"])
    assert ("task", "t1") not in bench.all
    assert ("workflow", "t1") in bench.all


def test_people_are_told_of_what_goes_on_failing_and_of_its_end(bench: Bench) -> None:
    for number in range(SHOWN_AFTER - 1):
        bench.failed("task", "t1", "500", number)
    assert bench.all.news() == ([], [])
    bench.failed("task", "t1", "500", 10)
    show, gone = bench.all.news()
    assert ([item.id for item in show], gone) == (["t1"], [])
    assert bench.all.news() == (show, gone), "until it is told"
    bench.all.told(show, gone)
    assert bench.all.news() == ([], [])
    bench.failed("task", "t1", "500", 20)
    assert [item.tries for item in bench.all.news()[0]] == [SHOWN_AFTER + 1]
    bench.all.read("task", ["t1"])
    assert bench.all.news() == ([], [("task", "t1")])
    bench.all.told([], [("task", "t1")])
    assert bench.all.news() == ([], [])


def test_what_the_worker_before_has_set_aside_is_tried_at_once_and_its_end_told(bench: Bench) -> None:
    bench.all.remember("task", "t1", "500", 3)
    assert [item.id for item in bench.due(10)] == ["t1"]
    assert bench.all.news() == ([], [])
    bench.all.read("task", ["t1"])
    assert bench.all.news() == ([], [("task", "t1")])


def test_an_answer_is_waited_for_longer_at_each_try() -> None:
    assert [Suspect("task", "t", "", 0, tries, 0).patience for tries in range(6)] == [1, 2, 4, 8, 16, 16]
