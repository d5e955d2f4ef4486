"""An event with very many takers is decided in one transaction, and deliveries come in meanwhile."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import TypeVar
from unittest import mock

import pytest

from store.errors import Unstorable
from store.open import open_store
from store.records import Decision
from store.sql import decisions
from store.sql.store import Store
from tests.support import deciding
from tests.support.deciding import adopt
from tests.support.makers import ME, NOW, arrive, completion, decide, new_event, states, task
from tests.support.postgres_backend import all_the_time, migrated
from tools.servers import eventually
from tools.servers.postgres import Postgres

T = TypeVar("T")
_TAKERS = 20_000


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres) -> str:
    return (
        f"sqlite:///{tmp_path}/bridge.db"
        if request.param == "sqlite"
        else migrated(postgres, "large")
    )


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    # A busy machine; see the bound below.
    unhurried = mock.patch("store.sqlite.connections.BUSY_TIMEOUT", 600.0)
    with unhurried, all_the_time(), closing(open_store(url)) as store:
        assert store.leadership.elect("me", 10**6)
        yield store


def calls(act: Callable[[], T]) -> tuple[int, T]:
    """How many functions this thread calls meanwhile, which a busy machine hardly changes; and what
    came of it. What a statement costs isn't in it: the tests of plans ask that."""
    number = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal number
        number += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        done = act()
    finally:
        sys.setprofile(None)
    return number, done


def test_twenty_thousand_takers_are_decided_at_once_while_deliveries_come(
    url: str, store: Store
) -> None:
    few = _TAKERS // 10
    adopt(store, ME, list(map(task, range(_TAKERS + few))), NOW)
    arrive(store)
    arrive(store, "e2")
    for_few, _ = calls(
        lambda: decide(store, "e2", *map(completion, range(_TAKERS, _TAKERS + few)), claim=16)
    )
    accepted, over = 0, threading.Event()

    def deliver() -> None:
        nonlocal accepted
        with closing(open_store(url)) as relay:
            while not over.is_set():
                relay.deliveries.append([new_event(f"e-{accepted}")])
                accepted += 1

    delivering = threading.Thread(target=deliver)
    delivering.start()
    eventually(lambda: accepted)
    took, claimed = calls(lambda: decide(store, "e1", *map(completion, range(_TAKERS)), claim=16))
    over.set()
    delivering.join()
    assert took < 12 * for_few, "ten times as many take ten times as much"
    assert (len(claimed), len(states(store, "e1"))) == (16, _TAKERS)
    assert not store.queries.waiting_tasks()
    assert len(store.decisions.agenda(10**6).undecided) == accepted > 0


def test_an_event_with_more_targets_than_fit_has_none(store: Store) -> None:
    arrive(store)
    many = Decision("e1", "pending", "no", tuple(map(completion, range(3))))
    with (
        mock.patch.object(decisions, "MOST_TARGETS", 2),
        pytest.raises(Unstorable, match="3 targets; an event may"),
    ):
        deciding.decide(store, ME, [many], NOW, 0)
    assert states(store, "e1") == []
