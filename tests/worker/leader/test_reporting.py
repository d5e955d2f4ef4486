"""What the leader says about Conductor is said once, and again when it changes."""

from __future__ import annotations

import time
from unittest import mock

from worker.discovery.discovery import Outcome
from worker.discovery.index import Ladder
from worker.leader.reporting import Reporter


def test_the_way_in_which_tasks_are_found_is_said_when_it_works_and_at_each_change() -> None:
    store, ladder = mock.Mock(), Ladder(time)
    reporter = Reporter(store)
    reporter.discovery(ladder)
    assert store.facts.set.call_args_list == [], "none has worked yet"
    for reason in ("500 a", "", "500 a", "500 b"):
        assert ladder.answered("search", reason, shown=True, must_show=False)
        reporter.discovery(ladder)
        reporter.discovery(ladder)
    said = [call.args for call in store.facts.set.call_args_list]
    assert said == [("discovery", "search: 500 a"), ("discovery", "search: 500 b")]


def test_each_reconciliation_says_how_many_tasks_the_index_lacks() -> None:
    store, ladder = mock.Mock(), Ladder(time)
    reporter = Reporter(store)
    for unindexed in (0, 2, 0):
        reporter.discovery(ladder, Outcome(waiting=3, unindexed=unindexed))
    said = [call.args for call in store.facts.set.call_args_list]
    assert said == [("index_misses", None), ("index_misses", "2 of 3 waiting tasks"), ("index_misses", None)]
