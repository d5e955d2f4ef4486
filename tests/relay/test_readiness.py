"""Whether the relay is ready: one look for all who ask."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from relay.readiness import FRESH_FOR, Readiness
from store.errors import StoreUnavailable
from testkit import PATIENCE


class Store:
    """Counts the looks."""

    def __init__(self) -> None:
        self.looks = 0
        self.error: Exception | None = None
        self.now = 5.0

    def look(self) -> None:
        self.looks += 1
        if self.error is not None:
            raise self.error


def test_many_who_ask_cost_one_look_a_second() -> None:
    store = Store()
    is_ready = Readiness(store.look, 1, lambda: store.now)
    assert [is_ready() for _ in range(100)] == [True] * 100
    assert store.looks == 1
    store.now += FRESH_FOR
    store.error = StoreUnavailable("full")
    assert [is_ready() for _ in range(100)] == [False] * 100
    assert store.looks == 2
    store.now += FRESH_FOR
    store.error = None
    assert is_ready()


def test_a_bug_is_no_readiness_and_costs_no_more() -> None:
    store = Store()
    is_ready = Readiness(store.look, 1, lambda: store.now)
    store.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        is_ready()
    assert not is_ready()
    assert store.looks == 1


def test_whoever_comes_during_a_look_gets_its_result() -> None:
    store = Store()
    looking, go_on = threading.Event(), threading.Event()

    def look() -> None:
        store.look()
        looking.set()
        assert go_on.wait(PATIENCE)

    is_ready = Readiness(look, 1)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(is_ready) for _ in range(8)]
        assert looking.wait(PATIENCE)
        go_on.set()
        assert [one.result() for one in asked] == [True] * 8
    assert store.looks == 1
